"""Repeating calls that are safe to repeat, within their deadline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from sightmill.errors import SightmillError, from_rpc_error, rich_status

T = TypeVar("T")

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
# How proxies and restarting servers end streams that they cannot keep.
_TORN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}


def delay_s(attempt: int, retry_after_s: float | None, chance: Callable[[], float] = random.random) -> float:
    """How long to wait after failure number ``attempt`` (from 0), in seconds.

    Doubles from 0.1 s to 2 s, never less than the server asked for; half of it is left to chance so that
    clients that failed together do not come back together.
    """
    ceiling_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt, 16))
    return max(retry_after_s or 0.0, ceiling_s * (0.5 + 0.5 * chance()))


def is_break(error: grpc.aio.AioRpcError) -> bool:
    """True when a stream broke off, rather than being refused by the suite."""
    return error.code() is grpc.StatusCode.UNAVAILABLE or (
        error.code() in _TORN and rich_status(error) is None
    )


async def call(attempt: Callable[[float], Awaitable[T]], timeout_s: float, address: str) -> T:
    """The answer of ``attempt(seconds left)``, tried again on UNAVAILABLE while time is left.

    Raises:
        SightmillError: the last failure; the one before, which says why, where the deadline cut the last off.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + timeout_s
    failures = 0
    why: SightmillError | None = None
    while True:
        try:
            return await attempt(max(0.001, end - clock()))
        except grpc.aio.AioRpcError as raised:
            error = from_rpc_error(raised, address)
        if why and error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise why
        pause_s = delay_s(failures, error.retry_after_s)
        if error.code is not grpc.StatusCode.UNAVAILABLE or clock() + pause_s >= end:
            raise error
        failures, why = failures + 1, error
        await asyncio.sleep(pause_s)


async def call_once(attempt: Awaitable[T], address: str) -> T:
    """The answer of a call that must not be repeated.

    Raises:
        SightmillError: its failure.
    """
    try:
        return await attempt
    except grpc.aio.AioRpcError as raised:
        raise from_rpc_error(raised, address) from None


def out_of_time(what: str) -> SightmillError:
    """The error of a wait whose time is up."""
    return SightmillError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE", what)
