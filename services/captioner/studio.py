"""The room where pictures are decoded: in threads, a few at a time, so that memory stays bounded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

from services.captioner.measurements import Measurements
from services.captioner.upload_picture import Upload, glance_at, prepare_pillow, scale_for_upload
from services.runtime.errors import Reason, UnavailableError

# A store that hangs keeps this many reads for each decoder busy, and each of them for this long.
READS_PER_WORKER = 4
READ_TIMEOUT_S = 30.0


@runtime_checkable
class AtHand(Protocol):
    """Bytes that nobody has to wait for; they may be read in a thread."""

    def read(self) -> bytes:
        """All of them."""


T = TypeVar("T")
Load = Callable[[], Awaitable[bytes]] | AtHand


class Studio:
    """Decodes at most ``workers`` pictures at the same time, of at most ``max_pixels`` each.

    At most ``READS_PER_WORKER`` times as many originals are being read, or are read and wait to be decoded;
    those at hand wait for no reads.
    """

    def __init__(self, threads: ThreadPoolExecutor, workers: int, max_pixels: int) -> None:
        self._threads = threads
        self._max_pixels = max_pixels
        self._reads = asyncio.Semaphore(READS_PER_WORKER * workers)
        self._decodes = asyncio.Semaphore(workers)

    async def upload(self, load: Load, edge_px: int) -> Upload:
        """A JPEG of at most ``edge_px`` on either side; errors as ``scale_for_upload`` and ``digest``."""
        return await self._decode(load, lambda data: scale_for_upload(data, edge_px, self._max_pixels))

    async def digest(self, load: Load) -> str:
        """SHA-256 of the original bytes, 64 hexadecimal digits.

        Raises UnavailableError (BLOBS_UNAVAILABLE) after ``READ_TIMEOUT_S``, and as ``load``.
        """
        return await self._decode(load, lambda data: hashlib.sha256(data).hexdigest())

    async def glance(self, load: Load) -> Measurements:
        """What can be seen cheaply; errors as ``glance_at`` and ``digest``."""
        return await self._decode(load, lambda data: glance_at(data, self._max_pixels))

    async def _decode(self, load: Load, work: Callable[[bytes], T]) -> T:
        if isinstance(load, AtHand):
            await self._decodes.acquire()
            return await self._in_thread(lambda: work(load.read()))
        async with self._reads:
            data = await _read(load)
            await self._decodes.acquire()
        return await self._in_thread(lambda: work(data))

    async def _in_thread(self, job: Callable[[], T]) -> T:
        """The place that the caller has taken is free again once the thread is done, whoever waits for it.

        Given up earlier, the place would let jobs of cancelled calls pile up before the threads.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, job)
        running.add_done_callback(lambda _: self._decodes.release())
        return await asyncio.shield(running)


@contextmanager
def open_studio(workers: int, max_pixels: int) -> Iterator[Studio]:
    """A studio with threads of its own; a decode that runs at the end is waited for."""
    prepare_pillow(max_pixels)
    with ThreadPoolExecutor(workers, thread_name_prefix="studio") as threads:
        yield Studio(threads, workers, max_pixels)


async def _read(load: Callable[[], Awaitable[bytes]]) -> bytes:
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await load()
    except TimeoutError:
        raise UnavailableError(
            Reason.BLOBS_UNAVAILABLE,
            f"The image was not read from the blob store within {READ_TIMEOUT_S:g} s; try again, or send its "
            "bytes.",
            retry_after_s=5.0,
        ) from None
