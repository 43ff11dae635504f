"""Typed errors keep everything a caller may know on the way to a status and back."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.runtime import errors, statuses
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2

CLASSES = ServiceError.__subclasses__()
REASONS = [value for value in errors_pb2.ErrorReason.values() if value]
# What HTTP/2 peers take as trailers.
PEER_LIMIT_BYTES = 8_192


def details_of(status: Any) -> tuple[Any, Any]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        assert detail.Unpack(info) or detail.Unpack(retry)
    return info, retry


def size_on_the_wire(status: Any) -> int:
    """The message travels percent-encoded beside the binary details, which are base64."""
    percent_encoded = sum(1 if 0x20 <= byte < 0x7F else 3 for byte in status.message.encode())
    return percent_encoded + 4 * (len(status.SerializeToString()) + 2) // 3


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.__name__))
def test_every_class_comes_back_as_itself(kind: type[ServiceError]) -> None:
    error = kind(Reason.OVERLOADED, "Too much.", retry_after_s=1.5, limit=7, field="name")
    back = statuses.from_status(statuses.to_status(error, "request-1"))
    assert type(back) is kind
    assert (back.reason, back.message, back.retry_after_s) == (Reason.OVERLOADED, "Too much.", 1.5)
    assert back.metadata == {"limit": "7", "field": "name"}


def test_every_class_has_a_code_of_its_own_but_internal() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert grpc.StatusCode.OK not in codes


@given(
    kind=st.sampled_from(CLASSES),
    reason=st.sampled_from(REASONS),
    message=st.text(max_size=200),
    facts=st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=20), st.text(max_size=50), max_size=5),
    retry_ms=st.none() | st.integers(0, 10**9),
)
def test_whatever_fits_round_trips(
    kind: type[ServiceError],
    reason: errors_pb2.ErrorReason.ValueType,
    message: str,
    facts: dict[str, str],
    retry_ms: int | None,
) -> None:
    error = kind(reason, message, retry_after_s=None if retry_ms is None else retry_ms / 1_000)
    error.metadata = dict(facts)
    back = statuses.from_status(statuses.to_status(error))
    assert (type(back), back.reason, back.message, back.metadata) == (kind, reason, message, facts)
    assert back.retry_after_s == (None if retry_ms is None else pytest.approx(retry_ms / 1_000, abs=0.001))


@given(
    message=st.text(st.characters(), max_size=5_000),
    facts=st.dictionaries(st.text(st.characters(), max_size=400), st.text(st.characters(), max_size=400)),
)
def test_whatever_is_in_an_error_fits_into_the_trailers(message: str, facts: dict[str, str]) -> None:
    error = errors.InvalidArgumentError(Reason.INVALID_FIELD, message)
    error.metadata = facts
    status = statuses.to_status(error, "0" * 128)
    assert len(status.message.encode()) <= statuses.MAX_MESSAGE_BYTES
    assert status_pb2.Status.FromString(status.SerializeToString()) == status


@pytest.mark.parametrize("character", ["x", "é", "画", "🙂", "\ud800", "\n"])
def test_the_largest_error_fits_what_peers_take(character: str) -> None:
    facts: dict[str, object] = {f"fact{n}": character * 10_000 for n in range(40)}
    error = errors.InvalidArgumentError(Reason.INVALID_FIELD, character * 10_000, retry_after_s=1, **facts)
    status = statuses.to_status(error, "0" * 128)
    assert size_on_the_wire(status) < PEER_LIMIT_BYTES
    assert status.message


def test_request_id_is_told_but_is_no_fact() -> None:
    status = statuses.to_status(errors.NotFoundError(Reason.IMAGE_NOT_FOUND, "No."), "abc")
    info, _ = details_of(status)
    assert (info.domain, info.reason) == ("sightmill.dev", "IMAGE_NOT_FOUND")
    assert info.metadata["request_id"] == "abc"
    assert statuses.from_status(status).metadata == {}


def test_retry_info_only_where_there_is_something_to_wait_for() -> None:
    without = statuses.to_status(errors.NotFoundError(Reason.IMAGE_NOT_FOUND, "No."))
    assert len(without.details) == 1
    _, retry = details_of(
        statuses.to_status(errors.UnavailableError(Reason.DRAINING, "Gone.", retry_after_s=0.0001))
    )
    assert retry.retry_delay.ToMilliseconds() == 1, "a delay is never rounded to nothing"


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.UnavailableError, Reason.SERVICE_UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineError, Reason.DEADLINE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhaustedError, Reason.OVERLOADED),
        (grpc.StatusCode.UNIMPLEMENTED, errors.UnimplementedError, Reason.NOT_SERVED_YET),
        (grpc.StatusCode.NOT_FOUND, errors.InternalError, Reason.INTERNAL_ERROR),
        (grpc.StatusCode.OK, errors.InternalError, Reason.INTERNAL_ERROR),
    ],
)
def test_a_foreign_status_gets_a_general_reason_and_loses_its_text(
    code: grpc.StatusCode, kind: type[ServiceError], reason: errors_pb2.ErrorReason.ValueType
) -> None:
    error = statuses.from_status(status_pb2.Status(code=code.value[0], message="driver: password=hunter2"))
    assert (type(error), error.reason) == (kind, reason)
    assert "hunter2" not in error.message


def test_reasons_of_other_domains_and_unknown_reasons_are_foreign() -> None:
    for domain, reason in (("example.com", "OVERLOADED"), ("sightmill.dev", "FROM_THE_FUTURE")):
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
        error = statuses.from_status(status_pb2.Status(code=14, message="x", details=[packed]))
        assert error.reason == Reason.SERVICE_UNAVAILABLE


@given(code=st.integers(-(2**31), 2**31 - 1), garbage=st.binary(max_size=40))
def test_a_damaged_status_is_an_error_and_no_exception(code: int, garbage: bytes) -> None:
    urls = ("type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.RetryInfo", "odd")
    details = [any_pb2.Any(type_url=url, value=garbage) for url in urls]
    error = statuses.from_status(status_pb2.Status(code=code, message="x", details=details))
    assert isinstance(error, ServiceError)


def rpc_error(code: grpc.StatusCode, trailers: tuple[tuple[str, str | bytes], ...]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), "text")


def test_a_failed_call_carries_the_error_of_the_other_service() -> None:
    status = statuses.to_status(errors.AbortedError(Reason.ETAG_MISMATCH, "Read again.", etag="e1"))
    error = statuses.from_rpc_error(
        rpc_error(grpc.StatusCode.ABORTED, (("a", "b"), (statuses.DETAILS_KEY, status.SerializeToString())))
    )
    assert isinstance(error, errors.AbortedError)
    assert error.metadata == {"etag": "e1"}


@pytest.mark.parametrize("details", [b"\xff\xff\xff", b"\x0a\xff"])
def test_a_failed_call_with_damaged_details_has_its_code(details: bytes) -> None:
    error = statuses.from_rpc_error(
        rpc_error(grpc.StatusCode.UNAVAILABLE, ((statuses.DETAILS_KEY, details),))
    )
    assert error.reason == Reason.SERVICE_UNAVAILABLE


def test_translate_knows_typed_errors_failed_calls_and_deadlines_only() -> None:
    typed = errors.DataLossError(Reason.DATA_DAMAGED, "Damaged.")
    assert statuses.translate(typed) is typed
    assert isinstance(statuses.translate(rpc_error(grpc.StatusCode.UNAVAILABLE, ())), errors.UnavailableError)
    assert isinstance(statuses.translate(TimeoutError()), errors.DeadlineError)
    assert statuses.translate(KeyError("secret")) is None


def test_the_error_for_our_faults_tells_the_request_id_only() -> None:
    error = statuses.internal_error("abc-1")
    assert "abc-1" in error.message
    assert error.reason == Reason.INTERNAL_ERROR


def test_numbers_that_grpc_does_not_know_are_unknown() -> None:
    assert statuses.code_by_number(5) is grpc.StatusCode.NOT_FOUND
    assert statuses.code_by_number(99) is grpc.StatusCode.UNKNOWN
