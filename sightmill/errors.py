"""What the client raises: one error that knows its status code, its reason and the way out."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf import message
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "sightmill.dev"
_DETAILS_KEY = "grpc-status-details-bin"
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
# Failures that reach us without a word of the suite: the network, a proxy, a server of another kind.
_FOREIGN: dict[grpc.StatusCode, tuple[str, str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        "SERVICE_UNAVAILABLE",
        "Nothing answers at {address}. Start it with `sightmill up`, or name the right address.",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        "DEADLINE",
        "{address} did not answer in time. Allow more time, or try again when it is less busy.",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        "OVERLOADED",
        "{address} refuses: too much at once, or too large a message. Try again later, or send less.",
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        "NOT_SERVED_YET",
        "{address} does not serve this call. Check that it is Sightmill, and of a version that has the call.",
    ),
    grpc.StatusCode.UNAUTHENTICATED: (
        "CREDENTIALS_INVALID",
        "{address} wants credentials. Give the client an API key or a token that it knows.",
    ),
    grpc.StatusCode.PERMISSION_DENIED: (
        "NOT_ALLOWED",
        "{address} does not allow this call with these credentials.",
    ),
}


class SightmillError(Exception):
    """A call or an image that failed.

    ``code`` is the gRPC status, ``reason`` a name of ``sightmill.v1.ErrorReason`` (or FILE_UNREADABLE for a
    file of this machine), ``message`` names the rule and the way out, ``metadata`` holds facts such as
    limits, ``retry_after_s`` says when the same call may succeed, in seconds; None when the server did not.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from `args`, which hold the message only; errors do cross processes.
        return _rebuild, (self.code, self.reason, self.message, self.metadata, self.retry_after_s)


def _rebuild(
    code: grpc.StatusCode, reason: str, message: str, metadata: dict[str, str], retry_after_s: float | None
) -> SightmillError:
    return SightmillError(code, reason, message, metadata=metadata, retry_after_s=retry_after_s)


def from_status(status: status_pb2.Status) -> SightmillError:
    """The error that a ``google.rpc.Status`` of the suite stands for, for example ``Image.error``."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
    return SightmillError(
        code,
        info.reason or _FOREIGN.get(code, ("INTERNAL_ERROR", ""))[0],
        status.message or f"The server gave no reason ({code.name}).",
        metadata=info.metadata,
        retry_after_s=retry_after_s,
    )


def from_rpc_error(error: grpc.aio.AioRpcError, address: str) -> SightmillError:
    """The error behind a failed call to ``address``."""
    status = rich_status(error)
    if status is not None:
        return from_status(status)
    code = error.code()
    known = _FOREIGN.get(code)
    if known is None:
        return SightmillError(code, "INTERNAL_ERROR", f"{address} failed ({code.name}): {error.details()}")
    reason, text = known
    return SightmillError(code, reason, text.format(address=address))


def rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The ``google.rpc.Status`` that travelled with a failed call; None when only a code did."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except message.DecodeError:
                return None
    return None
