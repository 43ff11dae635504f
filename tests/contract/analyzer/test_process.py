"""The analyzer as a process of its own: callers that leave, the end, and memory."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc
import pytest

from services.runtime.errors import Reason
from services.runtime.statuses import from_rpc_error
from sightmill.v1 import analyzer_pb2
from tests.contract.analyzer.analyzer_process import ROOT, AnalyzerProcess, analyzer_process, page
from tests.contract.analyzer.conftest import (
    analyzer_stub,
    answers_of,
    item,
    next_answer,
    widths,
)

TEXT = analyzer_pb2.AnalyzeOptions(detectors=[analyzer_pb2.DETECTOR_TEXT])
# Both threads: each may use what is left of its second.
CPU_AFTER_LEAVING_S = 2 * 1.0
CLIENT = """
import sys, grpc
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1])
content = open(sys.argv[2], "rb").read()
request = analyzer_pb2.AnalyzeImagesRequest
items = (request(key=str(n), image={"content": content}) for n in range(20))
list(analyzer_pb2_grpc.AnalyzerServiceStub(channel).AnalyzeImages(items))
"""


async def cancelled(analyzer: AnalyzerProcess) -> float:
    """The CPU time used after a cancelled call."""
    async with analyzer.channel() as channel:
        call = analyzer_stub(channel).AnalyzeImages(item(str(n), page(), options=TEXT) for n in range(20))
        await analyzer.busy(cpu_s=1.0)
        call.cancel()
        return await analyzer.settle()


async def killed(analyzer: AnalyzerProcess) -> float:
    """The CPU time used after a client was killed."""
    file = Path("page.png").resolve()
    file.write_bytes(page())
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, analyzer.address, str(file), cwd=ROOT
    )
    await analyzer.busy(cpu_s=1.0)
    client.kill()
    used_s = await analyzer.settle()
    await client.wait()
    return used_s


async def test_whoever_leaves_frees_the_cores_within_a_second(tmp_path: Path) -> None:
    async with analyzer_process(tmp_path, analyzer_text_timeout_s="60") as analyzer:
        for way in (cancelled, killed):
            assert await way(analyzer) <= CPU_AFTER_LEAVING_S, way

        async with analyzer.channel() as channel, asyncio.timeout(10):
            assert len(await answers_of(analyzer_stub(channel).AnalyzeImages(iter(widths(20))))) == 20


async def test_a_stop_answers_what_is_in_work(tmp_path: Path) -> None:
    small = page(height=300)
    async with analyzer_process(tmp_path) as analyzer, analyzer.channel() as channel:
        call = analyzer_stub(channel).AnalyzeImages()
        for key in ("0", "1"):
            await call.write(item(key, small, options=TEXT))
        await analyzer.busy(cpu_s=0.2)
        stopping = asyncio.create_task(analyzer.stop())
        found = [await next_answer(call) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as drained:
            await call.read()
        await stopping

    assert all("wizards" in answer.analysis.insights.text.text for answer in found)
    assert from_rpc_error(drained.value).reason == Reason.DRAINING
    assert analyzer.process.returncode == 0


async def test_a_stop_does_not_wait_for_a_slow_image(tmp_path: Path) -> None:
    given = {"drain_timeout_s": "0.5", "analyzer_text_timeout_s": "60"}
    async with analyzer_process(tmp_path, **given) as analyzer, analyzer.channel() as channel:
        call = analyzer_stub(channel).AnalyzeImages(item(str(n), page(), options=TEXT) for n in range(2))
        await analyzer.busy(cpu_s=0.5)
        async with asyncio.timeout(10):
            log = await analyzer.stop()
        with pytest.raises(grpc.aio.AioRpcError):
            await answers_of(call)

    assert analyzer.process.returncode == 0
    assert '"stopped"' in log
