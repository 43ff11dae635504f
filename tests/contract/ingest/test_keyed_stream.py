"""Many callers over one stream, against a real server that breaks as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.ingest.keyed_stream import KeyedStream, StreamBrokenError, item_key
from services.runtime.channels import open_channel
from services.runtime.context import entered
from services.runtime.errors import DeadlineError, InvalidArgumentError, Reason, UnavailableError
from services.runtime.interceptors import Context
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc
from tests.servers.scripted_servicers import Room
from tests.servers.waiting import until

Request = analyzer_pb2.AnalyzeImagesRequest
Response = analyzer_pb2.AnalyzeImagesResponse
Stream = KeyedStream[Request, Response]


class Echo(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """Answers each item, those with odd keys at once and the others after all odd ones."""

    def __init__(self) -> None:
        self.streams = 0
        self.open = 0
        self.held: list[str] = []
        self.free = asyncio.Event()

    async def AnalyzeImages(
        self, request_iterator: AsyncIterator[Request], _context: Context
    ) -> AsyncIterator[Response]:
        self.streams += 1
        self.open += 1
        try:
            async for request in request_iterator:
                if request.key == "end":
                    return
                if request.key == "refuse":
                    raise InvalidArgumentError(Reason.INVALID_STREAM, "Not like this.")
                if request.key == "stranger":
                    yield Response(key="nobody asked")
                if request.key.startswith("hold"):
                    self.held.append(request.key)
                    await self.free.wait()
                yield Response(key=request.key)
        finally:
            self.open -= 1


class House:
    """A server, a channel and a stream."""

    def __init__(self, echo: Echo, room: Room, stream: Stream) -> None:
        self.echo = echo
        self.room = room
        self.stream = stream

    def call(self, key: str, timeout_s: float = 10.0) -> asyncio.Task[Response]:
        return asyncio.create_task(self.stream.call(Request(key=key), timeout_s))

    async def held(self, count: int) -> None:
        await until(lambda: len(self.echo.held) == count, f"{count} items are in the server's hands")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    echo = Echo()  # type: ignore[abstract]  # one method is enough
    room = Room(lambda server: analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(echo, server))
    await room.start()
    async with open_channel(room.address, 10_000_000) as channel:
        stream: Stream = KeyedStream(analyzer_pb2_grpc.AnalyzerServiceStub(channel).AnalyzeImages)
        yield House(echo, room, stream)
        await stream.close()
    await room.kill()


async def connected(house: House) -> None:
    """The server is found again after a break."""

    async def answers() -> bool:
        try:
            return (await house.call("again")).key == "again"
        except UnavailableError:
            return False

    await until(answers, "the stream is open again")


async def test_every_caller_gets_its_own_answer_over_one_stream(house: House) -> None:
    calls = [house.call(f"k{n}") for n in range(500)]
    answers = await asyncio.gather(*calls)
    assert [answer.key for answer in answers] == [f"k{n}" for n in range(500)]
    assert house.echo.streams == 1


async def test_an_answer_that_nobody_waits_for_is_left_out(house: House) -> None:
    assert (await house.call("stranger")).key == "stranger"


async def test_keys_are_unique_and_tell_the_request() -> None:
    with entered({"x-request-id": "r" * 128}):
        keys = {item_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 128 and "rrr" in key for key in keys)


async def test_a_break_fails_all_in_flight_and_the_next_call_opens_anew(house: House) -> None:
    calls = [house.call("hold"), *(house.call(f"k{n}") for n in range(200))]
    await house.held(1)
    await house.room.kill()
    for result in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5):
        assert isinstance(result, StreamBrokenError)
        assert result.reason == Reason.SERVICE_UNAVAILABLE
    await house.room.start()
    await connected(house)
    assert house.echo.streams >= 2


async def test_a_server_that_is_not_there_is_no_break(house: House) -> None:
    await house.room.kill()
    for _ in range(3):
        with pytest.raises(UnavailableError) as caught:
            await house.call("k")
        assert not isinstance(caught.value, StreamBrokenError)


async def test_an_end_without_an_answer_is_a_break(house: House) -> None:
    with pytest.raises(StreamBrokenError, match="ended before the answer"):
        await house.call("end")
    assert (await house.call("k")).key == "k"


async def test_a_refusal_of_the_stream_is_told(house: House) -> None:
    with pytest.raises(InvalidArgumentError, match="Not like this"):
        await house.call("refuse")
    assert (await house.call("k")).key == "k"


async def test_time_is_up_for_one_caller_only(house: House) -> None:
    await house.call("warm up")
    late = house.call("hold", timeout_s=0.05)
    other = house.call("other")
    with pytest.raises(DeadlineError):
        await late
    house.echo.free.set()
    assert (await other).key == "other"
    assert house.echo.streams == 1


async def test_a_caller_that_goes_away_disturbs_nobody(house: House) -> None:
    gone, other = house.call("hold"), house.call("other")
    await house.held(1)
    gone.cancel()
    house.echo.free.set()
    assert (await other).key == "other"


async def test_closing_fails_what_is_in_flight_and_ends_the_stream(house: House) -> None:
    call = house.call("hold")
    await house.held(1)
    await house.stream.close()
    with pytest.raises(UnavailableError):
        await call
    await until(lambda: house.echo.open == 0, "the server sees the end")
    await house.stream.close()


async def test_breaks_leave_no_tasks_behind(house: House) -> None:
    for _ in range(5):
        with pytest.raises(StreamBrokenError):
            await house.call("end")
    await house.stream.close()
    before = len(asyncio.all_tasks())
    for _ in range(20):
        with pytest.raises(StreamBrokenError):
            await house.call("end")
    await house.stream.close()
    await until(lambda: len(asyncio.all_tasks()) <= before, "no task is left")
