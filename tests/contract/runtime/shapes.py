"""A service with one method of each call shape that does what its request says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.runtime.context import current_request_id
from services.runtime.errors import InvalidArgumentError, Reason, UnavailableError
from services.runtime.interceptors import Context

SERVICE = "test.Shapes"
SHAPES = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


class Shapes:
    """``entered`` counts handlers that began, ``closed`` those that came to their end, cancelled or not."""

    def __init__(self) -> None:
        self.entered = 0
        self.closed = 0
        self.closed_in_own_task = 0
        self.flooded = 0
        self.free = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the four methods."""
        handlers: dict[str, Any] = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.unary_unary),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(self.unary_stream),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(self.stream_unary),
            "StreamStream": grpc.stream_stream_rpc_method_handler(self.stream_stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def unary_unary(self, request: bytes, _context: Context) -> bytes:
        async with _Visit(self):
            return await self._do(request)

    async def unary_stream(self, request: bytes, _context: Context) -> AsyncIterator[bytes]:
        async with _Visit(self):
            yield b"first"
            while request == b"flood":
                self.flooded += 1
                yield bytes(4_000_000)
            yield await self._do(request)

    async def stream_unary(self, requests: AsyncIterator[bytes], _context: Context) -> bytes:
        async with _Visit(self):
            async for request in requests:
                answer = await self._do(request)
            return answer

    async def stream_stream(self, requests: AsyncIterator[bytes], _context: Context) -> AsyncIterator[bytes]:
        async with _Visit(self):
            async for request in requests:
                yield b"first"
                yield await self._do(request)

    async def _do(self, request: bytes) -> bytes:
        if request == b"typed":
            raise InvalidArgumentError(Reason.INVALID_FIELD, "name is missing.", field="name")
        if request == b"retry":
            raise UnavailableError(Reason.QUEUE_UNAVAILABLE, "The queue is away.", retry_after_s=2.5)
        if request == b"fault":
            raise KeyError("password=hunter2")
        if request == b"missing":
            raise NotImplementedError
        if request == b"late":
            raise TimeoutError
        if request == b"hang":
            await self.free.wait()
        return current_request_id().encode() if request == b"id" else b"done"


class _Visit:
    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    async def __aenter__(self) -> None:
        self._shapes.entered += 1
        self._task = asyncio.current_task()

    async def __aexit__(self, *_: object) -> None:
        self._shapes.closed += 1
        self._shapes.closed_in_own_task += asyncio.current_task() is self._task


class Caller:
    """Calls the methods by name, with one request where they take a stream."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def call(self, shape: str, request: bytes, **options: Any) -> Any:
        """The call object."""
        method = f"/{SERVICE}/{shape}"
        makers: dict[str, Any] = {
            "UnaryUnary": self._channel.unary_unary,
            "UnaryStream": self._channel.unary_stream,
            "StreamUnary": self._channel.stream_unary,
            "StreamStream": self._channel.stream_stream,
        }
        given: Any = _once(request) if shape.startswith("Stream") else request
        return makers[shape](method)(given, **options)

    async def answers(self, shape: str, request: bytes, **options: Any) -> list[bytes]:
        """All answers; raises what the call raises."""
        call = self.call(shape, request, **options)
        if shape.endswith("Unary"):
            return [await call]
        return [answer async for answer in call]


async def _once(request: bytes) -> AsyncIterator[bytes]:
    yield request
