"""Clients of both drivers, behind the same few calls."""

from __future__ import annotations

import inspect
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from services.runtime.errors import FailedPreconditionError, Reason

_DRIVERS: dict[str, Any] = {"motor": AsyncIOMotorClient, "pymongo": AsyncMongoClient}


def open_client(url: str, driver: str, timeout_s: float) -> Any:
    """A client that connects with its first call; every call ends within ``timeout_s``.

    Raises ``FailedPreconditionError(WRONG_STATE)`` where the URL or the driver is none.
    """
    timeout_ms = max(1, int(timeout_s * 1_000))
    try:
        # A driver takes what has no scheme for the name of a host, and shows it.
        url.index("://")
        return _DRIVERS[driver](
            url,
            appname="sightmill-catalog",
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            timeoutMS=timeout_ms,
            readPreference="primary",
            readConcernLevel="majority",
            w="majority",
            journal=True,
            retryWrites=True,
            tz_aware=True,
        )
    except (KeyError, ValueError, PyMongoError):
        # The driver's text may quote the URL, and with it a password.
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "The MongoDB URL or driver is not valid. The URL is mongodb://USER:PASSWORD@HOST:PORT/ with "
            f"special characters of the password percent-encoded; the driver is {' or '.join(_DRIVERS)}.",
            state="not connected",
        ) from None


async def settle(answer: Any) -> Any:
    """What a call gives: one of the drivers answers some calls at once that the other one waits for."""
    return await answer if inspect.isawaitable(answer) else answer
