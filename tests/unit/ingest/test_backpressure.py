"""What an upload stream holds while its answers are not read, and how decoders are waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from services.ingest.admission import Admission
from services.ingest.guard import Limits
from services.ingest.header import Header
from services.ingest.intake import Intake
from services.ingest.spool import Spool
from services.ingest.upload_stream import IN_FLIGHT_PER_STREAM, UploadStream
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError
from sightmill.v1 import catalog_pb2, ingest_pb2
from tests.servers.waiting import until
from tests.unit.ingest.pictures import good

Request = ingest_pb2.UploadImagesRequest


class Shelf:
    """An intake that takes everything, as soon as it may."""

    def __init__(self) -> None:
        self.taken = 0
        self.free = asyncio.Event()
        self.free.set()

    async def accept(self, header: Header, spool: Spool) -> catalog_pb2.Image:
        await self.free.wait()
        self.taken += 1
        return catalog_pb2.Image(name=header.key, size_bytes=spool.size_bytes)


class Sender:
    """Sends images without end, and counts."""

    def __init__(self) -> None:
        self.sent = 0

    async def messages(self) -> AsyncIterator[Request]:
        while True:
            self.sent += 1
            yield Request(header=ingest_pb2.UploadHeader(key=f"k{self.sent}"))
            yield Request(chunk=b"x")
            yield Request(finish=ingest_pb2.UploadFinish())


def stream_to(shelf: Shelf, folder: Path) -> UploadStream:
    return UploadStream(
        cast("Intake", shelf), Admission(64, 0), lambda: Spool(folder, 1_000, 100), 5.0, asyncio.Event()
    )


async def settle() -> None:
    """Everything that can go on has gone on."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_answers_that_nobody_reads_stop_the_reading(tmp_path: Path) -> None:
    shelf, sender = Shelf(), Sender()
    answers = stream_to(shelf, tmp_path).answers(sender.messages())
    await anext(answers)
    await settle()
    assert sender.sent <= IN_FLIGHT_PER_STREAM
    for _ in range(5):
        await anext(answers)
    await settle()
    assert sender.sent <= IN_FLIGHT_PER_STREAM + 5
    await answers.aclose()


async def test_images_that_are_not_stored_stop_the_reading(tmp_path: Path) -> None:
    shelf, sender = Shelf(), Sender()
    shelf.free.clear()
    answers = stream_to(shelf, tmp_path).answers(sender.messages())
    first = asyncio.ensure_future(anext(answers))
    await settle()
    assert (sender.sent, shelf.taken) == (IN_FLIGHT_PER_STREAM, 0)
    shelf.free.set()
    assert (await first).image.size_bytes == 1
    await answers.aclose()


async def test_a_stream_that_is_closed_leaves_no_task(tmp_path: Path) -> None:
    shelf, sender = Shelf(), Sender()
    shelf.free.clear()
    before = asyncio.all_tasks()
    answers = stream_to(shelf, tmp_path).answers(sender.messages())
    first = asyncio.ensure_future(anext(answers))
    await settle()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await answers.aclose()
    assert asyncio.all_tasks() == before


@pytest.fixture
def decoders() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


@pytest.fixture
def busy(decoders: ThreadPoolExecutor) -> Iterator[threading.Event]:
    """What the decoder is busy with until it is set."""
    event = threading.Event()
    decoders.submit(event.wait)
    yield event
    event.set()


def intake(decoders: ThreadPoolExecutor, **timeouts: float) -> Intake:
    nobody = cast("Any", None)
    limits = Limits(1_000_000, 1_000_000)
    values = {"decode_timeout_s": 5.0, "store_timeout_s": 5.0} | timeouts
    return Intake(
        nobody, nobody, nobody, decoders, limits, values["decode_timeout_s"], values["store_timeout_s"]
    )


async def test_waiting_for_a_decoder_is_no_fault_of_the_image(
    decoders: ThreadPoolExecutor, busy: threading.Event
) -> None:
    inspecting = asyncio.create_task(intake(decoders, decode_timeout_s=0.05)._inspect(good("png")))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(inspecting), 0.1)
    busy.set()
    assert (await inspecting).format == "PNG"


async def test_decoders_that_stay_busy_are_said(decoders: ThreadPoolExecutor, busy: threading.Event) -> None:
    with pytest.raises(ResourceExhaustedError) as caught:
        await intake(decoders, store_timeout_s=0.01)._inspect(good("png"))
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.OVERLOADED, 2.0)
    busy.set()
    await until(decoders._work_queue.empty, "what nobody waits for is not decoded")


async def test_a_decode_that_hangs_is_the_images_fault(
    decoders: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()
    monkeypatch.setattr("services.ingest.intake.inspect", lambda *_: hang.wait())
    with pytest.raises(InvalidArgumentError) as caught:
        await intake(decoders, decode_timeout_s=0.01)._inspect(b"x")
    hang.set()
    assert (caught.value.reason, caught.value.metadata) == (
        Reason.IMAGE_DECODE_TIMEOUT,
        {"limit_seconds": "0.01"},
    )
