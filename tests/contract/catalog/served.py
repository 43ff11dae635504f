"""The catalog over gRPC: a real server with the interceptors of every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from services.catalog.servicer import Answers, register_servicers
from services.catalog.store import CatalogStore
from services.runtime.channels import open_channel
from services.runtime.errors import ServiceError
from services.runtime.interceptors import interceptor_chain
from services.runtime.statuses import from_rpc_error
from services.runtime.telemetry import build_metrics
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, errors_pb2, people_pb2_grpc
from tests.contract.catalog.messages import create

MAX_MESSAGE_BYTES = 72 * 1024 * 1024
WAIT_S = 20.0
NOTHING_MORE = Answers()


@dataclass(slots=True)
class Served:
    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    people: people_pb2_grpc.PeopleServiceAsyncStub
    store: CatalogStore
    stopping: asyncio.Event


@asynccontextmanager
async def serve(store: CatalogStore, answers: Answers = NOTHING_MORE) -> AsyncIterator[Served]:
    stopping = asyncio.Event()
    server = grpc.aio.server(interceptors=interceptor_chain(build_metrics(), 1_000, asyncio.Event()))
    register_servicers(server, store, 16, stopping, answers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", MAX_MESSAGE_BYTES) as channel:
            catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)
            people: Any = people_pb2_grpc.PeopleServiceStub(channel)
            yield Served(catalog, people, store, stopping)
    finally:
        await server.stop(0)


async def refused(call: Awaitable[object], reason: errors_pb2.ErrorReason.ValueType) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    error = from_rpc_error(refusal.value)
    assert error.reason == reason, error
    assert refusal.value.code() is error.code
    return error


async def made(served: Served, content: str = "sea", **fields: Any) -> catalog_pb2.Image:
    return (await served.catalog.CreateImage(create(content, **fields))).image


async def written(
    served: Served, *items: catalog_pb2.WriteAnalysesRequest
) -> dict[str, status_pb2.Status | None]:
    answers = served.catalog.WriteAnalyses(iter(items), timeout=WAIT_S)
    return {answer.key: answer.error if answer.HasField("error") else None async for answer in answers}
