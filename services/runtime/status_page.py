"""Plain HTTP for the operator: ``/metrics``, ``/healthz`` (the process lives), ``/readyz`` (it can work).

A thread of its own serves it, so that it answers even when the event loop is busy; then the scrape itself
shows that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.runtime.health import HealthBoard


@contextmanager
def status_page(listen: str, health: HealthBoard) -> Iterator[str]:
    """Serves the page while the context is open; yields its real ``host:port``."""
    host, _, port = listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), _handler(health))
    server.daemon_threads = True
    thread = Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="status-page", daemon=True
    )
    thread.start()
    try:
        yield f"{server.server_address[0]!s}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)


def _handler(health: HealthBoard) -> type[BaseHTTPRequestHandler]:
    def metrics() -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE_LATEST, generate_latest(health.metrics.registry)

    def healthz() -> tuple[int, str, bytes]:
        return 200, "application/json", json.dumps(health.report()).encode()

    def readyz() -> tuple[int, str, bytes]:
        return (200 if health.serving else 503), "application/json", json.dumps(health.report()).encode()

    pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
        "/metrics": metrics,
        "/healthz": healthz,
        "/readyz": readyz,
    }

    class StatusHandler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            page = pages.get(self.path)
            code, media_type, body = page() if page else (404, "text/plain", b"/metrics /healthz /readyz\n")
            self.send_response(code)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Scrapes are not worth a log line."""

    return StatusHandler
