"""Typed errors to ``google.rpc.Status`` and back."""

from __future__ import annotations

import math
from contextlib import suppress

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from services.runtime import errors
from services.runtime.errors import DOMAIN, Reason, ServiceError
from sightmill.v1 import errors_pb2

DETAILS_KEY = "grpc-status-details-bin"
# Statuses travel as HTTP/2 trailers, which peers cut at 8 KiB. The message travels twice, once with every
# byte outside of ASCII written as three.
MAX_MESSAGE_BYTES = 1_000
MAX_FACT_BYTES = 200
MAX_FACTS = 12

_CLASSES: dict[grpc.StatusCode, type[ServiceError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgumentError,
        errors.NotFoundError,
        errors.AlreadyExistsError,
        errors.FailedPreconditionError,
        errors.AbortedError,
        errors.ResourceExhaustedError,
        errors.UnavailableError,
        errors.DeadlineError,
        errors.UnimplementedError,
        errors.UnauthenticatedError,
        errors.PermissionDeniedError,
        errors.DataLossError,
        errors.InternalError,
    )
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


def code_by_number(number: int) -> grpc.StatusCode:
    """The code of a number; UNKNOWN for a number that gRPC does not know."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    """The code of a status."""
    return code_by_number(status.code)


def to_status(error: ServiceError, request_id: str = "") -> status_pb2.Status:
    """The status that says everything a caller may know: code, reason, facts, when to come back."""
    info = error_details_pb2.ErrorInfo(reason=error.reason_name, domain=DOMAIN)
    for key, value in list(error.metadata.items())[:MAX_FACTS]:
        info.metadata[_cut(key, MAX_FACT_BYTES)] = _cut(value, MAX_FACT_BYTES)
    if request_id:
        info.metadata["request_id"] = request_id
    status = status_pb2.Status(code=error.code.value[0], message=_cut(error.message, MAX_MESSAGE_BYTES))
    status.details.append(_packed(info))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(error.retry_after_s * 1_000))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status


def from_status(status: status_pb2.Status) -> ServiceError:
    """The typed error that a status of the suite was made from.

    A status of another origin, or one that is damaged, becomes an error of a general reason.
    """
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.INTERNAL)
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        with suppress(DecodeError):
            if detail.Unpack(info):
                continue
            if detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
    if info.domain == DOMAIN and info.reason in errors_pb2.ErrorReason.keys():  # noqa: SIM118  enum wrapper
        kind = _CLASSES.get(code, errors.InternalError)
        facts = {key: value for key, value in info.metadata.items() if key != "request_id"}
        error = kind(errors_pb2.ErrorReason.Value(info.reason), status.message, retry_after_s=retry_after_s)
        error.metadata = facts
        return error
    return _foreign(code, retry_after_s)


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """The typed error behind a failed call to another service."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            with suppress(DecodeError):
                return from_status(status_pb2.Status.FromString(value))
    return _foreign(error.code(), None)


def translate(error: BaseException) -> ServiceError | None:
    """The typed error that an exception stands for; None when it is a fault of ours."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc_error(error)
    if isinstance(error, TimeoutError):
        return errors.DeadlineError(
            Reason.DEADLINE, "The deadline of this call passed; allow more time or send less."
        )
    return None


def internal_error(request_id: str) -> ServiceError:
    """What a caller sees of a fault of ours: nothing but the id to quote."""
    return errors.InternalError(
        Reason.INTERNAL_ERROR, f"Internal error; quote request id {request_id} to the operator."
    )


def _foreign(code: grpc.StatusCode, retry_after_s: float | None) -> ServiceError:
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.UnavailableError(
            Reason.SERVICE_UNAVAILABLE,
            "A service of the suite does not answer; try again.",
            retry_after_s=1.0,
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineError(Reason.DEADLINE, "The deadline of this call passed.")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.ResourceExhaustedError(
            Reason.OVERLOADED,
            "Too much at once, or a message over the size limit; send less, or use the streaming call.",
            retry_after_s=retry_after_s or 1.0,
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.UnimplementedError(Reason.NOT_SERVED_YET, "The service does not know this method.")
    return errors.InternalError(Reason.INTERNAL_ERROR, "A service of the suite failed.")


def _cut(text: str, limit_bytes: int) -> str:
    """The text without what UTF-8 cannot say, cut to whole characters."""
    return text.encode(errors="replace")[:limit_bytes].decode(errors="ignore")


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
