"""Channels to other services: message sizes, quick reconnects, and the request id on every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from services.runtime.context import outgoing_headers


def message_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Message limits; gRPC's own default is 4 MiB, on either end."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
    ]


def open_channel(address: str, max_message_bytes: int) -> grpc.aio.Channel:
    """A channel that finds a restarted service again in a second; gRPC's default backs off to two minutes."""
    options: list[tuple[str, Any]] = [
        *message_options(max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # Channels with equal arguments would share one connection, and one flow-control window.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.insecure_channel(
        address,
        options=options,
        interceptors=[_UnaryUnary(), _UnaryStream(), _StreamUnary(), _StreamStream()],
    )


def _with_headers(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
    given = tuple(details.metadata or ())
    taken = {key for key, _ in given}
    ours = tuple((key, value) for key, value in outgoing_headers().items() if key not in taken)
    metadata = grpc.aio.Metadata(*given, *ours)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Any]


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_headers(client_call_details), request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Continuation, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_headers(client_call_details), request)


class _StreamUnary(grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self,
        continuation: Continuation,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(_with_headers(client_call_details), request_iterator)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Continuation,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        return await continuation(_with_headers(client_call_details), request_iterator)
