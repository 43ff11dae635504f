"""The room where pictures are decoded: in threads, a few at a time, so that memory stays bounded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from services.captioner.measurements import Measurements
from services.captioner.upload_picture import Upload, glance_at, prepare_pillow, scale_for_upload

T = TypeVar("T")
Load = Callable[[], Awaitable[bytes]]


class Studio:
    """Loads and decodes at most ``workers`` pictures at the same time, of at most ``max_pixels`` each."""

    def __init__(self, threads: ThreadPoolExecutor, workers: int, max_pixels: int) -> None:
        self._threads = threads
        self._max_pixels = max_pixels
        # The bytes of an original are held only while it has a place here.
        self._places = asyncio.Semaphore(workers)

    async def upload(self, load: Load, edge_px: int) -> Upload:
        """A JPEG of at most ``edge_px`` on either side; errors as ``scale_for_upload`` and ``load``."""
        return await self._decode(load, lambda data: scale_for_upload(data, edge_px, self._max_pixels))

    async def digest(self, load: Load) -> str:
        """SHA-256 of the original bytes, 64 hexadecimal digits; errors as ``load``."""
        return await self._decode(load, lambda data: hashlib.sha256(data).hexdigest())

    async def glance(self, load: Load) -> Measurements:
        """What can be seen cheaply; errors as ``glance_at`` and ``load``."""
        return await self._decode(load, lambda data: glance_at(data, self._max_pixels))

    async def _decode(self, load: Load, work: Callable[[bytes], T]) -> T:
        async with self._places:
            data = await load()
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, data)


@contextmanager
def open_studio(workers: int, max_pixels: int) -> Iterator[Studio]:
    """A studio with threads of its own; a decode that runs at the end is waited for."""
    prepare_pillow(max_pixels)
    with ThreadPoolExecutor(workers, thread_name_prefix="studio") as threads:
        yield Studio(threads, workers, max_pixels)
