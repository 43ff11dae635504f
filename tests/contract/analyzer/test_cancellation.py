"""A caller that leaves, in whatever way, frees its threads and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from sightmill.v1 import analyzer_pb2_grpc
from tests.contract.analyzer.conftest import (
    Gate,
    analyzer_stub,
    answers_of,
    plain,
    single,
    widths,
)
from tests.servers.running_app import RunningApp
from tests.servers.waiting import until

Leave = Callable[[grpc.aio.Channel, Any], Any]
SOON_S = 1.0


async def cancel(_channel: grpc.aio.Channel, call: Any) -> None:
    call.cancel()


async def close(channel: grpc.aio.Channel, _call: Any) -> None:
    await channel.close()


def stream(stub: analyzer_pb2_grpc.AnalyzerServiceAsyncStub) -> Any:
    return stub.AnalyzeImages(iter(widths(20)))


def two_calls(stub: analyzer_pb2_grpc.AnalyzerServiceAsyncStub) -> Any:
    return asyncio.gather(*(stub.AnalyzeImage(single(plain(width))) for width in (100, 101)))


@pytest.mark.parametrize("leave", [cancel, close])
@pytest.mark.parametrize("begin", [stream, two_calls])
async def test_whoever_leaves_frees_the_threads(
    running: RunningApp, gate: Gate, begin: Callable[..., Any], leave: Leave
) -> None:
    before = footprint()
    async with grpc.aio.insecure_channel(running.address) as channel:
        call = begin(analyzer_stub(channel))
        await until(lambda: gate.inside == 2, "both threads are busy")
        await leave(channel, call)
        await until(lambda: gate.inside == 0, "both threads are free", timeout_s=SOON_S)
    await until(lambda: footprint() == before, "nothing is left", timeout_s=SOON_S)

    gate.opened.set()
    found = await answers_of(analyzer_stub(running.channel).AnalyzeImages(iter(widths(20, first=200))))
    assert len(found) == 20
    # What waited was never begun.
    assert sorted(gate.widths) == [100, 101, *range(200, 220)]


async def test_one_that_leaves_disturbs_no_other(running: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(running.channel)
    leaving = stub.AnalyzeImages(iter(widths(20)))
    await until(lambda: gate.inside == 2, "both threads are busy")
    staying = asyncio.create_task(answers_of(stub.AnalyzeImages(iter(widths(20, first=200)))))
    leaving.cancel()
    await until(lambda: 201 in gate.widths, "the threads are the other stream's", timeout_s=SOON_S)
    gate.opened.set()

    assert len(await staying) == 20
    assert len(gate.widths) == 22


def footprint() -> tuple[int, int]:
    """Tasks that are no answering of health or channels, and threads."""
    tasks = [task for task in asyncio.all_tasks() if "keyed_answers" in repr(task) or "Analyz" in repr(task)]
    return len(tasks), threading.active_count()
