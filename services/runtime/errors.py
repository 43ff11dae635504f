"""Typed errors that know their reason; one interceptor turns them into gRPC statuses.

The thrower decides everything a caller will see: the status code by the class, the reason, the public
message (which names the rule and the way out) and the facts. A private cause goes into ``__cause__`` and
to the log, never over the wire.
"""

from __future__ import annotations

from typing import ClassVar

import grpc

from sightmill.v1 import errors_pb2

DOMAIN = "sightmill.dev"
Reason = errors_pb2.ErrorReason


class ServiceError(Exception):
    """An error that a caller may see.

    ``metadata`` holds facts (limits, fields, states) as text. ``retry_after_s`` tells the caller when to
    come back, in seconds.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        reason: errors_pb2.ErrorReason.ValueType,
        message: str,
        *,
        retry_after_s: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.metadata = {key: str(value) for key, value in metadata.items()}

    @property
    def reason_name(self) -> str:
        """The reason as it stands in ``ErrorInfo.reason``."""
        return errors_pb2.ErrorReason.Name(self.reason)


class InvalidArgumentError(ServiceError):
    """The request or the image in it breaks a documented rule."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFoundError(ServiceError):
    """Nothing of that name."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExistsError(ServiceError):
    """The name or the request id is taken by something else."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPreconditionError(ServiceError):
    """The state of the system does not allow the call."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class AbortedError(ServiceError):
    """Somebody else changed it meanwhile: read again and repeat."""

    code = grpc.StatusCode.ABORTED


class ResourceExhaustedError(ServiceError):
    """A bound is reached: a queue, a rate, a budget, a disk."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class UnavailableError(ServiceError):
    """Something that is needed does not answer; the same call may succeed later."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineError(ServiceError):
    """Time ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class UnimplementedError(ServiceError):
    """Part of the contract that this version does not serve."""

    code = grpc.StatusCode.UNIMPLEMENTED


class UnauthenticatedError(ServiceError):
    """Missing or wrong credentials."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDeniedError(ServiceError):
    """Known caller, not allowed."""

    code = grpc.StatusCode.PERMISSION_DENIED


class DataLossError(ServiceError):
    """Stored data is damaged."""

    code = grpc.StatusCode.DATA_LOSS


class InternalError(ServiceError):
    """A fault of ours whose reason is known; the message is safe to show."""

    code = grpc.StatusCode.INTERNAL


def not_served_yet(method: str) -> UnimplementedError:
    """The answer of a method whose turn comes in a later version."""
    return UnimplementedError(
        Reason.NOT_SERVED_YET,
        f"{method} is part of the contract but not served by this version; see CHANGELOG.md.",
        method=method,
    )
