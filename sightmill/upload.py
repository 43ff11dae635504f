"""Many images over one stream, sent again after a break without doubling any.

Memory is bounded by the window: at most ``max_in_flight`` images are unanswered or unread by the caller, of
each file at most 1 MiB is read ahead, and the stream's flow control holds the reading back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

import grpc

from sightmill.errors import SightmillError, from_rpc_error, from_status
from sightmill.photo import Photo, open_aside
from sightmill.retries import delay_s, is_break, out_of_time
from sightmill.v1 import catalog_pb2, ingest_pb2, ingest_pb2_grpc

CHUNK_BYTES = 262_144
READ_BYTES = 4 * CHUNK_BYTES
# How often one image is sent at most over streams that were open, and how many streams in a row may break
# before the first answer of all. A server that has answered and is away is waited for as long as nothing may
# move: it is being restarted.
MAX_TRIES = 5

Call: TypeAlias = grpc.aio.StreamStreamCall[ingest_pb2.UploadImagesRequest, ingest_pb2.UploadImagesResponse]


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How far an upload is. ``bytes_sent`` goes back when a broken stream makes it send bytes again."""

    bytes_sent: int
    images_acknowledged: int


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What became of one photo: an image, or the error that says why not. ``index`` counts from 0."""

    index: int
    photo: Photo
    image: catalog_pb2.Image | None = None
    error: SightmillError | None = None

    def unwrap(self) -> catalog_pb2.Image:
        """The image.

        Raises:
            SightmillError: the photo was refused.
        """
        if self.image is not None:
            return self.image
        raise self.error or SightmillError(grpc.StatusCode.INTERNAL, "INTERNAL_ERROR", "No answer.")


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """How to upload. ``timeout_s`` is how long nothing at all may move, in seconds."""

    address: str
    timeout_s: float
    max_in_flight: int
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True, eq=False)
class _Pending:
    """A photo without a final answer. ``answered`` says that the server spoke of the try that runs."""

    index: int
    photo: Photo
    tries: int = 0
    size_bytes: int = 0
    sent_bytes: int = 0
    answered: bool = False
    read_error: SightmillError | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a stream: good without an error, worth another stream when torn."""

    error: Exception | None = None
    torn: bool = False


