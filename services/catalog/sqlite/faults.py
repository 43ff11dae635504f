"""What SQLite reports, as the errors that a caller may see."""

from __future__ import annotations

import sqlite3

from services.runtime.errors import (
    DataLossError,
    DeadlineError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

# Primary result codes that speak of the store, not of one statement.
_STORE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def typed_fault(fault: BaseException) -> ServiceError | None:
    """The error that a fault of the store stands for; None when it is a fault of one statement or of ours."""
    if isinstance(fault, ServiceError):
        return fault
    code = primary_code(fault)
    if code in _DAMAGE_CODES:
        return damaged("SQLite says: " + str(fault))
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhaustedError(
            Reason.STORAGE_FULL,
            "The catalog's disk is full, or its database has reached its size limit; nothing was stored. "
            "Free space or raise the limit, then repeat.",
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return DeadlineError(Reason.DEADLINE, "The deadline of this read passed; ask for less.")
    if code in _STORE_CODES:
        return UnavailableError(
            Reason.STORE_UNAVAILABLE,
            "The catalog's database does not answer; nothing was stored. Try again.",
            retry_after_s=1.0,
        )
    return None


def primary_code(fault: BaseException) -> int:
    """SQLite's primary result code; 0 when the fault has none."""
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF if isinstance(fault, sqlite3.Error) else 0


def damaged(finding: str) -> DataLossError:
    """The answer to a damaged database."""
    return DataLossError(
        Reason.DATA_DAMAGED,
        f"The catalog's database is damaged and is not touched any further. {finding}. "
        "Restore a backup, or move the file away to start an empty catalog.",
    )
