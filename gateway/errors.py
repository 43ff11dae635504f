"""Errors as HTTP answers: one status per error, one body per dialect, never a trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.protobuf import json_format
from starlette.responses import JSONResponse

from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import InvalidArgumentError, Reason, ServiceError

Body = dict[str, object]

_OF_REASON = {
    Reason.IMAGE_TOO_LARGE: 413,
    Reason.IMAGE_TOO_MANY_PIXELS: 413,
    Reason.IMAGE_FORMAT_UNSUPPORTED: 415,
    Reason.IMAGE_UNDECODABLE: 422,
    Reason.IMAGE_DECODE_TIMEOUT: 422,
}
_OF_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_PASSING = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class HttpError(Exception):
    """An answer that a dialect prescribes to the letter."""

    def __init__(self, status: int, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


class MalformedBodyError(InvalidArgumentError):
    """The body is not what its content type says, or breaks off."""

    def __init__(
        self, message: str, reason: Reason.ValueType = Reason.INVALID_FIELD, *, field: str = "body"
    ) -> None:
        super().__init__(reason, message, field=field)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one older service words its errors. ``refuse`` gives the words, ``body`` the shape."""

    prefixes: tuple[str, ...]
    body: Callable[[str], Body]
    refuse: Callable[[ServiceError], HttpError]


def err_body(message: str) -> Body:
    """ERR."""
    return {"error": message}


def det_body(message: str) -> Body:
    """DET."""
    return {"detail": message}


def all_keys_body(message: str) -> Body:
    """Satisfies every dialect: for paths that belong to none."""
    return {"success": False, "error": message, "detail": message, "timestamp": now()}


def native_body(error: ServiceError) -> Body:
    """``google.rpc.Status`` as the edge's transcoder prints it; the text of our own faults is withheld."""
    request_id = current_request_id()
    shown = statuses.internal_error(request_id) if http_status(error) == 500 else error
    status = statuses.to_status(shown, request_id)
    return json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def http_status(error: ServiceError) -> int:
    """The HTTP status of an error; 500 for everything that callers can do nothing about."""
    return _OF_REASON.get(error.reason) or _OF_CODE.get(error.code, 500)


def native_response(error: ServiceError) -> JSONResponse:
    """An error of the native interface."""
    status = http_status(error)
    return JSONResponse(native_body(error), status, retry_headers(status, error.retry_after_s))


def dialect_response(dialect: Dialect | None, error: HttpError) -> JSONResponse:
    """An error of a dialect, or of a path that belongs to none."""
    body = dialect.body if dialect else all_keys_body
    return JSONResponse(body(error.message), error.status, retry_headers(error.status, error.retry_after_s))


def passing_fault(error: ServiceError) -> HttpError | None:
    """503 for what will pass by itself; None for everything else. Dialects know neither 429 nor 504."""
    if error.code not in _PASSING:
        return None
    return HttpError(503, error.message, retry_after_s=error.retry_after_s)


def retry_headers(status: int, retry_after_s: float | None) -> Mapping[str, str]:
    """When to come back, in whole seconds, for the statuses that promise it."""
    if status not in {429, 503}:
        return {}
    return {"Retry-After": str(max(1, math.ceil(retry_after_s or 1)))}


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat()
