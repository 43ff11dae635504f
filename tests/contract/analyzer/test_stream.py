"""AnalyzeImages: bounded, fair, and undisturbed by bad items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.analyzer.servicer import AHEAD_PER_THREAD
from services.runtime.blobs.keys import blob_key
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import analyzer_pb2, common_pb2
from tests.contract.analyzer.conftest import (
    Gate,
    Item,
    analyzer_stub,
    analyzer_with,
    answers_of,
    heavy,
    item,
    plain,
    reason,
    refusal,
    single,
    source,
    widths,
)
from tests.servers.running_app import RunningApp
from tests.servers.waiting import until

MB = 1_000_000


# What gRPC takes in for a stream that nobody reads, at most: both ends' buffers and the window.
CONNECTION_BYTES = 16 * MB


class Sender:
    """Counts the images that flow control lets out."""

    def __init__(self, count: int, size_bytes: int) -> None:
        self.count = count
        self.content = heavy(64, size_bytes)
        self.sent = 0

    async def run(self) -> AsyncIterator[Item]:
        for number in range(self.count):
            yield item(str(number), self.content)
            self.sent += 1


async def round_trips(running: RunningApp, count: int = 100) -> None:
    """As long as these take, the connection could have taken other things, too."""
    for _ in range(count):
        await analyzer_stub(running.channel).GetAnalyzerInfo(analyzer_pb2.GetAnalyzerInfoRequest())


async def test_a_sender_is_held_back_until_there_is_a_thread(running: RunningApp, gate: Gate) -> None:
    sender = Sender(count=60, size_bytes=5 * MB)
    answering = asyncio.create_task(answers_of(analyzer_stub(running.channel).AnalyzeImages(sender.run())))
    await until(lambda: gate.inside == 2, "both threads are busy")
    await round_trips(running)

    in_connection = sender.sent - AHEAD_PER_THREAD * 2
    # One item that the sender just made, one that is being written and one that is being read besides.
    assert 0 <= in_connection <= 3 + CONNECTION_BYTES / (5 * MB)
    gate.opened.set()
    assert len(await answering) == 60


async def test_a_single_call_waits_for_one_image_of_a_stream(one_thread: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(one_thread.channel)
    streams = [asyncio.create_task(answers_of(stub.AnalyzeImages(iter(widths(20, n))))) for n in (100, 200)]
    await until(lambda: gate.inside == 1, "the thread is busy")
    await round_trips(one_thread)
    call = asyncio.ensure_future(stub.AnalyzeImage(single(plain(64))))
    await round_trips(one_thread, 10)
    gate.opened.set()
    await call
    await asyncio.gather(*streams)

    assert gate.widths.index(64) in {1, 2}
    assert len(gate.widths) == 41


async def test_streams_take_turns(one_thread: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(one_thread.channel)
    long = asyncio.create_task(answers_of(stub.AnalyzeImages(iter(widths(30, 100)))))
    await until(lambda: gate.inside == 1, "the thread is busy")
    short = asyncio.create_task(answers_of(stub.AnalyzeImages(iter(widths(2, 200)))))
    await round_trips(one_thread)
    gate.opened.set()
    await asyncio.gather(long, short)

    assert gate.widths.index(201) <= 5


async def test_only_single_calls_are_refused_when_many_wait(one_thread: RunningApp, gate: Gate) -> None:
    stub = analyzer_stub(one_thread.channel)
    calls = [asyncio.ensure_future(stub.AnalyzeImage(single(plain(64)))) for _ in range(3)]
    refused: list[ServiceError] = []
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    refused += [await refusal(call) for call in done]
    stream = asyncio.create_task(answers_of(stub.AnalyzeImages(iter(widths(10)))))
    await round_trips(one_thread)
    gate.opened.set()

    assert [(error.reason, error.retry_after_s) for error in refused] == [(Reason.OVERLOADED, 1.0)]
    assert all([(await call).insights.scene.type for call in waiting])
    assert {answer.WhichOneof("result") for answer in (await stream).values()} == {"analysis"}


BAD_ITEMS: dict[str, tuple[Item, str]] = {
    "corrupt": (Item(image=source(plain()[:40])), "IMAGE_UNDECODABLE"),
    "noise": (Item(image=source(b"no picture")), "IMAGE_UNDECODABLE"),
    "empty": (Item(image=source(b"")), "IMAGE_UNDECODABLE"),
    "nothing": (Item(), "INVALID_FIELD"),
    "too large": (Item(image=source(heavy(64, 3 * MB))), "IMAGE_TOO_LARGE"),
    "too many pixels": (Item(image=source(plain(30_000))), "IMAGE_TOO_MANY_PIXELS"),
    "unknown blob": (Item(image=common_pb2.ImageSource(blob_key=blob_key("0" * 64))), "BLOB_NOT_FOUND"),
    "foreign blob": (Item(image=common_pb2.ImageSource(blob_key="previews/secret")), "INVALID_FIELD"),
    "climbing": (Item(image=common_pb2.ImageSource(blob_key="sha256/../../x")), "INVALID_NAME"),
    "edge": (
        Item(image=source(plain()), options=analyzer_pb2.AnalyzeOptions(thumbnail_edge=5)),
        "INVALID_FIELD",
    ),
    "language": (
        Item(image=source(plain()), options=analyzer_pb2.AnalyzeOptions(text_language="xxx")),
        "INVALID_FIELD",
    ),
    "language path": (
        Item(image=source(plain()), options=analyzer_pb2.AnalyzeOptions(text_language="../eng")),
        "INVALID_FIELD",
    ),
}


async def test_bad_items_disturb_no_good_ones(tmp_path: Path) -> None:
    items: list[Item] = []
    for name, (bad, _) in BAD_ITEMS.items():
        bad.key = name
        items += [bad, item(f"after {name}", plain())]
    async with analyzer_with(tmp_path, analyzer_max_bytes=2 * MB, analyzer_max_pixels=MB) as running:
        found = await answers_of(analyzer_stub(running.channel).AnalyzeImages(iter(items)))

    assert len(found) == len(items)
    assert {name: reason(found[name]) for name in BAD_ITEMS} == {
        name: expected for name, (_, expected) in BAD_ITEMS.items()
    }
    for name in BAD_ITEMS:
        good = found[f"after {name}"].analysis.insights
        assert (good.width, good.detectors[0].status) == (64, analyzer_pb2.DETECTOR_STATUS_OK)


@pytest.mark.parametrize("key", ["", "k" * 129, "100"])
async def test_a_key_that_is_none_or_in_work_ends_the_stream(
    running: RunningApp, gate: Gate, key: str
) -> None:
    items = [*widths(1), item(key, plain())]

    error = await refusal(answers_of(analyzer_stub(running.channel).AnalyzeImages(iter(items))))

    assert error.reason == Reason.INVALID_STREAM
    await until(lambda: gate.inside == 0, "the thread is free")
