"""The ledgers that have to pass this suite, and short ways to make batches in them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from services.catalog.ledger.model import Applied, BatchRecord, ItemOutcome, NewBatch, NewItem, Usage
from services.catalog.ledger.states import ItemState
from services.catalog.ledger.store import LedgerStore
from services.catalog.mongo import ledger as mongo_ledger
from services.catalog.mongo.ledger import MongoLedger
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.ledger import SqliteLedger
from tests.contract.catalog.mongo_adapter import mongo_database

KINDS = ("mongo", "sqlite")
LETTERS = {"s": ItemState.SUCCEEDED, "f": ItemState.FAILED, "r": ItemState.RETRYING}


@asynccontextmanager
async def open_ledger(kind: str, folder: Path, now_us: Callable[[], int]) -> AsyncIterator[LedgerStore]:
    """A ledger in a folder, or in a database of its own."""
    if kind == "sqlite":
        async with open_sqlite_database(SqliteOptions(folder / "catalog.sqlite3"), now_us) as sqlite:
            yield SqliteLedger(sqlite)
    else:
        async with mongo_database(now_us, mongo_ledger.INDEXES) as mongo:
            yield MongoLedger(mongo)


async def new_batch(ledger: LedgerStore, count: int = 3, *, start: bool = True) -> BatchRecord:
    """A batch of some items."""
    batch, _ = await ledger.create_batch(NewBatch("sea"), "")
    return await fill(ledger, batch.uuid, count, start=start)


async def fill(ledger: LedgerStore, batch: uuid.UUID, count: int, *, start: bool = True) -> BatchRecord:
    """Appends some items to a batch."""
    await ledger.append_items(batch, items(count))
    return await (ledger.start_batch if start else ledger.get_batch)(batch)


async def new_parts(ledger: LedgerStore, *counts: int) -> tuple[BatchRecord, list[BatchRecord]]:
    """A batch of parts with so many items each; not started."""
    parent, _ = await ledger.create_batch(NewBatch("whole", part_count=len(counts)), "")
    parts = []
    for number, count in enumerate(counts, 1):
        part, _ = await ledger.create_batch(NewBatch(f"part {number}", parent.uuid, number), "")
        parts.append(await fill(ledger, part.uuid, count, start=False))
    return await ledger.get_batch(parent.uuid), parts


def items(count: int) -> list[NewItem]:
    return [NewItem(f"https://example.org/{index}.jpg", {"shop": f"Café {index}"}) for index in range(count)]


async def apply(
    ledger: LedgerStore, batch: BatchRecord, letters: str, chunk: int = 1, generation: int = 1
) -> Applied:
    """Applies results to a chunk, one letter an item: s(ucceeded), f(ailed), r(etrying)."""
    record, _ = await ledger.get_chunk(batch.uuid, chunk)
    return await ledger.apply_chunk(batch.uuid, chunk, generation, outcomes(letters, record.rows))


def outcomes(letters: str, rows: Iterable[int]) -> list[ItemOutcome]:
    return [
        ItemOutcome(
            row,
            LETTERS[letter],
            b"" if letter == "s" else f"{letter} {row}".encode(),
            uuid.UUID(int=row) if letter == "s" else None,
            Usage(10, 2, row),
        )
        for row, letter in zip(rows, letters, strict=True)
    ]


async def letters_of(ledger: LedgerStore, batch: uuid.UUID) -> str:
    """The states of all items, one letter each: p(ending), r, s, f, c(ancelled)."""
    states = []
    after: int | None = 0
    while after is not None:
        page = await ledger.list_items(batch, frozenset(), 1_000, after)
        states += [item.state.name[0].lower() for item in page.items]
        after = page.next
    return "".join(states)
