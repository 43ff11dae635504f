"""The connection to a server: message sizes and quick reconnects."""

from __future__ import annotations

from typing import Any

import grpc

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel to ``host:port``, encrypted when there are credentials; opened inside a running loop."""
    options = _options(address)
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)


def _options(address: str) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A restarted server is found again in a second; gRPC's default backs off to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 1_000),
    ]
    if address.rpartition(":")[0].strip("[]") in _LOOPBACK:
        # A company's proxy cannot reach the loopback of this machine.
        options.append(("grpc.enable_http_proxy", 0))
    return options
