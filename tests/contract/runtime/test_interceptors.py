"""What happens around every call, on the wire, for all four shapes."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from services.runtime.process import App
from services.runtime.settings import RuntimeSettings
from services.runtime.statuses import DETAILS_KEY
from tests.contract.runtime.shapes import SERVICE, SHAPES, Caller, Shapes
from tests.servers.running_app import RunningApp, running_app
from tests.servers.waiting import until

MAX_CALLS = 3


@pytest.fixture
def shapes() -> Shapes:
    return Shapes()


@pytest.fixture
async def running(shapes: Shapes) -> AsyncIterator[RunningApp]:
    async def start(app: App[Any]) -> str:
        app.serve(shapes.register, SERVICE)
        return "127.0.0.1:0"

    values: dict[str, Any] = {"max_calls": MAX_CALLS, "drain_delay_s": 0, "drain_timeout_s": 5}
    async with running_app("test", RuntimeSettings(**values), start) as app:
        yield app


@pytest.fixture
def caller(running: RunningApp) -> Caller:
    return Caller(running.channel)


def handled(running: RunningApp, shape: str, code: str) -> float:
    return running.metric("sightmill_rpc_handled_total", method=f"/{SERVICE}/{shape}", code=code)


async def refusal(caller: Caller, shape: str, request: bytes, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.answers(shape, request, **options)
    return caught.value


def details_of(error: grpc.aio.AioRpcError) -> tuple[Any, Any]:
    """ErrorInfo and RetryInfo as they came over the wire."""
    found = dict(error.trailing_metadata() or ())
    details = found[DETAILS_KEY]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(retry)
    assert info.metadata["request_id"] == found["x-request-id"]
    return info, retry


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_that_goes_well(running: RunningApp, caller: Caller, shape: str) -> None:
    answers = await caller.answers(shape, b"go", timeout=5)
    assert answers == ([b"done"] if shape.endswith("Unary") else [b"first", b"done"])
    await until(lambda: handled(running, shape, "OK") == 1, "the call is counted")
    assert running.metric("sightmill_rpc_started_total", method=f"/{SERVICE}/{shape}") == 1
    assert running.metric("sightmill_rpc_seconds_count", method=f"/{SERVICE}/{shape}") == 1
    assert running.metric("sightmill_rpc_in_flight") == 0


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_request_id_of_the_caller_goes_in_and_comes_back(caller: Caller, shape: str) -> None:
    call = caller.call(shape, b"id", metadata=(("x-request-id", "edge-7"),), timeout=5)
    answer = await call if shape.endswith("Unary") else [each async for each in call][-1]
    assert answer == b"edge-7"
    assert dict(await call.trailing_metadata())["x-request-id"] == "edge-7"


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_without_a_fit_id_gets_one(caller: Caller, shape: str) -> None:
    call = caller.call(shape, b"id", metadata=(("x-request-id", "two words"),), timeout=5)
    answer = await call if shape.endswith("Unary") else [each async for each in call][-1]
    assert re.fullmatch(rb"[0-9a-f]{32}", answer)
    assert dict(await call.trailing_metadata())["x-request-id"] == answer.decode()


async def test_a_stream_of_both_directions_is_known_to_be_open_at_once(caller: Caller) -> None:
    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    open_call: Any = caller._channel.stream_stream(f"/{SERVICE}/StreamStream")
    call = open_call(silent(), metadata=(("x-request-id", "edge-8"),))
    headers = await asyncio.wait_for(call.initial_metadata(), 5)
    assert dict(headers)["x-request-id"] == "edge-8"
    call.cancel()


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_typed_error_is_a_status_with_reason_and_facts(
    running: RunningApp, caller: Caller, shape: str
) -> None:
    error = await refusal(caller, shape, b"typed", timeout=5)
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "name is missing.")
    info, _ = details_of(error)
    assert (info.reason, info.domain, info.metadata["field"]) == ("INVALID_FIELD", "sightmill.dev", "name")
    await until(lambda: handled(running, shape, "INVALID_ARGUMENT") == 1, "the call is counted")


@pytest.mark.parametrize("shape", SHAPES)
async def test_when_to_come_back_is_told(caller: Caller, shape: str) -> None:
    info, retry = details_of(await refusal(caller, shape, b"retry", timeout=5))
    assert info.reason == "QUEUE_UNAVAILABLE"
    assert retry.retry_delay.ToMilliseconds() == 2_500


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_fault_of_ours_tells_nothing_but_the_request_id(
    running: RunningApp, caller: Caller, shape: str
) -> None:
    with capture_logs() as lines:
        error = await refusal(caller, shape, b"fault", metadata=(("x-request-id", "edge-9"),), timeout=5)
        await until(lambda: handled(running, shape, "INTERNAL") == 1, "the call is counted")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "edge-9" in str(error.details())
    assert "hunter2" not in str(error.details()) + str(error.trailing_metadata())
    (fault,) = [line for line in lines if line["event"] == "fault"]
    assert (fault["log_level"], fault["exc_info"]) == ("error", True)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_method_that_is_left_out_is_not_served_yet(caller: Caller, shape: str) -> None:
    error = await refusal(caller, shape, b"missing", timeout=5)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    info, _ = details_of(error)
    assert (info.reason, info.metadata["method"]) == ("NOT_SERVED_YET", shape)


async def test_time_that_ran_out_inside_is_a_deadline(caller: Caller) -> None:
    info, _ = details_of(await refusal(caller, "UnaryUnary", b"late", timeout=5))
    assert info.reason == "DEADLINE"


async def test_an_unknown_method_is_unimplemented(running: RunningApp) -> None:
    method: Any = running.channel.unary_unary(f"/{SERVICE}/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("shape", SHAPES)
async def test_calls_above_the_limit_are_refused_at_once_but_health_answers(
    running: RunningApp, caller: Caller, shapes: Shapes, shape: str
) -> None:
    hanging = [asyncio.ensure_future(caller.answers(shape, b"hang")) for _ in range(MAX_CALLS)]
    await until(lambda: shapes.entered == MAX_CALLS, "calls are in flight")
    error = await refusal(caller, shape, b"go", timeout=5)
    info, retry = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert info.metadata["limit"] == str(MAX_CALLS)
    assert retry.retry_delay.ToMilliseconds() > 0
    assert handled(running, shape, "RESOURCE_EXHAUSTED") == 1, "refusals are counted, too"
    health = health_pb2_grpc.HealthStub(running.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    shapes.free.set()
    await asyncio.gather(*hanging)
    assert await caller.answers(shape, b"go", timeout=5), "the places are free again"


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_that_is_cancelled_ends_its_handler_and_is_counted(
    running: RunningApp, caller: Caller, shapes: Shapes, shape: str
) -> None:
    call = caller.call(shape, b"hang")
    await until(lambda: shapes.entered == 1, "the call is in flight")
    call.cancel()
    await until(lambda: handled(running, shape, "CANCELLED") == 1, "the call is counted")
    assert shapes.closed == shapes.closed_in_own_task == 1
    assert running.metric("sightmill_rpc_in_flight") == 0


async def test_a_caller_that_leaves_a_flood_ends_it_without_noise(
    running: RunningApp, caller: Caller, shapes: Shapes
) -> None:
    """Cancelled while it writes, and the generator is not left to the garbage collector."""
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    with capture_logs() as lines:
        call = caller.call("UnaryStream", b"flood")
        assert await anext(aiter(call)) == b"first"
        await until(lambda: shapes.flooded > 0, "more is written than the caller takes")
        call.cancel()
        await until(lambda: handled(running, "UnaryStream", "CANCELLED") == 1, "the call is counted")
        gc.collect()
    assert shapes.closed == shapes.closed_in_own_task == 1
    assert [line["code"] for line in lines] == ["CANCELLED"]
    assert noise == []


async def test_a_process_that_drains_refuses_new_calls_and_finishes_the_others(
    running: RunningApp, caller: Caller, shapes: Shapes
) -> None:
    hanging = asyncio.ensure_future(caller.answers("UnaryUnary", b"hang"))
    await until(lambda: shapes.entered == 1, "the call is in flight")
    running.app.stopping.set()
    error = await refusal(caller, "UnaryUnary", b"go", timeout=5)
    info, retry = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert retry.retry_delay.ToMilliseconds() > 0
    draining = asyncio.create_task(running.drain())
    shapes.free.set()
    assert await hanging == [b"done"]
    await asyncio.wait_for(draining, 5)


async def test_every_call_is_one_log_line_without_what_was_sent(running: RunningApp, caller: Caller) -> None:
    with capture_logs() as lines:
        await caller.answers("UnaryUnary", b"secret-payload", timeout=5)
        await refusal(caller, "StreamStream", b"retry", timeout=5)
        await until(lambda: len(lines) == 2, "both calls are logged")
    first, second = lines
    assert (first["event"], first["method"], first["code"]) == ("call", f"/{SERVICE}/UnaryUnary", "OK")
    assert (first["log_level"], second["log_level"]) == ("info", "warning")
    assert second["code"] == "UNAVAILABLE"
    assert first["elapsed_ms"] >= 0
    assert "secret-payload" not in json.dumps(lines)
