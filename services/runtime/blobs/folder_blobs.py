"""Blobs in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, TypeVar

from obstore.store import LocalStore

from services.runtime.blobs.blob_errors import blob_errors
from services.runtime.blobs.durable_files import check_root, prepare_root, remove_file, write_file
from services.runtime.blobs.keys import check_key
from services.runtime.blobs.obstore_reads import ObstoreReads
from services.runtime.blobs.options import BlobOptions

_T = TypeVar("_T")
_COPY_BYTES = 1024 * 1024


class FolderBlobs(ObstoreReads):
    """Blobs in a folder of this machine: synced before a put returns, at most ``threads`` writers at once."""

    def __init__(self, root: Path, options: BlobOptions) -> None:
        prepare_root(root)
        super().__init__(LocalStore(root), options.timeout_s)
        self._root = root
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="blobs")

    async def put(self, key: str, data: bytes, *, overwrite: bool = False) -> bool:
        """Stores bytes."""

        def fill(file: BinaryIO) -> None:
            file.write(data)

        return await self._write(key, fill, overwrite=overwrite)

    async def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> bool:
        """Stores a file."""
        await asyncio.to_thread(path.stat)  # a missing source is the caller's error, no missing blob

        def fill(file: BinaryIO) -> None:
            with path.open("rb") as source:
                copyfileobj(source, file, _COPY_BYTES)

        return await self._write(key, fill, overwrite=overwrite)

    async def delete(self, keys: Iterable[str]) -> None:
        """Removes blobs."""
        checked = [check_key(key) for key in keys]

        def remove() -> None:
            for key in checked:
                remove_file(self._root, key)

        await self._in_thread(remove)

    def local_path(self, key: str) -> Path | None:
        """Where the blob is, or would be."""
        return self._root / check_key(key)

    async def ping(self) -> None:
        """Looks whether the folder can be written."""
        await self._in_thread(partial(check_root, self._root))

    async def close(self) -> None:
        """Ends the threads when they are done with what they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _write(self, key: str, fill: Callable[[BinaryIO], None], *, overwrite: bool) -> bool:
        write = partial(write_file, self._root, check_key(key), fill, overwrite=overwrite)
        return await self._in_thread(write)

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        with blob_errors():
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
