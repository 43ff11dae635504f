"""The real application over real HTTP and real gRPC, on free ports of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.__main__ import bind, build_server
from gateway.app import build_app
from gateway.clients import open_clients
from gateway.settings import GatewaySettings
from tests.contract.gateway.stand_in import World, serve

Start = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def start(world: World) -> AsyncIterator[Start]:
    """Starts the gateway with given settings; the client's base URL says where."""
    async with AsyncExitStack() as stack:

        async def started(**settings: Any) -> httpx.AsyncClient:
            address = await stack.enter_async_context(serve(world))
            given = {"ingest_address": address, "catalog_address": address, "drain_timeout_s": 1, **settings}
            url = await stack.enter_async_context(running(GatewaySettings(**given)))
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))

        yield started


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[str]:
    """uvicorn as the process runs it, without the process."""
    listener = bind("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with open_clients(settings) as clients:
        app = build_app(settings, clients)
        server = build_server(settings, app)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield url
        finally:
            app.state.gateway.stopping.set()
            server.should_exit = True
            await serving


@pytest.fixture
async def client(start: Start) -> httpx.AsyncClient:
    """The gateway with default settings."""
    return await start()


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A developer's own .env must not change what is tested."""
    monkeypatch.chdir(tmp_path)
