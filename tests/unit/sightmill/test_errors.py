"""Errors from statuses of the suite, and from everything else that can answer."""

from __future__ import annotations

import pickle

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from sightmill.errors import SightmillError, from_rpc_error, from_status
from sightmill.retries import is_break


def rpc_error(code: grpc.StatusCode, *trailing: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), "details")


def rich(code: grpc.StatusCode) -> tuple[str, bytes]:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="DRAINING", domain="sightmill.dev"))
    status = status_pb2.Status(code=code.value[0], message="Shutting down.", details=[packed])
    return "grpc-status-details-bin", status.SerializeToString()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
        (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED_YET"),
        (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"),
        (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL_ERROR"),
    ],
)
def test_a_bare_code_gets_a_reason_and_names_the_address(code: grpc.StatusCode, reason: str) -> None:
    error = from_rpc_error(rpc_error(code), "example:1")
    assert (error.code, error.reason) == (code, reason)
    assert "example:1" in error.message


def test_a_rich_status_wins_over_the_bare_code() -> None:
    code = grpc.StatusCode.UNAVAILABLE
    error = from_rpc_error(rpc_error(code, rich(code)), "example:1")
    assert (error.reason, error.message) == ("DRAINING", "Shutting down.")


def test_a_damaged_status_is_no_fault_of_its_own() -> None:
    broken = rpc_error(grpc.StatusCode.UNAVAILABLE, ("grpc-status-details-bin", b"\xff\xff"))
    assert from_rpc_error(broken, "example:1").reason == "SERVICE_UNAVAILABLE"


def test_a_status_without_details_still_has_a_reason_and_words() -> None:
    error = from_status(status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0]))
    assert error.reason == "SERVICE_UNAVAILABLE"
    assert error.message


def test_errors_cross_processes() -> None:
    error = SightmillError(
        grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND", "Gone.", metadata={"a": "b"}, retry_after_s=2
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  made one line above
    assert vars(copy) == vars(error)
    assert str(copy) == "Gone."


@pytest.mark.parametrize(
    ("error", "broke"),
    [
        (rpc_error(grpc.StatusCode.UNAVAILABLE), True),
        (rpc_error(grpc.StatusCode.UNAVAILABLE, rich(grpc.StatusCode.UNAVAILABLE)), True),
        (rpc_error(grpc.StatusCode.INTERNAL), True),
        (rpc_error(grpc.StatusCode.INTERNAL, rich(grpc.StatusCode.INTERNAL)), False),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT), False),
        (rpc_error(grpc.StatusCode.UNAUTHENTICATED), False),
    ],
)
def test_only_torn_streams_are_taken_up_again(error: grpc.aio.AioRpcError, broke: bool) -> None:
    assert is_break(error) is broke
