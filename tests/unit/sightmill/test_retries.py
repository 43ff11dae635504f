"""What a caller learns when repeating did not help."""

from __future__ import annotations

import grpc
import pytest

from sightmill import retries
from sightmill.errors import SightmillError


def failure(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


async def test_a_last_try_that_the_deadline_cut_off_does_not_hide_the_reason() -> None:
    failures = [
        failure(grpc.StatusCode.UNAVAILABLE, "the server is away"),
        failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
    ]

    async def attempt(_timeout_s: float) -> None:
        raise failures.pop(0)

    with pytest.raises(SightmillError) as raised:
        await retries.call(attempt, 30.0, "127.0.0.1:1")
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert failures == []


async def test_a_first_try_that_the_deadline_cut_off_is_told_as_such() -> None:
    async def attempt(_timeout_s: float) -> None:
        raise failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    with pytest.raises(SightmillError) as raised:
        await retries.call(attempt, 30.0, "127.0.0.1:1")
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
