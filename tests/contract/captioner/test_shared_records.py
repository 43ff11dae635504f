"""Captioners about one real catalog: what one knows all know, and a catalog that is killed loses nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.captioner.money.spending import Outcome, Settlement
from services.captioner.provider import Ask, Origin, Tokens
from services.captioner.records.catalog_records import CatalogRecords, open_catalog_records
from services.captioner.records.known_answers import KnownAnswer, KnownAnswers
from services.runtime.channels import open_channel
from services.runtime.errors import ServiceError
from sightmill.v1 import caption_records_pb2, captioner_pb2
from tests.contract.captioner.records_world import MAX_MESSAGE_BYTES
from tests.contract.catalog.catalog_process import START_TIMEOUT_S, start_process
from tests.servers.caption_source import Named, Source, described, picture
from tests.servers.waiting import until

TIMEOUT_S = 2.0


@dataclass(slots=True)
class Catalog:
    process: asyncio.subprocess.Process
    address: str

    async def kill(self) -> None:
        """As a power cut for the process."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running_catalog(folder: Path, address: str = "127.0.0.1:0") -> AsyncIterator[Catalog]:
    """The real process; killed at the end if it still runs."""
    process = await start_process(folder, catalog_listen=address)
    try:
        assert process.stdout
        async with asyncio.timeout(START_TIMEOUT_S):
            ready = (await process.stdout.readline()).decode()
        yield Catalog(process, ready.split()[2].removeprefix("grpc="))
    finally:
        if process.returncode is None:
            process.kill()
        # Reads both pipes to their end, so that nothing is left open.
        await process.communicate()


@asynccontextmanager
async def captioner_records(address: str) -> AsyncIterator[CatalogRecords]:
    """Records that send what they have to, as in a captioner's process."""
    stopping = asyncio.Event()
    async with (
        open_channel(address, MAX_MESSAGE_BYTES) as channel,
        open_catalog_records(channel, TIMEOUT_S, (), CollectorRegistry()) as records,
    ):
        sender = asyncio.create_task(records.run(stopping))
        try:
            yield records
        finally:
            stopping.set()
            await sender


async def report(records: CatalogRecords) -> list[captioner_pb2.CaptionUsage]:
    """The rows of today; none while the catalog is away."""
    today = datetime.now(UTC).date().isoformat()
    query = caption_records_pb2.ListSpendRequest(start_day=today, end_day=today)
    try:
        return list((await records.list_spend(query)).rows)
    except ServiceError:
        return []


async def test_captioners_share_what_they_know(tmp_path: Path) -> None:
    async with (
        running_catalog(tmp_path) as catalog,
        captioner_records(catalog.address) as first,
        captioner_records(catalog.address) as second,
    ):
        source = Source(Named(), takes_s=0)

        async def ask(records: CatalogRecords) -> KnownAnswer:
            deadline = asyncio.get_running_loop().time() + 30
            return await KnownAnswers(records).describe(
                source, picture(), Ask(), Origin("batches/b"), deadline
            )

        assert await ask(first) == KnownAnswer(described(), cached=False)
        await until(lambda: not first._unsent, "the catalog has it")
        again = await ask(second)
        assert again.cached
        assert again.description.text == described().text
        assert again.description.attributes == described().attributes
        assert (again.description.tokens, again.description.cost_micros) == (Tokens(), 0)
        assert source.asked == 1

        async def counted() -> bool:
            return [(row.provider, row.cached_count) for row in await report(first)] == [("mistral", 1)]

        await until(counted, "the report says that it was cached")


async def test_a_catalog_that_is_killed_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    async with running_catalog(tmp_path) as catalog, captioner_records(catalog.address) as records:
        total = 0

        async def spend_until(enough: int) -> None:
            nonlocal total
            while total < enough:
                for _ in range(40):
                    each = Settlement(uuid.uuid4().bytes, "mistral", "", 7, Tokens(3, 2), Outcome.DESCRIBED)
                    records.settle(each)
                    total += 1
                await asyncio.sleep(0.002)

        spending = asyncio.create_task(spend_until(4_000))
        await until(lambda: total > 1_000, "some are on their way")
        await catalog.kill()
        await spending
        async with running_catalog(tmp_path, catalog.address):

            async def all_counted() -> bool:
                return [(row.image_count, row.usage.cost.micros) for row in await report(records)] == [
                    (total, 7 * total)
                ]

            await until(lambda: not len(records._settlements), "all are sent", START_TIMEOUT_S)
            await until(all_counted, "all are counted, each once")