class UploadRun:
    """One upload, over as many streams as it takes. ``results`` may be called once."""

    def __init__(
        self,
        stub: ingest_pb2_grpc.IngestServiceAsyncStub,
        photos: Iterable[Photo],
        settings: UploadSettings,
        on_progress: Callable[[UploadProgress], None] | None = None,
    ) -> None:
        self._stub = stub
        self._photos = enumerate(photos)
        self._settings = settings
        self._on_progress = on_progress
        self._exhausted = False
        self._open: dict[str, _Pending] = {}
        self._again: deque[_Pending] = deque()
        self._events: asyncio.Queue[UploadResult | _End] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._moved_at = self._resume_at = self._clock()
        self._bytes_sent = self._acknowledged = 0
        self._answered_at = self._clock()
        self._connected = False

    async def results(self) -> AsyncGenerator[UploadResult, None]:
        """The outcome of every photo, in the order in which they are known.

        Raises:
            SightmillError: the stream was refused, or nothing answered: five times in a row at the start, for
                ``timeout_s`` later on.
        """
        fruitless = 0
        while True:
            acknowledged = self._acknowledged
            async with aclosing(self._stream()) as stream:
                async for event in stream:
                    if isinstance(event, UploadResult):
                        yield event
                    else:
                        end = event
            if end.error is None:
                return
            fruitless = fruitless + 1 if self._acknowledged == acknowledged else 0
            if not end.torn or not isinstance(end.error, SightmillError) or self._is_hopeless(fruitless):
                raise end.error
            self._take_back(end.error)
            await asyncio.sleep(delay_s(max(0, fruitless - 1), end.error.retry_after_s))

    def _is_hopeless(self, fruitless: int) -> bool:
        if self._acknowledged == 0:
            return fruitless >= MAX_TRIES
        return self._clock() - self._answered_at >= self._settings.timeout_s

    async def _stream(self) -> AsyncGenerator[UploadResult | _End, None]:
        """The events of one stream; the last one is its end."""
        self._connected = False
        call = self._stub.UploadImages(metadata=self._settings.headers)
        tasks = [asyncio.create_task(self._send_all(call)), asyncio.create_task(self._read_all(call))]
        try:
            while True:
                event = await self._next_event()
                self._changed.set()
                yield event
                if isinstance(event, _End):
                    return
        finally:
            call.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _next_event(self) -> UploadResult | _End:
        self._moved_at = max(self._moved_at, self._clock())
        while True:
            end = self._moved_at + self._settings.timeout_s
            try:
                async with asyncio.timeout_at(end):
                    return await self._events.get()
            except TimeoutError:
                if self._moved_at + self._settings.timeout_s <= end:
                    return _End(out_of_time("The upload did not move in time. Allow more time."), torn=True)

    async def _send_all(self, call: Call) -> None:
        try:
            while (pending := await self._next_pending()) is not None:
                await self._send(call, pending)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reader learns why the stream ended
        except Exception as raised:  # noqa: BLE001  the caller's iterable may raise anything, and gets it back
            self._events.put_nowait(_End(raised))

    async def _next_pending(self) -> _Pending | None:
        while True:
            if (pause_s := self._resume_at - self._clock()) > 0:
                await asyncio.sleep(pause_s)
            if self._again:
                return self._again.popleft()
            if not self._exhausted and self._has_room():
                following = next(self._photos, None)
                if following is not None:
                    return _Pending(*following)
                self._exhausted = True
            if self._exhausted and not self._open:
                return None
            self._changed.clear()
            await self._changed.wait()

    def _has_room(self) -> bool:
        return len(self._open) + self._events.qsize() < self._settings.max_in_flight

    async def _send(self, call: Call, pending: _Pending) -> None:
        pending.tries += 1
        pending.answered = False
        key = f"{pending.index}.{pending.tries}"
        self._open[key] = pending
        try:
            file, pending.size_bytes = await open_aside(pending.photo.source)
        except OSError as raised:
            self._settle(key, error=_unreadable(pending.photo, raised))
            return
        with file:
            header = pending.photo.header(key, pending.size_bytes)
            await call.write(ingest_pb2.UploadImagesRequest(header=header))
            while not pending.answered:
                try:
                    block = await asyncio.to_thread(file.read, READ_BYTES)
                except OSError as raised:
                    pending.read_error = _unreadable(pending.photo, raised)
                    break
                if not block:
                    break
                await self._send_block(call, pending, block)
        await call.write(ingest_pb2.UploadImagesRequest(finish=ingest_pb2.UploadFinish()))

    async def _send_block(self, call: Call, pending: _Pending, block: bytes) -> None:
        for start in range(0, len(block), CHUNK_BYTES):
            if pending.answered:
                return
            chunk = block[start : start + CHUNK_BYTES]
            await call.write(ingest_pb2.UploadImagesRequest(chunk=chunk))
            if not pending.answered:
                self._count(pending, pending.sent_bytes + len(chunk))

    async def _read_all(self, call: Call) -> None:
        try:
            await call.wait_for_connection()
            self._connected = True
            async for answer in call:
                self._take(answer)
            self._events.put_nowait(self._good_end())
        except grpc.aio.AioRpcError as raised:
            error = from_rpc_error(raised, self._settings.address)
            self._events.put_nowait(_End(error, torn=is_break(raised)))
        except Exception as raised:  # noqa: BLE001  the caller's callback may raise anything, and gets it back
            self._events.put_nowait(_End(raised))

    def _good_end(self) -> _End:
        if self._exhausted and not self._open and not self._again:
            return _End()
        early = "The server ended the upload before every image was answered."
        return _End(SightmillError(grpc.StatusCode.UNAVAILABLE, "UPLOAD_INCOMPLETE", early), torn=True)

    def _take(self, answer: ingest_pb2.UploadImagesResponse) -> None:
        pending = self._open.get(answer.key)
        if pending is None:
            return
        if answer.HasField("image"):
            self._settle(answer.key, image=answer.image)
            return
        error = from_status(answer.error)
        if error.retry_after_s is not None and pending.tries < MAX_TRIES:
            self._postpone(answer.key, delay_s(pending.tries, error.retry_after_s))
        else:
            self._settle(answer.key, error=pending.read_error or error)

    def _postpone(self, key: str, pause_s: float) -> None:
        """Sends an image again later; a server that is full gets no other image until then."""
        pending = self._open.pop(key)
        pending.answered = True
        self._count(pending, 0)
        self._again.append(pending)
        self._resume_at = self._moved_at = max(self._resume_at, self._clock() + pause_s)
        self._changed.set()

    def _settle(
        self, key: str, image: catalog_pb2.Image | None = None, error: SightmillError | None = None
    ) -> None:
        pending = self._open.pop(key)
        pending.answered = True
        self._acknowledged += 1
        self._answered_at = self._clock()
        self._count(pending, pending.size_bytes)
        self._events.put_nowait(UploadResult(pending.index, pending.photo, image, error))
        self._changed.set()

    def _take_back(self, error: SightmillError) -> None:
        """Puts what a broken stream left unanswered in line again."""
        unanswered = sorted([*self._open.items()], key=lambda item: item[1].index)
        for key, pending in unanswered:
            if not self._connected:
                pending.tries -= 1
            if pending.tries >= MAX_TRIES:
                self._settle(key, error=error)
                continue
            del self._open[key]
            self._count(pending, 0)
            self._again.append(pending)

    def _count(self, pending: _Pending, sent_bytes: int) -> None:
        self._bytes_sent += sent_bytes - pending.sent_bytes
        pending.sent_bytes = sent_bytes
        self._moved_at = max(self._moved_at, self._clock())
        if self._on_progress is not None:
            self._on_progress(UploadProgress(self._bytes_sent, self._acknowledged))


def _unreadable(photo: Photo, raised: OSError) -> SightmillError:
    return SightmillError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "FILE_UNREADABLE",
        f"The file cannot be read ({raised.strerror or type(raised).__name__}). Check its name and rights.",
        metadata={"file": photo.name},
    )
