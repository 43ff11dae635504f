"""Turns what drivers and the system raise into errors that a caller may see."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from services.runtime.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_TEXTS = ("507 Insufficient Storage", "QuotaExceeded", "StorageFull")


@contextmanager
def blob_errors(reading: str = "") -> Iterator[None]:
    """Errors inside become ``ServiceError``s; the driver's text stays in the cause.

    ``reading`` is the key whose absence is an answer. While writing, what is missing is the store.
    """
    try:
        yield
    except TimeoutError as error:
        raise _unavailable("did not answer in time") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InvalidArgumentError(
            Reason.INVALID_NAME, "The key is the folder of another blob, or lies below one. Choose another."
        ) from error
    except OSError as error:
        if reading and isinstance(error, FileNotFoundError):
            raise blob_not_found(reading) from error
        if error.errno in _FULL:
            raise _full() from error
        raise _unavailable("cannot be read or written") from error
    except BaseError as error:
        if reading and "kind: NotADirectory" in str(error):  # a key below a blob in a folder
            raise blob_not_found(reading) from error
        if any(text in str(error) for text in _FULL_TEXTS):
            raise _full() from error
        raise _unavailable("does not answer or refuses our credentials") from error


def blob_not_found(key: str) -> NotFoundError:
    """No bytes under that key."""
    return NotFoundError(Reason.BLOB_NOT_FOUND, f"There is no blob {key}.", key=key)


def _full() -> ResourceExhaustedError:
    return ResourceExhaustedError(
        Reason.STORAGE_FULL, "The blob store is full. Free space or raise its quota, then repeat the call."
    )


def _unavailable(what: str) -> UnavailableError:
    return UnavailableError(
        Reason.BLOBS_UNAVAILABLE, f"The blob store {what}. Try again later.", retry_after_s=2.0
    )
