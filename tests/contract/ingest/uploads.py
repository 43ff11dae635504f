"""Uploads as a client makes them."""

from __future__ import annotations

import functools
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from PIL import Image as Picture

from services.ingest.intake import UPLOADS
from services.runtime import statuses
from services.runtime.blobs.folder_blobs import FolderBlobs
from services.runtime.blobs.options import BlobOptions
from services.runtime.errors import ServiceError
from services.runtime.queue.port import Lane, LaneState, WorkQueue
from sightmill.v1 import catalog_pb2, ingest_pb2, ingest_pb2_grpc
from tests.servers.running_app import RunningApp
from tests.servers.scripted_servicers import Rooms
from tests.servers.waiting import until

Image = catalog_pb2.Image
Request = ingest_pb2.UploadImagesRequest
Answer = ingest_pb2.UploadImagesResponse
CHUNK_BYTES = 262_144
FINISH = Request(finish=ingest_pb2.UploadFinish())
EMPTY_LANE = LaneState(pending=0, in_flight=0, exhausted=0, paused=False)


@functools.cache
def photo(seed: int = 0, format_: str = "JPEG") -> bytes:
    """A small picture of its own."""
    file = io.BytesIO()
    Picture.new("RGB", (48, 32), (90, 90, 90)).save(file, format_, comment=str(seed).encode())
    return file.getvalue()


@functools.cache
def large_photo() -> bytes:
    """A picture of some megabytes."""
    file = io.BytesIO()
    Picture.effect_noise((2_000, 1_500), 60).save(file, "BMP")
    return file.getvalue()


def header(**fields: Any) -> Request:
    return Request(header=ingest_pb2.UploadHeader(**fields))


def chunk(data: bytes) -> Request:
    return Request(chunk=data)


def whole(data: bytes, **fields: Any) -> list[Request]:
    """All messages of one image."""
    chunks = [chunk(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES)]
    return [header(**fields), *chunks, FINISH]


def error_of(status: status_pb2.Status) -> ServiceError:
    return statuses.from_status(status)


def retry_of(status: status_pb2.Status) -> float:
    """RetryInfo in seconds; 0 where there is none."""
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(retry)
    return float(retry.retry_delay.ToMilliseconds()) / 1_000


class Ingest:
    """The running service, its neighbours, and what a client does with it."""

    def __init__(self, running: RunningApp, rooms: Rooms) -> None:
        self.running = running
        self.rooms = rooms
        self.stub = ingest_pb2_grpc.IngestServiceStub(running.channel)
        self.data_dir: Path = running.app.settings.data_dir
        self.blobs = FolderBlobs(self.data_dir / "blobs", BlobOptions())

    def open_upload(self) -> Any:
        """A stream to write and read by hand."""
        return self.stub.UploadImages(timeout=30)

    async def upload(self, messages: Iterable[Request], **options: Any) -> list[Answer]:
        """The answers in the order of the images; raises what ends the stream."""
        answers: list[Answer] = []
        await self.upload_into(answers, messages, **options)
        return sorted(answers, key=lambda answer: answer.index)

    async def upload_into(self, answers: list[Answer], messages: Iterable[Request], **options: Any) -> None:
        """Keeps what was answered before an error."""
        async for answer in self.stub.UploadImages(_stream(list(messages)), timeout=30, **options):
            answers.append(answer)  # noqa: PERF401  what came before an error is wanted

    async def upload_one(self, data: bytes, **fields: Any) -> Image:
        """One image that is taken in."""
        (answer,) = await self.upload(whole(data, **fields))
        assert not answer.HasField("error"), answer.error
        return answer.image

    async def refusal(self, messages: Sequence[Request]) -> ServiceError:
        """Why the one image is not taken in."""
        (answer,) = await self.upload(messages)
        assert answer.HasField("error")
        return error_of(answer.error)

    async def final(self, name: str, timeout_s: float = 20.0) -> Image:
        """The image when its state is final."""
        request = ingest_pb2.WaitImageRequest(name=name)
        request.timeout.FromMilliseconds(int(timeout_s * 1_000))
        answer = await self.stub.WaitImage(request, timeout=timeout_s + 5)
        assert answer.image.state in {Image.PROCESSED, Image.FAILED}, answer.image
        return answer.image


async def _stream(messages: Sequence[Request]) -> AsyncIterator[Request]:
    for message in messages:
        yield message


async def broken_off(call: Any) -> grpc.aio.AioRpcError:
    """The error that ends a call."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                continue
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("The call ended well.")


async def lane_becomes(queue: WorkQueue, wanted: LaneState, what: str, lane: Lane = UPLOADS) -> None:
    async def holds() -> bool:
        return await queue.lane_state(lane) == wanted

    await until(holds, what, 20)
