"""The caption records that have to pass these suites, and short ways to reserve and settle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.catalog.captions.model import (
    CaptionToKeep,
    Limit,
    Outcome,
    Reservation,
    Settlement,
    Spend,
    Usage,
    UsageQuery,
)
from services.catalog.captions.store import CaptionRecordStore
from services.catalog.mongo.caption_records import MongoCaptionRecords
from services.catalog.mongo.store import MongoStore
from services.catalog.sqlite.caption_records import SqliteCaptionRecords
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.store import SqliteStore
from services.catalog.store import CatalogStore
from services.catalog.stores import MONGO_INDEXES
from tests.contract.catalog.mongo_adapter import mongo_database

KINDS = ("mongo", "sqlite")
BATCH = "batches/0192"
EVER = ("2000-01-01", "2030-01-01")
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


@dataclass(slots=True)
class World:
    """Caption records, and the images beside them."""

    records: CaptionRecordStore
    images: CatalogStore

    async def usage(self, *, by_batch: bool = False, batch: str = "", size: int = 1_000) -> dict[str, Usage]:
        """All rows, page by page, by their place."""
        query = UsageQuery(*EVER, by_batch=by_batch, batch=batch)
        rows: dict[str, Usage] = {}
        after = ""
        while True:
            page = await self.records.list_usage(query, size, after)
            assert len(page.rows) <= size
            for row in page.rows:
                key = row.key
                rows[" ".join(filter(None, (key.day, key.provider, key.batch)))] = row.usage
            if page.next is None:
                return rows
            after = page.next

    async def totals(self) -> dict[str, Spend]:
        """The current sums, by period and provider."""
        found = await self.records.read_totals()
        return {f"{key.period} {key.provider}": spend for key, spend in found.items()}


@asynccontextmanager
async def open_world(kind: str, folder: Path, now_us: Callable[[], int]) -> AsyncIterator[World]:
    """A catalog in a folder, or in a database of its own."""
    if kind == "sqlite":
        async with open_sqlite_database(SqliteOptions(folder / "catalog.sqlite3"), now_us) as sqlite:
            yield World(SqliteCaptionRecords(sqlite), SqliteStore(sqlite))
    else:
        async with mongo_database(now_us, MONGO_INDEXES) as mongo:
            yield World(MongoCaptionRecords(mongo), MongoStore(mongo))


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def reservation(
    number: int,
    micros: int = 10,
    tokens: int = 100,
    provider: str = "mistral",
    batch: str = "",
    ttl_us: int = HOUR_US,
) -> Reservation:
    return Reservation(id_of(number), provider, batch, micros, tokens, ttl_us)


def settlement(
    number: int,
    outcome: Outcome = Outcome.DESCRIBED,
    micros: int = 7,
    tokens: tuple[int, int] = (60, 5),
    provider: str = "mistral",
    batch: str = "",
) -> Settlement:
    return Settlement(id_of(number), provider, batch, micros, *tokens, outcome)


def limit(
    micros: int | None = None, tokens: int | None = None, provider: str = "", *, monthly: bool = False
) -> Limit:
    return Limit(provider, monthly, micros, tokens)


def kept(key: int, image: bytes = b"i" * 32, caption: bytes = b"a caption") -> CaptionToKeep:
    return CaptionToKeep(key.to_bytes(32, "big"), image, caption)
