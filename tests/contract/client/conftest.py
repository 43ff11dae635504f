"""The scripted server, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from sightmill.client import Client
from sightmill.v1 import captioner_pb2_grpc, catalog_pb2_grpc, ingest_pb2_grpc
from tests.contract.client.scripted_server import Captioner, Catalog, Ingest, ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    running = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    ingest = Ingest()
    # It serves what the client calls, which is not all of the contract.
    catalog = Catalog()  # type: ignore[abstract]
    captioner = Captioner()  # type: ignore[abstract]
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(ingest, running)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, running)
    captioner_pb2_grpc.add_CaptionerServiceServicer_to_server(captioner, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield ScriptedServer(f"127.0.0.1:{port}", ingest, catalog, captioner)
    await running.stop(None)


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[Client]:
    async with Client(server.address, timeout_s=10) as connected:
        yield connected
