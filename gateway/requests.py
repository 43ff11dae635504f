"""What routes ask of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
from starlette.requests import ClientDisconnect, Request

from gateway.clients import Gateway

T = TypeVar("T")
M = TypeVar("M")
# Marks a scope whose method was HEAD; routes see GET.
HEAD = "sightmill.head"
_HTML = ("text/html", "application/xhtml+xml")


class CutOffError(Exception):
    """The rest of an answer that has begun cannot come; the connection is cut, so that nobody is fooled."""


def gateway_of(request: Request) -> Gateway:
    """The gateway that the application was built for."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def base_url(request: Request) -> str:
    """Where callers reach this service, without a slash at the end."""
    return (gateway_of(request).settings.gateway_public_url or str(request.base_url)).rstrip("/")


def is_head(request: Request) -> bool:
    """True when the caller asked for headers only."""
    return bool(request.scope.get(HEAD))


def prefers_html(accept: str) -> bool:
    """True when HTML is listed with a quality not below that of JSON."""
    qualities: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            qualities[kind] = float(quality)
        except ValueError:
            qualities[kind] = 0.0
    html = max(qualities.get(kind, 0.0) for kind in _HTML)
    return html > 0 and html >= qualities.get("application/json", 0.0)


async def while_connected(request: Request, call: Awaitable[T]) -> T:
    """The result of ``call``; cancels it and raises ClientDisconnect when the caller goes away."""
    working = asyncio.ensure_future(call)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        gone.cancel()


async def first_of(call: grpc.aio.UnaryStreamCall[Any, M]) -> M | None:
    """The first message of a stream, so that what is wrong from the start is still a proper status."""
    try:
        return await anext(aiter(call), None)
    except BaseException:
        call.cancel()
        raise


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
