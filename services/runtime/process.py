"""The life of a service process: settings, resources, NOT_SERVING, bind, checks, SERVING; and back.

A service's ``__main__`` is a settings class, a ``start`` coroutine that builds resources and registers
servicers on the :class:`App`, and one call of :func:`run`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import ValidationError

from services.runtime.channels import message_options, open_channel
from services.runtime.health import HealthBoard
from services.runtime.interceptors import interceptor_chain
from services.runtime.logs import configure_logs
from services.runtime.settings import RuntimeSettings, explain, show
from services.runtime.signals import stop_on_signals
from services.runtime.status_page import status_page
from services.runtime.telemetry import Metrics, build_metrics, configure_tracing

S = TypeVar("S", bound=RuntimeSettings)
T = TypeVar("T")
Background = Callable[[asyncio.Event], Awaitable[None]]
Register = Callable[[grpc.aio.Server], None]
EXIT_USAGE = 2


@dataclass(slots=True)
class App(Generic[S]):
    """What ``start`` of a service builds on. Resources close in reverse order of opening."""

    name: str
    settings: S
    metrics: Metrics
    health: HealthBoard
    stack: AsyncExitStack
    stopping: asyncio.Event
    _registrations: list[Register] = field(default_factory=list)
    _reflected: list[str] = field(default_factory=list)
    _backgrounds: dict[str, Background] = field(default_factory=dict)

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Opens a resource that is closed after the server has stopped."""
        return await self.stack.enter_async_context(resource)

    async def channel(self, address: str) -> grpc.aio.Channel:
        """A channel to another service, closed at the end."""
        return await self.enter(open_channel(address, self.settings.max_message_bytes))

    def serve(self, register: Register, *service_names: str) -> None:
        """Adds a servicer; ``service_names`` are the full names that health and reflection list."""
        self._registrations.append(register)
        self.health.services.extend(service_names)
        self._reflected.extend(service_names)

    def reflect(self, *service_names: str) -> None:
        """Lists services of other processes in reflection, too: for the process that the edge asks."""
        self._reflected.extend(name for name in service_names if name not in self._reflected)

    def background(self, name: str, work: Background) -> None:
        """Runs ``work(stopping)`` beside the server; it must return soon after ``stopping`` is set.

        Work that ends by itself or raises takes the process down, so that it is noticed and restarted.
        """
        self._backgrounds[name] = work

    def build_server(self) -> grpc.aio.Server:
        """The server with everything that was registered."""
        server = grpc.aio.server(
            interceptors=interceptor_chain(self.metrics, self.settings.max_calls, self.stopping),
            options=[
                *message_options(self.settings.max_message_bytes),
                # Two processes on one port would share calls in silence.
                ("grpc.so_reuseport", 0),
                # Idle clients may ping every ten seconds without being thrown out.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
        )
        for register in self._registrations:
            register(server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        names = [*self._reflected, "grpc.health.v1.Health", reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        return server

    def start_backgrounds(self) -> list[asyncio.Task[None]]:
        """Starts the health watch and all background work."""
        tasks = [asyncio.create_task(self.health.watch(self.stopping), name="health")]
        for name, work in self._backgrounds.items():
            tasks.append(asyncio.create_task(_awaited(work, self.stopping), name=name))
        return tasks


Start = Callable[[App[S]], Awaitable[str]]


def service_parser(name: str, about: str) -> argparse.ArgumentParser:
    """The command line that every service has; a service may add arguments named like settings."""
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}",
        description=about,
        epilog="Settings come from SIGHTMILL_* variables and .env; --print-settings shows all of them.",
    )
    parser.add_argument(
        "--print-settings", action="store_true", help="show effective settings, secrets hidden"
    )
    return parser


def run(
    parser: argparse.ArgumentParser,
    name: str,
    settings_type: type[S],
    start: Start[S],
    argv: Sequence[str] | None = None,
) -> None:
    """Reads settings, runs the process until a signal, exits.

    ``start`` builds everything and returns the ``host:port`` to listen on. Exit status: 0 after a clean stop,
    1 when background work failed, 2 for wrong settings or an address in use.
    """
    arguments = vars(parser.parse_args(argv))
    wants_settings = arguments.pop("print_settings")
    try:
        settings = settings_type(**{key: value for key, value in arguments.items() if value is not None})
    except ValidationError as error:
        sys.stderr.write(f"{name}: wrong settings\n{explain(error)}\n")
        raise SystemExit(EXIT_USAGE) from None
    if wants_settings:
        sys.stdout.write(show(settings) + "\n")
        return
    configure_logs(name, settings.log_level, settings.log_format)
    raise SystemExit(asyncio.run(_live(name, settings, start)))


async def _live(name: str, settings: S, start: Start[S]) -> int:
    log = structlog.get_logger("process")
    stopping = asyncio.Event()
    stop_on_signals(stopping)
    tracing = configure_tracing(name, settings.otlp_endpoint)
    metrics = build_metrics()
    async with AsyncExitStack() as stack:
        if tracing:
            stack.callback(tracing.shutdown)
        app = App(name, settings, metrics, HealthBoard(metrics), stack, asyncio.Event())
        try:
            listen = await start(app)
        except OSError as error:
            sys.stderr.write(f"{name}: cannot start: {error}\n")
            return EXIT_USAGE
        await app.health.mark(serving=False)
        server = app.build_server()
        address = listen
        try:
            port = server.add_insecure_port(listen)
            address = settings.status_listen
            page = stack.enter_context(status_page(settings.status_listen, app.health))
        except (RuntimeError, OSError):
            sys.stderr.write(
                f"{name}: {address} is in use; stop what listens there, or set another address\n"
            )
            return EXIT_USAGE
        await server.start()
        sys.stdout.write(f"READY {name} grpc={listen.rpartition(':')[0]}:{port} status={page}\n")
        sys.stdout.flush()
        tasks = app.start_backgrounds()
        failed = await _until_stopped(stopping, tasks)
        await _drain(app, server, tasks)
    log.info("stopped")
    return 1 if failed else 0


async def _until_stopped(stopping: asyncio.Event, tasks: list[asyncio.Task[None]]) -> bool:
    """Waits for a signal or for background work to end, which it never should; True if it did."""
    signal_task = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([signal_task, *tasks], return_when=asyncio.FIRST_COMPLETED)
    signal_task.cancel()
    ended = [task for task in tasks if task in done]
    for task in ended:
        error = None if task.cancelled() else task.exception()
        structlog.get_logger("process").error("background work ended", task=task.get_name(), exc_info=error)
    return bool(ended)


async def _drain(app: App[Any], server: grpc.aio.Server, tasks: list[asyncio.Task[None]]) -> None:
    """NOT_SERVING, a moment for balancers, no new work, calls in flight end, background work ends."""
    await app.health.drain()
    await asyncio.sleep(app.settings.drain_delay_s)
    app.stopping.set()
    timeout_s = app.settings.drain_timeout_s
    stopped = asyncio.create_task(server.stop(timeout_s))
    _, late = await asyncio.wait([stopped, *tasks], timeout=timeout_s + 1)
    for task in late:
        structlog.get_logger("process").warning("cut off", task=task.get_name())
        task.cancel()
    await asyncio.gather(stopped, *tasks, return_exceptions=True)


async def _awaited(work: Background, stopping: asyncio.Event) -> None:
    await work(stopping)
