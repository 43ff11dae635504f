"""Which web pages of other origins may call."""

from __future__ import annotations

from typing import Any

LOOPBACK = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HEADERS = [
    "Accept",
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-Id",
    "X-Api-Key",
]
_EXPOSED = [
    "X-Polling-Interval",
    "X-Polling-Interval-Reason",
    "Content-Disposition",
    "ETag",
    "Retry-After",
    "X-Request-Id",
]


def cors_options(origins: list[str]) -> dict[str, Any]:
    """Arguments of Starlette's CORSMiddleware. Any origin goes without credentials, a list with them.

    An empty list means pages that this machine serves, on any port.
    """
    options: dict[str, Any] = {
        "allow_methods": _METHODS,
        "allow_headers": _HEADERS,
        "expose_headers": _EXPOSED,
        "max_age": 600,
    }
    if "*" in origins:
        return options | {"allow_origins": ["*"]}
    if not origins:
        return options | {"allow_origin_regex": LOOPBACK, "allow_credentials": True}
    return options | {"allow_origins": origins, "allow_credentials": True}
