"""A service in this process: wired, started and drained as the real process does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from services.runtime.channels import open_channel
from services.runtime.health import HealthBoard
from services.runtime.process import App, _drain
from services.runtime.telemetry import build_metrics
from tests.servers.waiting import until


@dataclass
class RunningApp:
    """The service and a channel to it."""

    app: App[Any]
    address: str
    channel: grpc.aio.Channel
    server: grpc.aio.Server
    tasks: list[asyncio.Task[None]]
    drained: bool = False

    def metric(self, name: str, **labels: str) -> float:
        """A sample of its metrics; 0 where there is none."""
        return self.app.metrics.registry.get_sample_value(name, labels) or 0.0

    async def drain(self) -> None:
        """What SIGTERM does."""
        self.drained = True
        await _drain(self.app, self.server, self.tasks)

    def failed(self) -> list[str]:
        """Background work that ended by itself, which takes a process down."""
        return [task.get_name() for task in self.tasks if task.done()]


@asynccontextmanager
async def running_app(
    name: str, settings: Any, start: Callable[[App[Any]], Awaitable[str]], *, serving: bool = True
) -> AsyncIterator[RunningApp]:
    """Runs while the context is open; begins when it serves, unless that is not wanted."""
    async with AsyncExitStack() as stack:
        metrics = build_metrics()
        app = App(name, settings, metrics, HealthBoard(metrics), stack, asyncio.Event())
        await start(app)
        await app.health.mark(serving=False)
        server = app.build_server()
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        tasks = app.start_backgrounds()
        async with open_channel(address, settings.max_message_bytes) as channel:
            running = RunningApp(app, address, channel, server, tasks)
            try:
                if serving:
                    await until(lambda: app.health.serving, "the service serves")
                yield running
            finally:
                if not running.drained:
                    await running.drain()
