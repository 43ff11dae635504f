"""Threads that look at images: one a core, each with one image at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from services.analyzer.detector import Cancellation
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


class Workshop:
    """Reads an image's bytes and has a thread look at them, within a deadline.

    ``max_waiting`` bounds the calls that wait for a thread. A call that is cancelled or runs out of time
    frees its thread as soon as the work notices: between detectors, and within the reading of text.
    """

    def __init__(self, blobs: Blobs, threads: int, max_waiting: int, max_bytes: int) -> None:
        self._blobs = blobs
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="look")
        self._max_pending = threads + max_waiting
        self._max_bytes = max_bytes
        self._pending = 0

    def close(self) -> None:
        """Waits for the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def run(self, source: common_pb2.ImageSource, look: Look[Result], timeout_s: float) -> Result:
        """What ``look`` makes of the image.

        Raises InvalidArgumentError for a source that is none, NotFoundError (BLOB_NOT_FOUND),
        ResourceExhaustedError (OVERLOADED) and DeadlineError besides what ``look`` raises.
        """
        if self._pending >= self._max_pending:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._pending} images wait for the analyzer already; come back in a moment.",
                retry_after_s=1.0,
            )
        given_up = threading.Event()
        self._pending += 1
        try:
            async with asyncio.timeout(timeout_s):
                read = await self._reader(source)
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._pool, lambda: look(read(), given_up))
        except TimeoutError:
            raise DeadlineError(
                Reason.DEADLINE,
                f"The image took longer than {timeout_s:g} seconds; allow more time or ask for less.",
            ) from None
        finally:
            given_up.set()
            self._pending -= 1

    async def _reader(self, source: common_pb2.ImageSource) -> Callable[[], bytes]:
        """A function that gives the bytes; for a local store the thread itself reads the file."""
        kind = source.WhichOneof("source")
        if kind == "content":
            content = source.content
            if len(content) > self._max_bytes:
                raise InvalidArgumentError(
                    Reason.IMAGE_TOO_LARGE,
                    f"The image is larger than {self._max_bytes} bytes, the most that is allowed here.",
                    limit_bytes=self._max_bytes,
                )
            return lambda: content
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
            return lambda: _read_file(path)
        data = await self._blobs.get(source.blob_key, max_bytes=self._max_bytes)
        return lambda: data


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(Reason.BLOB_NOT_FOUND, "There are no bytes under that blob key.") from None
