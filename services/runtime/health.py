"""Whether this process can work, what it depends on, and what it does with less than intended.

A process is NOT_SERVING until every check has passed once. After that a dependency that goes away makes the
report say so, but not the process vanish: its calls then answer UNAVAILABLE with a reason, which tells a
caller more than a refused connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.runtime.telemetry import Metrics

Check = Callable[[], Awaitable[None]]
CHECK_TIMEOUT_S = 2.0
STARTING_INTERVAL_S = 0.1
SERVING_INTERVAL_S = 5.0


@dataclass(slots=True)
class HealthBoard:
    """Checks of dependencies, notes about fallbacks, and the gRPC health service that follows them."""

    metrics: Metrics
    servicer: health_aio.HealthServicer = field(default_factory=health_aio.HealthServicer)
    services: list[str] = field(default_factory=lambda: [""])
    serving: bool = False
    draining: bool = False
    _checks: dict[str, Check] = field(default_factory=dict)
    _problems: dict[str, str] = field(default_factory=dict)
    _fallbacks: dict[str, str] = field(default_factory=dict)

    def add_check(self, name: str, check: Check) -> None:
        """Adds a dependency; ``check`` raises while it does not answer."""
        self._checks[name] = check
        self._problems[name] = "not checked yet"

    def add_fallback(self, name: str, message: str) -> None:
        """Says in the report that something less capable stands in, and how to get the real thing."""
        self._fallbacks[name] = message

    def clear_fallback(self, name: str) -> None:
        """Takes the word back: the real thing is there again."""
        self._fallbacks.pop(name, None)

    def report(self) -> dict[str, object]:
        """The state of this process as JSON-ready data."""
        if self.draining:
            status = "draining"
        elif not self.serving:
            status = "starting"
        else:
            status = "degraded" if any(self._problems.values()) or self._fallbacks else "serving"
        return {
            "status": status,
            "dependencies": {name: self._problems[name] or "ok" for name in self._checks},
            "fallbacks": dict(self._fallbacks),
        }

    async def mark(self, serving: bool) -> None:
        """Tells gRPC health clients, for every service and for the process as a whole."""
        self.serving = serving
        for name in self.services:
            await self.servicer.set(name, _status(serving=serving))

    async def drain(self) -> None:
        """NOT_SERVING for good."""
        self.draining = True
        await self.mark(serving=False)

    async def watch(self, stop: asyncio.Event) -> None:
        """Runs the checks until ``stop``: often while starting, seldom afterwards."""
        log = structlog.get_logger("health")
        while not stop.is_set():
            await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
            if not self.serving and not self.draining and not any(self._problems.values()):
                await self.mark(serving=True)
                log.info("serving", dependencies=list(self._checks))
            interval_s = SERVING_INTERVAL_S if self.serving else STARTING_INTERVAL_S
            try:
                await asyncio.wait_for(stop.wait(), interval_s)
            except TimeoutError:
                continue

    async def _run(self, name: str, check: Check) -> None:
        before = self._problems[name]
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as problem:  # noqa: BLE001  whatever is wrong with a dependency belongs into the report
            self._problems[name] = (
                f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
            )
        else:
            self._problems[name] = ""
        self.metrics.check_up.labels(name).set(0 if self._problems[name] else 1)
        # Under a name of its own, so that another process can tell which dependency is away.
        await self.servicer.set(f"dependency/{name}", _status(serving=not self._problems[name]))
        if self.serving and self._problems[name] != before:
            structlog.get_logger("health").warning(
                "dependency", name=name, problem=self._problems[name] or "none"
            )


def _status(*, serving: bool) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    return health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
