"""What a service may ask of a blob store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of a blob without reading it. ``modified`` is in UTC."""

    key: str
    size_bytes: int
    modified: datetime


class Blobs(Protocol):
    """Bytes under keys (``services.runtime.blobs.keys`` says which keys are valid).

    Every call ends by the store's deadline. Errors: ``NotFoundError(BLOB_NOT_FOUND)``,
    ``UnavailableError(BLOBS_UNAVAILABLE)``, ``ResourceExhaustedError(STORAGE_FULL)`` and, for a bad key,
    ``InvalidArgumentError(INVALID_NAME)``.
    """

    async def put(self, key: str, data: bytes, *, overwrite: bool = False) -> bool:
        """Stores ``data`` whole or not at all; once it returns the blob outlives a power cut.

        Without ``overwrite`` a blob that is there stays as it is, and the result is False.
        """
        ...

    async def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> bool:
        """Like ``put``, from a file, in bounded memory."""
        ...

    async def get(self, key: str, max_bytes: int) -> bytes:
        """All bytes; raises ``InvalidArgumentError(INVALID_FIELD)`` above ``max_bytes``."""
        ...

    def stream(
        self, key: str, chunk_bytes: int = 262_144, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from ``start`` to before ``end``, in pieces of ``chunk_bytes``, the last one shorter.

        Offsets past the end of the blob are cut to it. The deadline is for each piece, and a slow reader
        keeps no connection busy.
        """
        ...

    async def head(self, key: str) -> BlobInfo | None:
        """What is known of the blob, or None."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Removes the blobs; those that are not there are no error."""
        ...

    def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """All blobs whose key begins with the path segments of ``prefix``, in no order."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where a process on this machine may read the blob itself; None in a bucket.

        There need not be a file: it is not looked at.
        """
        ...

    async def ping(self) -> None:
        """Returns when the store answers and takes our credentials."""
        ...

    async def close(self) -> None:
        """Frees threads. No call may follow."""
        ...
