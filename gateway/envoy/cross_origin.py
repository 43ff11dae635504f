"""Which web pages of other origins may call. The gateway answers for its own routes."""

from __future__ import annotations

from gateway.envoy.nodes import Node, extension

FILTER = "envoy.filters.http.cors"
_LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
_ALLOWED_HEADERS = (
    "content-type",
    "accept",
    "authorization",
    "x-api-key",
    "x-grpc-web",
    "x-user-agent",
    "grpc-timeout",
    "x-request-id",
    "traceparent",
    "tracestate",
    "if-none-match",
    "last-event-id",
    "connect-protocol-version",
)
_EXPOSED_HEADERS = (
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "x-request-id",
    "content-disposition",
    "retry-after",
    "etag",
)


def cross_origin(origins: tuple[str, ...]) -> Node:
    """Per-route policy: the given origins; with none given, pages served from this machine (any port)."""
    matches: list[Node] = [{"exact": origin} for origin in origins if origin != "*"]
    if "*" in origins:
        matches = [{"safe_regex": {"regex": ".*"}}]
    elif not matches:
        matches = [{"safe_regex": {"regex": _LOOPBACK}}]
    return {
        FILTER: extension(
            "envoy.extensions.filters.http.cors.v3.CorsPolicy",
            allow_origin_string_match=matches,
            allow_methods="GET, POST, PUT, PATCH, DELETE, OPTIONS",
            allow_headers=", ".join(_ALLOWED_HEADERS),
            expose_headers=", ".join(_EXPOSED_HEADERS),
            max_age="600",
        )
    }
