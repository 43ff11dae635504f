"""The protocol of UploadImages: per image a header, chunks, a finish; an answer as soon as it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import structlog

from services.ingest.admission import Admission
from services.ingest.header import Header, parse_header
from services.ingest.intake import Intake
from services.ingest.spool import Spool
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import InvalidArgumentError, Reason, ServiceError, UnavailableError
from sightmill.v1 import catalog_pb2, ingest_pb2

MAX_CHUNK_BYTES = 262_144
# Images of one stream that are received, stored or answered at the same time. More would not be faster:
# the bytes come one image after the other.
IN_FLIGHT_PER_STREAM = 8

Requests = AsyncIterator[ingest_pb2.UploadImagesRequest]
Answer = ingest_pb2.UploadImagesResponse


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An image that is whole, with the resources that it holds until it is stored."""

    header: Header
    spool: Spool
    resources: AsyncExitStack


class UploadStream:
    """One stream: reads images one after the other, stores several at a time, answers as they are done."""

    def __init__(
        self,
        intake: Intake,
        admission: Admission,
        new_spool: Callable[[], Spool],
        chunk_timeout_s: float,
        stopping: asyncio.Event,
    ) -> None:
        self._intake = intake
        self._admission = admission
        self._new_spool = new_spool
        self._chunk_timeout_s = chunk_timeout_s
        self._stopping = stopping
        # Bounded by the slots: one is taken per image and given back when its answer is out.
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(IN_FLIGHT_PER_STREAM)

    async def answers(self, requests: Requests) -> AsyncGenerator[Answer, None]:
        """Yields one answer per image; raises what ends the stream after all answers are given."""
        reader = asyncio.create_task(self._read(requests))
        try:
            while (answer := await self._answers.get()) is not None:
                yield answer
                self._slots.release()
            await reader
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, ServiceError):
                await reader

    async def _read(self, requests: Requests) -> None:
        failure: ServiceError | None = None
        try:
            async with asyncio.TaskGroup() as storing:
                try:
                    await self._read_images(requests, storing)
                except ServiceError as error:
                    failure = error  # what is being stored is still answered
        finally:
            self._answers.put_nowait(None)
        if failure:
            raise failure

    async def _read_images(self, requests: Requests, storing: asyncio.TaskGroup) -> None:
        index = 0
        while True:
            await self._slots.acquire()
            message = await self._next_image(requests)
            if message is None:
                return
            if message.WhichOneof("message") != "header":
                raise _out_of_order("An image starts with a header.")
            answer = Answer(key=message.header.key[:128], index=index)
            arrival = await self._receive(message.header, answer, requests)
            if arrival:
                storing.create_task(self._store(answer, arrival))
            index += 1

    async def _next_image(self, requests: Requests) -> ingest_pb2.UploadImagesRequest | None:
        """The message that starts the next image, or None at the end; between images a stop is noticed."""
        message = asyncio.ensure_future(anext(requests, None))
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([message, stop], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                raise UnavailableError(
                    Reason.DRAINING,
                    "This process is shutting down; send what has no answer to another one.",
                    retry_after_s=0.5,
                )
            return await message
        finally:
            message.cancel()
            stop.cancel()

    async def _receive(
        self, message: ingest_pb2.UploadHeader, answer: Answer, requests: Requests
    ) -> _Arrival | None:
        """Receives one image whole. A refused one is answered at once and its bytes are skipped."""
        async with AsyncExitStack() as resources:
            try:
                header = parse_header(message)
                await resources.enter_async_context(self._admission.slot())
                spool = resources.enter_context(self._new_spool())
                spool.announce(header.size_bytes)
                async for chunk in self._chunks(requests):
                    spool.write(chunk)
            except (ServiceError, OSError) as fault:
                error = _typed(fault)
                if error.reason == Reason.INVALID_STREAM:
                    raise
                self._refuse(answer, error)
                if error.reason != Reason.UPLOAD_INCOMPLETE:
                    await self._skip(requests)
                return None
            return _Arrival(header, spool, resources.pop_all())

    async def _chunks(self, requests: Requests) -> AsyncIterator[bytes]:
        """The chunks up to the finish of this image."""
        while True:
            try:
                async with asyncio.timeout(self._chunk_timeout_s):
                    message = await anext(requests, None)
            except TimeoutError:
                raise _silent(self._chunk_timeout_s) from None
            if message is None:
                raise InvalidArgumentError(
                    Reason.UPLOAD_INCOMPLETE,
                    "The stream ended before the finish of this image; send it again.",
                )
            kind = message.WhichOneof("message")
            if kind == "finish":
                return
            if kind != "chunk":
                raise _out_of_order("After a header come chunks and a finish.")
            if len(message.chunk) > MAX_CHUNK_BYTES:
                raise _out_of_order(f"A chunk has at most {MAX_CHUNK_BYTES} bytes.")
            yield message.chunk

    async def _skip(self, requests: Requests) -> None:
        try:
            async for _ in self._chunks(requests):
                continue
        except InvalidArgumentError as error:
            if error.reason != Reason.UPLOAD_INCOMPLETE:  # the image has its answer already
                raise

    async def _store(self, answer: Answer, arrival: _Arrival) -> None:
        async with arrival.resources:
            try:
                image = await self._intake.accept(arrival.header, arrival.spool)
            except Exception as fault:  # noqa: BLE001  the answer of one image; the stream goes on
                self._refuse(answer, _typed(fault))
            else:
                answer.image.CopyFrom(image)
                self._answers.put_nowait(answer)

    def _refuse(self, answer: Answer, error: ServiceError) -> None:
        structlog.get_logger("upload").info("refused", reason=error.reason_name, index=answer.index)
        answer.error.CopyFrom(statuses.to_status(error, current_request_id()))
        self._answers.put_nowait(answer)


async def upload_one(
    intake: Intake,
    admission: Admission,
    new_spool: Callable[[], Spool],
    request: ingest_pb2.UploadImageRequest,
) -> catalog_pb2.Image:
    """The unary call: the same gates and the same order of tests as the stream."""
    header = parse_header(request.header)
    async with admission.slot():
        with new_spool() as spool:
            spool.announce(header.size_bytes)
            spool.write(request.content)
            return await intake.accept(header, spool)


def _typed(fault: Exception) -> ServiceError:
    error = statuses.translate(fault)
    if error is None:
        structlog.get_logger("upload").error("fault", exc_info=fault)
        return statuses.internal_error(current_request_id())
    return error


def _out_of_order(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_STREAM, f"{rule} The stream ends here; what was answered is stored."
    )


def _silent(timeout_s: float) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_STREAM,
        f"Nothing came for {timeout_s:g} seconds in the middle of an image; the stream ends here.",
    )
