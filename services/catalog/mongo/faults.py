"""What a MongoDB driver reports, as the errors that a caller may see. No message holds the URL."""

from __future__ import annotations

from typing import Any

from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from services.runtime.errors import (
    DataLossError,
    DeadlineError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

# Codes of the server: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_WRITE_CONFLICT = 112
_DUPLICATE_KEY = 11000
_DISK_FULL_CODES = {14031}
_DAMAGE_CODES = {127, 301}
_CREDENTIAL_CODES = {13, 18}


def typed_fault(fault: BaseException) -> ServiceError | None:
    """The error that a fault of the driver stands for; None when it is one of a statement or of ours."""
    if isinstance(fault, ServiceError):
        return fault
    if isinstance(fault, TimeoutError):
        return _late()
    return _driver_fault(fault) if isinstance(fault, PyMongoError) else None


def _driver_fault(fault: PyMongoError) -> ServiceError | None:
    codes = _codes(fault)
    if codes & _DISK_FULL_CODES:
        return ResourceExhaustedError(
            Reason.STORAGE_FULL,
            "The disk of the catalog's database is full; nothing was stored. Free space, then repeat.",
        )
    if codes & _DAMAGE_CODES:
        return DataLossError(
            Reason.DATA_DAMAGED,
            "The catalog's database reports damaged data; restore a backup or resynchronise the member.",
        )
    if codes & _CREDENTIAL_CODES:
        return unavailable("The catalog's database refuses the credentials of its URL; correct the setting.")
    return _waiting_fault(fault)


def _waiting_fault(fault: PyMongoError) -> ServiceError | None:
    if isinstance(fault, ServerSelectionTimeoutError):
        return unavailable("The catalog's database does not answer. Try again.")
    if fault.timeout or may_repeat(fault):
        return _late()
    if isinstance(fault, ConnectionFailure):
        return unavailable("The connection to the catalog's database broke. Try again.")
    return None


def may_repeat(fault: PyMongoError) -> bool:
    """True when the same transaction may succeed if it runs again from its beginning."""
    return fault.has_error_label("TransientTransactionError") or _WRITE_CONFLICT in _codes(fault)


def is_duplicate(fault: PyMongoError) -> bool:
    """True when somebody else stored the same key."""
    return _DUPLICATE_KEY in _codes(fault)


def unavailable(message: str) -> UnavailableError:
    """The answer when nothing can be asked of the database."""
    return UnavailableError(Reason.STORE_UNAVAILABLE, message, retry_after_s=1.0)


def _late() -> DeadlineError:
    return DeadlineError(
        Reason.DEADLINE, "The deadline of this call to the catalog's database passed; ask for less, or again."
    )


def _codes(fault: PyMongoError) -> set[int]:
    """All codes in a fault, those of the single writes of a bulk included."""
    if not isinstance(fault, OperationFailure):
        return set()
    details: Any = fault.details or {}
    errors = [details, *details.get("writeErrors", ()), details.get("writeConcernError") or {}]
    return {fault.code or 0, *(error.get("code", 0) for error in errors)} - {0}
