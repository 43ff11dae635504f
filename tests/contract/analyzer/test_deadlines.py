"""What the time of an item, of a call and of the operator does, and that it frees the thread."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from services.runtime.errors import Reason
from tests.contract.analyzer.conftest import (
    Gate,
    analyzer_stub,
    analyzer_with,
    answers_of,
    item,
    next_answer,
    plain,
    reason,
    refusal,
    single,
    widths,
)
from tests.servers.running_app import RunningApp
from tests.servers.waiting import until

SOON = Duration(nanos=100_000_000)
FOREVER = Duration(seconds=315_576_000_000)


async def test_an_item_out_of_time_is_answered_alone_and_frees_its_thread(
    one_thread: RunningApp, gate: Gate
) -> None:
    call = analyzer_stub(one_thread.channel).AnalyzeImages(
        iter([item("late", plain(100), SOON), item("patient", plain(101), FOREVER)])
    )
    late = await next_answer(call)
    await until(lambda: gate.given_up == [100], "the thread is free", timeout_s=1)
    await until(lambda: gate.widths == [100, 101], "the next image has it", timeout_s=1)
    gate.opened.set()

    assert (late.key, reason(late)) == ("late", "DEADLINE")
    assert "0.1 seconds" in late.error.message
    rest = await answers_of(call)
    assert rest["patient"].analysis.insights.width == 101


async def test_what_ran_out_of_time_while_waiting_is_never_begun(one_thread: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(one_thread.channel)
    single_call = asyncio.ensure_future(stub.AnalyzeImage(single(plain(64))))
    await until(lambda: gate.inside == 1, "the thread is busy")
    call = stub.AnalyzeImages(iter([item("late", plain(100), SOON), item("patient", plain(101), FOREVER)]))
    assert reason(await next_answer(call)) == "DEADLINE"
    gate.opened.set()
    await single_call

    assert (await answers_of(call)).keys() == {"patient"}
    assert gate.widths == [64, 101]


@pytest.mark.parametrize(
    "given",
    [Duration(), Duration(seconds=-1), Duration(nanos=1), Duration(seconds=-(2**63), nanos=-(2**31))],
    ids=["zero", "negative", "nanosecond", "least"],
)
async def test_no_time_is_out_of_time(running: RunningApp, gate: Gate, given: Duration) -> None:
    gate.opened.set()
    items = [item("none", plain(100), given), item("operator's", plain(101))]

    found = await answers_of(analyzer_stub(running.channel).AnalyzeImages(iter(items)))

    assert reason(found["none"]) == "DEADLINE"
    assert found["operator's"].analysis.insights.width == 101
    assert gate.widths == [101]


@pytest.mark.parametrize(
    "given", [FOREVER, Duration(seconds=2**63 - 1, nanos=2**31 - 1)], ids=["longest", "most"]
)
async def test_the_operators_time_is_the_most_there_is(tmp_path: Path, gate: Gate, given: Duration) -> None:
    async with analyzer_with(tmp_path, analyzer_timeout_s=0.1) as running:
        stub = analyzer_stub(running.channel)
        found = await answers_of(stub.AnalyzeImages(iter([item("0", plain(), given)])))
        error = await refusal(stub.AnalyzeImage(single(plain())))

    assert reason(found["0"]) == "DEADLINE"
    assert error.reason == Reason.DEADLINE
    assert gate.inside == 0


async def test_the_deadline_of_a_call_frees_its_threads(running: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(running.channel)
    stream = stub.AnalyzeImages(iter(widths(10)), timeout=0.5)
    await until(lambda: gate.inside == 2, "both threads are busy")
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await answers_of(stream)
    await until(lambda: gate.inside == 0, "the threads are free", timeout_s=1)
    error = await refusal(stub.AnalyzeImage(single(plain(64)), timeout=0.1))
    await until(lambda: gate.inside == 0, "the thread is free", timeout_s=1)

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.reason == Reason.DEADLINE
    assert sorted(gate.widths[:2]) == [100, 101]
    assert gate.widths[2:] in ([], [64])
