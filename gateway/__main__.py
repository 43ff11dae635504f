"""The gateway process: ``python -m gateway``."""

from __future__ import annotations

import asyncio
import math
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.app import build_app
from gateway.clients import Gateway, open_clients, probe
from gateway.protocol import bounded_protocol
from gateway.settings import GatewaySettings
from services.runtime.health import HealthBoard
from services.runtime.logs import configure_logs
from services.runtime.process import EXIT_USAGE, service_parser
from services.runtime.settings import explain, show
from services.runtime.signals import stop_on_signals
from services.runtime.status_page import status_page
from services.runtime.telemetry import build_metrics, configure_tracing

KEEP_ALIVE_S = 75  # longer than a proxy in front keeps idle connections, so that none is cut in its hand


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us: its own way would end the process by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(argv: Sequence[str] | None = None) -> None:
    """Reads settings, serves until a signal, exits: 0 after a clean stop, 2 for settings or address."""
    parser = service_parser("gateway", __doc__ or "")
    parser.prog = "python -m gateway"
    arguments = vars(parser.parse_args(argv))
    wants_settings = arguments.pop("print_settings")
    try:
        settings = GatewaySettings(**arguments)
    except ValidationError as error:
        sys.stderr.write(f"gateway: wrong settings\n{explain(error)}\n")
        raise SystemExit(EXIT_USAGE) from None
    if wants_settings:
        sys.stdout.write(show(settings) + "\n")
        return
    configure_logs("gateway", settings.log_level, settings.log_format)
    raise SystemExit(asyncio.run(_live(settings)))


async def _live(settings: GatewaySettings) -> int:
    signalled = asyncio.Event()
    stop_on_signals(signalled)
    try:
        listener = bind(settings.gateway_listen)
    except OSError as error:
        sys.stderr.write(f"gateway: cannot listen on {settings.gateway_listen}: {error.strerror}\n")
        return EXIT_USAGE
    metrics = build_metrics()
    health = HealthBoard(metrics)
    with ExitStack() as stack:
        if tracing := configure_tracing("gateway", settings.otlp_endpoint):
            stack.callback(tracing.shutdown)
        async with open_clients(settings) as clients:
            health.add_check("ingest", lambda: probe(clients.ingest_channel))
            health.add_check("catalog", lambda: probe(clients.catalog_channel))
            app = build_app(settings, clients, metrics.registry)
            page = stack.enter_context(status_page(settings.status_listen, health))
            sys.stdout.write(f"READY gateway http={_shown(settings, listener)} status={page}\n")
            sys.stdout.flush()
            await _serve(app.state.gateway, build_server(settings, app), listener, health, signalled)
    structlog.get_logger("process").info("stopped")
    return 0


def _shown(settings: GatewaySettings, listener: socket.socket) -> str:
    return f"{settings.gateway_listen.rpartition(':')[0]}:{listener.getsockname()[1]}"


def bind(listen: str) -> socket.socket:
    """A listening socket on ``host:port``. Raises OSError when the address is in use."""
    host, _, port = listen.rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=1_024)
    # asyncio sets this only on sockets made with an explicit protocol; without it answers take 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def build_server(settings: GatewaySettings, app: FastAPI) -> uvicorn.Server:
    """The HTTP server; sockets are given to its ``serve``."""
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings.gateway_max_header_bytes),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.gateway_trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
    )
    return _Server(config)


async def _serve(
    gateway: Gateway,
    server: uvicorn.Server,
    listener: socket.socket,
    health: HealthBoard,
    signalled: asyncio.Event,
) -> None:
    """Until a signal: then not ready, a moment for balancers, watchers end, requests in flight end."""
    watching = asyncio.create_task(health.watch(gateway.stopping))
    serving = asyncio.create_task(server.serve([listener]))
    waiting = asyncio.create_task(signalled.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await health.drain()
    await asyncio.sleep(gateway.settings.drain_delay_s)
    gateway.stopping.set()
    server.should_exit = True
    await serving
    await watching


if __name__ == "__main__":
    main()
