"""Bytes of an upload while they come in: in memory while few, on disk when many, never more than allowed."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Spool:
    """Takes chunks up to a limit and knows their digest. Close it, or use it as a context."""

    def __init__(self, folder: Path, limit_bytes: int, memory_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # Closed in close(), which the owner calls; the file has no name that anybody could open.
        self._file = tempfile.SpooledTemporaryFile(memory_bytes, "w+b", dir=str(folder))  # noqa: SIM115
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def announce(self, size_bytes: int) -> None:
        """Refuses an image whose announced size is over the limit, before its bytes come."""
        if size_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)

    def write(self, chunk: bytes) -> None:
        """Adds bytes. Raises InvalidArgumentError (IMAGE_TOO_LARGE) before the limit is passed."""
        if self.size_bytes + len(chunk) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        self._digest.update(chunk)
        with _disk():
            self._file.write(chunk)
        self.size_bytes += len(chunk)

    @property
    def sha256(self) -> str:
        """SHA-256 of what came in so far, 64 lower-case hexadecimal digits."""
        return self._digest.hexdigest()

    def read(self) -> bytes:
        """All bytes."""
        with _disk():
            self._file.seek(0)
            return self._file.read()

    def close(self) -> None:
        """Gives memory and disk back."""
        with suppress(OSError):  # bytes that a full disk did not take are not wanted any more
            self._file.close()


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ResourceExhaustedError(
            Reason.STORAGE_FULL,
            "The disk that receives uploads is full. Free space there, then send the image again.",
            retry_after_s=5.0,
        ) from error


def too_large(limit_bytes: int) -> InvalidArgumentError:
    """The refusal of an image with too many bytes."""
    return InvalidArgumentError(
        Reason.IMAGE_TOO_LARGE,
        f"The image is larger than {limit_bytes} bytes, the most that is allowed here.",
        limit_bytes=limit_bytes,
    )
