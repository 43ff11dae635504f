"""The catalog's own books behind a server that can go away, hang, and lose its answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from services.captioner.money.spending import Limit
from services.captioner.records.catalog_records import CatalogRecords, open_catalog_records
from services.catalog.captions.servicer import CaptionRecordsServicer
from services.catalog.sqlite.database import SqliteOptions
from services.catalog.stores import open_sqlite_stores
from services.runtime.channels import open_channel
from services.runtime.errors import Reason, UnavailableError
from services.runtime.interceptors import AroundInterceptor, Call, interceptor_chain
from services.runtime.telemetry import build_metrics
from sightmill.v1 import caption_records_pb2_grpc

MAX_MESSAGE_BYTES = 72 * 1024 * 1024
TIMEOUT_S = 10.0


class Faults(AroundInterceptor):
    """Counts calls by method; holds them back while ``open`` is not set, loses answers of ``lossy`` ones."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.lossy: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        method = call.method.rpartition("/")[2]
        self.calls[method] += 1
        await self.open.wait()
        yield
        if method in self.lossy:
            raise UnavailableError(Reason.SERVICE_UNAVAILABLE, "Done, but nobody hears of it.")


@dataclass
class RecordsWorld:
    """A catalog's records at an address that stays; ``start`` and ``stop`` are those of its process."""

    servicer: CaptionRecordsServicer
    faults: Faults = field(default_factory=Faults)
    address: str = "127.0.0.1:0"
    _server: grpc.aio.Server | None = None

    async def start(self) -> None:
        chain = interceptor_chain(build_metrics(), 1_000, asyncio.Event())
        self._server = grpc.aio.server(interceptors=[*chain, self.faults], options=[("grpc.so_reuseport", 0)])
        caption_records_pb2_grpc.add_CaptionRecordsServiceServicer_to_server(self.servicer, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(self.address)}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(0)
            self._server = None

    @asynccontextmanager
    async def client(
        self,
        limits: Sequence[Limit] = (),
        registry: CollectorRegistry | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> AsyncIterator[CatalogRecords]:
        """One captioner's records."""
        registry = registry or CollectorRegistry()
        async with (
            open_channel(self.address, MAX_MESSAGE_BYTES) as channel,
            open_catalog_records(channel, timeout_s, limits, registry) as records,
        ):
            yield records

    @asynccontextmanager
    async def running_client(self, limits: Sequence[Limit] = ()) -> AsyncIterator[CatalogRecords]:
        """One that also sends what is to be counted and kept."""
        stopping = asyncio.Event()
        async with self.client(limits) as records:
            sender = asyncio.create_task(records.run(stopping))
            try:
                yield records
            finally:
                stopping.set()
                await sender


@asynccontextmanager
async def records_world(folder: Path) -> AsyncIterator[RecordsWorld]:
    """Books in a fresh SQLite file, served."""
    async with open_sqlite_stores(SqliteOptions(folder / "catalog.sqlite3")) as stores:
        world = RecordsWorld(CaptionRecordsServicer(stores.caption_records))
        await world.start()
        try:
            yield world
        finally:
            await world.stop()
