"""Real providers' adapters over real HTTP, and the real service over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from services.captioner.__main__ import start
from services.captioner.http_client import HttpClient, open_http_client
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import Studio, open_studio
from services.runtime.health import HealthBoard
from services.runtime.process import App
from services.runtime.telemetry import build_metrics
from sightmill.v1 import captioner_pb2_grpc
from tests.servers.providers.fake_provider import FakeProvider, fake_provider

KEY = "sk-verysecret-0123456789"


@pytest.fixture(autouse=True)
def _no_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for vendor in ("MISTRAL", "OPENAI"):
        for name in ("API_KEY", "API_KEY_FILE", "BASE_URL"):
            monkeypatch.delenv(f"{vendor}_{name}", raising=False)


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with fake_provider() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with open_http_client(calls=16) as client:
        yield client


@pytest.fixture
def studio() -> Iterator[Studio]:
    with open_studio(workers=2, max_pixels=10_000_000) as room:
        yield room


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 1600 x 1200 pixels."""
    target = BytesIO()
    Image.linear_gradient("L").resize((1600, 1200)).convert("RGB").save(target, "JPEG")
    return target.getvalue()


@dataclass(frozen=True, slots=True)
class Captioner:
    """The service in this process, as ``python -m services.captioner`` wires it."""

    stub: captioner_pb2_grpc.CaptionerServiceAsyncStub
    app: App[CaptionerSettings]


@asynccontextmanager
async def captioner_with(folder: Path, **settings: Any) -> AsyncIterator[Captioner]:
    """A captioner with these settings on a free port."""
    given: dict[str, Any] = {
        "data_dir": folder,
        "captioner_listen": "127.0.0.1:0",
        # A test that wants a catalog starts one.
        "captioner_keep_records": False,
        **settings,
    }
    metrics = build_metrics()
    async with AsyncExitStack() as stack:
        app = App(
            "captioner", CaptionerSettings(**given), metrics, HealthBoard(metrics), stack, asyncio.Event()
        )
        listen = await start(app)
        server = app.build_server()
        port = server.add_insecure_port(listen)
        await server.start()
        stack.callback(app.stopping.set)
        backgrounds = app.start_backgrounds()
        stack.push_async_callback(_ended, backgrounds)
        stack.push_async_callback(server.stop, None)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Captioner(captioner_pb2_grpc.CaptionerServiceStub(channel), app)


async def _ended(backgrounds: list[asyncio.Task[None]]) -> None:
    for task in backgrounds:
        task.cancel()
    await asyncio.gather(*backgrounds, return_exceptions=True)
