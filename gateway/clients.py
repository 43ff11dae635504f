"""The two services that the gateway talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.settings import GatewaySettings
from services.runtime.channels import open_channel
from services.runtime.errors import Reason, UnavailableError
from sightmill.v1 import catalog_pb2_grpc, ingest_pb2_grpc

PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Clients:
    """Stubs of ingest and catalog, and their channels to ask for health over."""

    ingest: ingest_pb2_grpc.IngestServiceAsyncStub
    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    ingest_channel: grpc.aio.Channel
    catalog_channel: grpc.aio.Channel


@dataclass(frozen=True, slots=True)
class Gateway:
    """What every route works with. ``stopping`` is set when the process drains: endless answers then end."""

    settings: GatewaySettings
    clients: Clients
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_clients(settings: GatewaySettings) -> AsyncIterator[Clients]:
    """Channels to the addresses of the settings, closed at the end."""
    async with (
        open_channel(settings.ingest_address, settings.max_message_bytes) as ingest,
        open_channel(settings.catalog_address, settings.max_message_bytes) as catalog,
    ):
        yield Clients(
            ingest_pb2_grpc.IngestServiceStub(ingest),
            catalog_pb2_grpc.CatalogServiceStub(catalog),
            ingest,
            catalog,
        )


async def probe(channel: grpc.aio.Channel, service: str = "") -> None:
    """Raises unless the process behind ``channel`` says over gRPC health that it is SERVING.

    ``service`` narrows the question, to ``dependency/queue`` for example.
    """
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PROBE_TIMEOUT_S)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnavailableError(Reason.SERVICE_UNAVAILABLE, "It answers, but does not serve yet.")


async def answers(channel: grpc.aio.Channel, service: str = "") -> bool:
    """Whether the process behind ``channel`` serves, or what it says of ``service``."""
    with suppress(grpc.aio.AioRpcError, UnavailableError):
        await probe(channel, service)
        return True
    return False
