"""Blobs in a bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from services.runtime.blobs.blob_errors import blob_errors
from services.runtime.blobs.keys import check_key
from services.runtime.blobs.obstore_reads import ObstoreReads
from services.runtime.blobs.options import BlobOptions

_SINGLE_PUT_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4


class BucketBlobs(ObstoreReads):
    """Blobs in an S3 bucket.

    Up to 8 MiB "only if absent" is the bucket's own atomic condition. Larger blobs go up in parts, and are
    looked for first; two writers at once both succeed, which content addressing makes harmless.
    """

    def __init__(self, store: ObjectStore, options: BlobOptions) -> None:
        super().__init__(store, options.timeout_s)

    async def put(self, key: str, data: bytes, *, overwrite: bool = False) -> bool:
        """Stores bytes."""
        return await self._put(key, data, len(data), overwrite=overwrite)

    async def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> bool:
        """Stores a file."""
        return await self._put(key, path, (await asyncio.to_thread(path.stat)).st_size, overwrite=overwrite)

    async def delete(self, keys: Iterable[str]) -> None:
        """Removes blobs, a thousand a request."""
        checked = [check_key(key) for key in keys]
        if checked:
            with blob_errors():
                async with asyncio.timeout(self._timeout_s):
                    await obstore.delete_async(self._store, checked)

    def local_path(self, key: str) -> Path | None:
        """None: a bucket has no files."""
        check_key(key)
        return None

    async def ping(self) -> None:
        """Lists one key: a missing bucket answers a look at a key like a missing key."""
        with blob_errors():
            async with asyncio.timeout(self._timeout_s):
                await anext(obstore.list(self._store, chunk_size=1), None)

    async def close(self) -> None:
        """Nothing to free: connections close with the process."""

    async def _put(self, key: str, data: bytes | Path, size_bytes: int, *, overwrite: bool) -> bool:
        if not overwrite and await self.head(key):
            return False
        is_single = size_bytes <= _SINGLE_PUT_BYTES
        check_key(key)
        with blob_errors():
            try:
                async with asyncio.timeout(self._timeout_s):
                    await obstore.put_async(
                        self._store,
                        key,
                        data,
                        mode="create" if is_single and not overwrite else "overwrite",
                        use_multipart=not is_single,
                        max_concurrency=_PARTS_AT_ONCE,
                    )
            except AlreadyExistsError:
                return False
        return True
