"""Ingest as it runs, over a real broker, a real folder of blobs, and scripted neighbours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.ingest.__main__ import start
from services.ingest.settings import IngestSettings
from services.runtime.queue.jetstream_queue import open_queue
from services.runtime.queue.options import QueueOptions
from services.runtime.queue.port import WorkQueue
from tests.contract.ingest.uploads import Ingest
from tests.servers.nats_server import NatsServer, nats_server
from tests.servers.running_app import running_app
from tests.servers.scripted_servicers import Rooms, scripted_rooms

MakeIngest = Callable[..., Awaitable[Ingest]]


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as running:
        yield running


@pytest.fixture
async def rooms() -> AsyncIterator[Rooms]:
    async with scripted_rooms() as running:
        yield running


@pytest.fixture
async def queue(nats: NatsServer) -> AsyncIterator[WorkQueue]:
    """Another process's view of the broker."""
    opened = open_queue(QueueOptions(servers=(nats.url,), token=SecretStr(nats.token), attempt_s=1.0))
    await opened.ping(10.0)
    yield opened
    await opened.close()


@pytest.fixture
async def make_ingest(nats: NatsServer, rooms: Rooms, tmp_path: Path) -> AsyncIterator[MakeIngest]:
    """Starts ingest in a role with settings of the test; ended with it."""
    defaults: dict[str, Any] = {
        "data_dir": tmp_path / "data",
        "nats_url": nats.url,
        "nats_token": SecretStr(nats.token),
        "catalog_address": rooms.catalog_room.address,
        "analyzer_address": rooms.analyzer_room.address,
        "captioner_address": rooms.captioner_room.address,
        "drain_delay_s": 0,
        "drain_timeout_s": 5,
        "ingest_store_timeout_s": 3,
        "ingest_worker_slots": 4,
        "ingest_reconcile_interval_s": 3_600,
    }
    async with AsyncExitStack() as stack:

        async def make(role: str, *, serving: bool = True, **values: Any) -> Ingest:
            settings = IngestSettings(**(defaults | {"ingest_role": role} | values))
            running = await stack.enter_async_context(running_app("ingest", settings, start, serving=serving))
            return Ingest(running, rooms)

        yield make


@pytest.fixture
async def api(make_ingest: MakeIngest) -> Ingest:
    """The role that takes images in; nobody works on them."""
    return await make_ingest("api")


@pytest.fixture
async def ingest(make_ingest: MakeIngest) -> Ingest:
    """Both roles."""
    return await make_ingest("all")
