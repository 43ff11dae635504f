"""A process that applies results until it is killed, and says of each chunk when it is acknowledged.

Arguments: the kind of store, its place (a folder or a URL), a seed. Lines: ACK, batch, chunk, letters.
"""

from __future__ import annotations

import asyncio
import random
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.catalog.ledger.model import ChunkRecord, NewBatch
from services.catalog.ledger.store import LedgerStore
from services.catalog.mongo import ledger as mongo_ledger
from services.catalog.mongo.database import MongoOptions, open_mongo_database
from services.catalog.mongo.ledger import MongoLedger
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.ledger import SqliteLedger
from tests.contract.catalog.ledger_adapters import items, outcomes

PART_ITEMS = 230
_LATE_US = 2**62


@asynccontextmanager
async def open_place(kind: str, place: str) -> AsyncIterator[LedgerStore]:
    """The ledger of a folder or of a server."""
    if kind == "sqlite":
        async with open_sqlite_database(SqliteOptions(Path(place) / "catalog.sqlite3")) as sqlite:
            yield SqliteLedger(sqlite)
    else:
        options = MongoOptions(place, "ledger_kill", timeout_s=30.0)
        async with open_mongo_database(options, mongo_ledger.INDEXES) as mongo:
            yield MongoLedger(mongo)


async def work(ledger: LedgerStore, chance: random.Random) -> None:
    """Batch after batch, each of two parts, its failed items tried again once."""
    while True:
        parent, _ = await ledger.create_batch(NewBatch("whole", part_count=2), "")
        parts = []
        for number in (1, 2):
            part, _ = await ledger.create_batch(NewBatch("part", parent.uuid, number), "")
            await ledger.append_items(part.uuid, items(PART_ITEMS))
            parts.append(part.uuid)
        await ledger.start_batch(parent.uuid)
        for _ in range(2):
            await asyncio.gather(*(finish(ledger, part, chance) for part in parts))
            await ledger.retry_batch(parent.uuid)


async def finish(ledger: LedgerStore, part: uuid.UUID, chance: random.Random) -> None:
    """Applies chunks, some at a time, until none is left; retried items have less and less luck."""
    while chunks := await ledger.list_missing_chunks(part, _LATE_US, 3):
        await asyncio.gather(*(apply(ledger, part, chunk, chance) for chunk in chunks))


async def apply(ledger: LedgerStore, part: uuid.UUID, chunk: ChunkRecord, chance: random.Random) -> None:
    """Applies a chunk and says so."""
    letters = "".join(chance.choices("sssfr" if chunk.attempt < 4 else "sf", k=len(chunk.rows)))
    answer = await ledger.apply_chunk(part, chunk.number, chunk.generation, outcomes(letters, chunk.rows))
    assert answer.verdict.name == "APPLIED"
    # Written at once and whole, so that what is read was acknowledged.
    sys.stdout.write(f"ACK {part} {chunk.number} {letters}\n")
    sys.stdout.flush()


async def main(kind: str, place: str, seed: int) -> None:
    """Works until it is killed."""
    async with open_place(kind, place) as ledger:
        await work(ledger, random.Random(seed))  # noqa: S311  no secret


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
