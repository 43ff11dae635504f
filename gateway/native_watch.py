"""An image as it changes: server-sent events, or lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from gateway.clients import Gateway
from gateway.errors import native_body
from gateway.images import NO_STORE
from gateway.messages import compact
from gateway.native_upload import NDJSON
from gateway.query import parse_query
from gateway.requests import first_of, gateway_of
from services.runtime import statuses
from sightmill.v1 import ingest_pb2

EVENTS = "text/event-stream"
KEEP_ALIVE_S = 15.0
States = AsyncGenerator[ingest_pb2.WatchImageResponse | bytes | None, None]


async def watch_image(request: Request, image: str) -> Response:
    """Streams an image whenever it changes: as events, or as lines for `Accept: application/x-ndjson`."""
    gateway = gateway_of(request)
    message = parse_query(ingest_pb2.WatchImageRequest(name=f"images/{image}"), request.query_params)
    call = gateway.clients.ingest.WatchImage(message, timeout=gateway.settings.gateway_watch_timeout_s)
    first = await first_of(call)
    states = _states(gateway, first, call)
    if NDJSON in request.headers.get("accept", ""):
        frames, media_type = _lines(states), NDJSON
    else:
        frames, media_type = _events(states), EVENTS
    return StreamingResponse(frames, media_type=media_type, headers={"Cache-Control": NO_STORE})


async def _events(states: States) -> AsyncIterator[bytes]:
    async with aclosing(states):
        async for state in states:
            if state is None:
                yield b": still watching\n\n"
            elif isinstance(state, bytes):
                yield b"event: error\ndata: %s\n\n" % state
            else:
                yield b"data: %s\n\n" % compact(state)


async def _lines(states: States) -> AsyncIterator[bytes]:
    async with aclosing(states):
        async for state in states:
            if state is not None:
                yield (state if isinstance(state, bytes) else compact(state)) + b"\n"


async def _states(
    gateway: Gateway,
    state: ingest_pb2.WatchImageResponse | None,
    call: grpc.aio.UnaryStreamCall[Any, ingest_pb2.WatchImageResponse],
) -> States:
    """States until the last one, the end of the call, or the end of this process; callers watch again.

    None when nothing has changed for a while; bytes for an error as JSON.
    """
    stopping = asyncio.ensure_future(gateway.stopping.wait())
    following: asyncio.Future[ingest_pb2.WatchImageResponse | None] | None = None
    try:
        while state is not None:
            yield state
            if state.final:
                return
            following = asyncio.ensure_future(anext(aiter(call), None))
            while not following.done():
                done, _ = await asyncio.wait(
                    {following, stopping}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if stopping in done:
                    return
                if not done:
                    yield None
            state = following.result()
    except grpc.aio.AioRpcError as error:
        yield json.dumps(native_body(statuses.from_rpc_error(error))).encode()
    finally:
        stopping.cancel()
        call.cancel()
        if following:
            following.cancel()
