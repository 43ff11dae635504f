"""What happens around every request: id, log, metrics, refusal under overload, and no trace to anybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.requests import HEAD, CutOffError
from services.runtime.context import REQUEST_ID, entered
from services.runtime.errors import InternalError, Reason, ResourceExhaustedError, ServiceError
from services.runtime.telemetry import LATENCY_BUCKETS

CLIENT_GONE = 499


@dataclass(frozen=True, slots=True)
class HttpMetrics:
    """What is counted, by route template, so that the number of series is bounded."""

    handled: Counter
    seconds: Histogram
    in_flight: Gauge


def build_http_metrics(registry: CollectorRegistry) -> HttpMetrics:
    """Registers the metrics of the HTTP side."""
    return HttpMetrics(
        handled=Counter(
            "sightmill_http_handled",
            "Requests ended, by status",
            ["route", "method", "status"],
            registry=registry,
        ),
        seconds=Histogram(
            "sightmill_http_seconds",
            "Time from the start of a request to its end",
            ["route", "method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        ),
        in_flight=Gauge("sightmill_http_in_flight", "Requests being served", registry=registry),
    )


class ObserveMiddleware:
    """One log line and the metrics of every request; ``refuse`` words errors for a path."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        max_requests: int,
        refuse: Callable[[str, ServiceError], Response],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_requests = max_requests
        self._refuse = refuse
        self._in_flight = 0
        self._log = structlog.get_logger("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with entered(Headers(scope=scope)) as request_id:
            answer = _Answer(send, request_id)
            # The server cuts the body of an answer to HEAD; routes need not know.
            inner = {**scope, "method": "GET", HEAD: True} if scope["method"] == "HEAD" else dict(scope)
            started = time.perf_counter()
            self._in_flight += 1
            self._metrics.in_flight.inc()
            try:
                await self._answer(inner, receive, answer)
            finally:
                self._in_flight -= 1
                self._metrics.in_flight.dec()
                self._record(scope["method"], inner, answer.status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if self._in_flight > self._max_requests:
                await self._refuse(scope["path"], _overloaded(self._max_requests))(
                    scope, receive, answer.send
                )
                return
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = CLIENT_GONE
        except CutOffError as cut:
            self._log.warning("cut off", path=scope["path"], reason=str(cut))
        except Exception:  # noqa: BLE001  the one place where every fault becomes an answer
            self._log.exception("fault", path=scope["path"])
            if not answer.status:
                fault = InternalError(Reason.INTERNAL_ERROR, "A fault of the gateway.")
                await self._refuse(scope["path"], fault)(scope, receive, answer.send)

    def _record(self, method: str, scope: Scope, status: int, elapsed_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.handled.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route, method).observe(elapsed_s)
        level = "warning" if status >= 500 else "info"
        getattr(self._log, level)(
            "request",
            method=method,
            path=scope["path"],
            status=status,
            elapsed_ms=round(elapsed_s * 1_000, 1),
        )


class _Answer:
    """Notes the status and adds what every answer carries."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        """Passes a message on to the server."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            headers["X-Content-Type-Options"] = "nosniff"
        await self._send(message)


def _overloaded(limit: int) -> ResourceExhaustedError:
    return ResourceExhaustedError(
        Reason.OVERLOADED,
        f"{limit} requests are in flight already; come back in a moment.",
        retry_after_s=1.0,
        limit=limit,
    )
