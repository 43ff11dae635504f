"""What a folder and a bucket have in common: reading, over obstore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import obstore
from obstore.store import ObjectStore

from services.runtime.blobs.blob_errors import blob_errors, blob_not_found
from services.runtime.blobs.keys import check_key, check_prefix
from services.runtime.blobs.port import BlobInfo
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason

_WINDOW_BYTES = 4 * 1024 * 1024


class ObstoreReads:
    """The reading half of ``services.runtime.blobs.port.Blobs``."""

    def __init__(self, store: ObjectStore, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s

    async def get(self, key: str, max_bytes: int) -> bytes:
        """All bytes."""
        check_key(key)
        with blob_errors(key):
            async with asyncio.timeout(self._timeout_s):
                found = await obstore.get_async(self._store, key)
                size_bytes = found.meta["size"]
                if size_bytes <= max_bytes:
                    return bytes(await found.bytes_async())
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            f"Blob {key} has {size_bytes} bytes, the caller takes {max_bytes}. Read it as a stream.",
            limit_bytes=max_bytes,
        )

    async def stream(
        self, key: str, chunk_bytes: int = 262_144, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes in pieces."""
        if start < 0 or chunk_bytes < 1:
            raise ValueError("A stream starts at 0 or later and has pieces of at least one byte.")
        info = await self.head(key)
        if info is None:
            raise blob_not_found(key)
        end = info.size_bytes if end is None else min(end, info.size_bytes)
        window_bytes = max(_WINDOW_BYTES // chunk_bytes, 1) * chunk_bytes
        for position in range(start, end, window_bytes):
            with blob_errors(key):
                async with asyncio.timeout(self._timeout_s):
                    window = memoryview(
                        await obstore.get_range_async(
                            self._store, key, start=position, end=min(position + window_bytes, end)
                        )
                    )
            for offset in range(0, len(window), chunk_bytes):
                yield bytes(window[offset : offset + chunk_bytes])

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, or None."""
        check_key(key)
        try:
            with blob_errors(key):
                async with asyncio.timeout(self._timeout_s):
                    meta = await obstore.head_async(self._store, key)
        except NotFoundError:
            return None
        return BlobInfo(key, meta["size"], meta["last_modified"])

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """All blobs under the prefix."""
        pages = obstore.list(self._store, check_prefix(prefix) or None, chunk_size=1000)
        while True:
            with blob_errors():
                try:
                    async with asyncio.timeout(self._timeout_s):
                        page = await anext(pages)
                except StopAsyncIteration:
                    return
            for meta in page:
                yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])
