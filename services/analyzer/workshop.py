"""Where images are looked at: bounded, within deadlines, by a crew of one thread a core."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.analyzer.crew import Crew
from services.analyzer.detector import Cancellation, raise_if_cancelled
from services.runtime.blobs.port import Blobs
from services.runtime.errors import (
    DeadlineError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)
from sightmill.v1 import common_pb2

Result = TypeVar("Result")
Look = Callable[[bytes, Cancellation], Result]
BLOB_PREFIX = "sha256/"


@dataclass(frozen=True, slots=True)
class _Source:
    """``read`` gives the bytes, in a thread; ``held_bytes`` is what is in memory already."""

    read: Callable[[], bytes]
    held_bytes: int = 0


class Workshop:
    """Reads an image's bytes and has a thread look at them, within a deadline.

    ``max_waiting`` bounds the single calls that wait for a thread; items of a stream wait for theirs, and
    whoever reads the stream bounds their number. A call that is cancelled or runs out of time is never begun,
    or frees its thread as soon as the work notices: between detectors, and within the reading of text.
    """

    def __init__(self, blobs: Blobs, threads: int, max_waiting: int, max_bytes: int) -> None:
        self._blobs = blobs
        self._crew = Crew(threads)
        self._max_single = threads + max_waiting
        self._single = 0
        self._max_bytes = max_bytes
        self._roomy_bytes = threads * max_bytes
        self._held_bytes = 0

    def close(self) -> None:
        """Waits for the threads, a few seconds at most."""
        self._crew.close()

    def is_roomy(self) -> bool:
        """Whether streams may read ahead: less is held than one image of the largest size a thread."""
        return self._held_bytes < self._roomy_bytes

    async def run(
        self,
        source: common_pb2.ImageSource,
        look: Look[Result],
        timeout_s: float,
        stream: object | None = None,
    ) -> Result:
        """What ``look`` makes of the image; ``stream`` is the stream that it is an item of.

        Raises InvalidArgumentError for a source that is none or too large, NotFoundError (BLOB_NOT_FOUND),
        ResourceExhaustedError (OVERLOADED, single calls only) and DeadlineError (also where ``timeout_s`` is
        0 or less, before anything is begun) besides what ``look`` raises.
        """
        if timeout_s <= 0:
            raise _out_of_time(timeout_s)
        single = stream is None
        if single and self._single >= self._max_single:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._single} images wait for the analyzer already; come back in a moment.",
                retry_after_s=1.0,
            )
        given_up = threading.Event()
        self._single += single
        try:
            async with asyncio.timeout(timeout_s):
                return await self._look(await self._find(source), look, given_up, stream)
        except TimeoutError:
            raise _out_of_time(timeout_s) from None
        finally:
            given_up.set()
            self._single -= single

    async def _look(
        self, source: _Source, look: Look[Result], given_up: threading.Event, stream: object | None
    ) -> Result:
        def work() -> Result:
            raise_if_cancelled(given_up)
            return look(source.read(), given_up)

        self._held_bytes += source.held_bytes
        try:
            return await self._crew.submit(work, stream)
        finally:
            self._held_bytes -= source.held_bytes

    async def _find(self, source: common_pb2.ImageSource) -> _Source:
        kind = source.WhichOneof("source")
        if kind == "content":
            # Each access copies: what waits is held once, in its message, and copied when its turn comes.
            size_bytes = len(source.content)
            self._check_size(size_bytes)
            return _Source(lambda: source.content, size_bytes)
        if kind != "blob_key":
            raise InvalidArgumentError(
                Reason.INVALID_FIELD, "image needs blob_key or content.", field="image"
            )
        if not source.blob_key.startswith(BLOB_PREFIX):
            raise InvalidArgumentError(
                Reason.INVALID_FIELD,
                "blob_key is the key of an image, as Image.blob_key gives it.",
                field="image.blob_key",
            )
        path = self._blobs.local_path(source.blob_key)
        if path is not None:
            return _Source(lambda: self._read_file(path))
        try:
            data = await self._blobs.get(source.blob_key, max_bytes=self._max_bytes)
        except InvalidArgumentError as error:
            raise self._too_large() if error.reason == Reason.INVALID_FIELD else error from None
        return _Source(lambda: data, len(data))

    def _read_file(self, path: Path) -> bytes:
        try:
            self._check_size(path.stat().st_size)
            return path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(Reason.BLOB_NOT_FOUND, "There are no bytes under that blob key.") from None

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> InvalidArgumentError:
        return InvalidArgumentError(
            Reason.IMAGE_TOO_LARGE,
            f"The image is larger than {self._max_bytes} bytes, the most that is allowed here.",
            limit_bytes=self._max_bytes,
        )


def _out_of_time(timeout_s: float) -> DeadlineError:
    return DeadlineError(
        Reason.DEADLINE,
        f"The image was not done within {timeout_s:g} seconds; allow more time or ask for less.",
    )
