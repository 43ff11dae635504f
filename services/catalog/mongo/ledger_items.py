"""Items and chunks of batches in MongoDB; with a session each within its transaction.

Both collections can be sharded by ``batch``: every query names it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import InsertOne, UpdateOne

from services.catalog.ledger.model import (
    CHUNK_ITEMS,
    ChunkRecord,
    ItemOutcome,
    ItemRecord,
    NewItem,
    pack_rows,
    unpack_rows,
)
from services.catalog.ledger.rules import MAX_ITEMS
from services.catalog.ledger.states import BatchState, ItemState, shown
from services.catalog.mongo.database import MongoDatabase, MongoIndex, Session

INDEXES = (
    MongoIndex("items", [("batch", 1), ("row", 1)], {"name": "by_row", "unique": True}),
    MongoIndex("items", [("batch", 1), ("state", 1), ("row", 1)], {"name": "by_state"}),
    MongoIndex("chunks", [("batch", 1), ("number", 1)], {"name": "by_number", "unique": True}),
    MongoIndex("chunks", [("batch", 1), ("done", 1), ("number", 1)], {"name": "by_done"}),
)


async def insert_items(
    database: MongoDatabase,
    session: Session,
    batch: uuid.UUID,
    first_row: int,
    items: Sequence[NewItem],
    now_us: int,
) -> int:
    """Adds items from a row on, and their chunks; returns the number of the last chunk."""
    documents = [
        {
            "batch": batch.bytes,
            "row": row,
            "state": int(ItemState.PENDING),
            "url": item.url,
            "columns": json.dumps(dict(item.columns), ensure_ascii=False),
            "error": b"",
            "image": None,
            "attempt_count": 0,
            "update_time_us": now_us,
        }
        for row, item in enumerate(items, first_row)
    ]
    await database.collection("items").insert_many(documents, ordered=False, session=session)
    last_row = first_row + len(items) - 1
    first, last = (first_row - 1) // CHUNK_ITEMS, (last_row - 1) // CHUNK_ITEMS
    for index in range(first, last + 1):
        start = index * CHUNK_ITEMS + 1
        rows = tuple(range(start, min(start + CHUNK_ITEMS - 1, last_row) + 1))
        chunk = ChunkRecord(index + 1, 1, 1, rows, now_us)
        if start < first_row:
            await database.collection("chunks").update_one(
                {"batch": batch.bytes, "number": chunk.number},
                {"$set": {"item_rows": pack_rows(rows)}},
                session=session,
            )
        else:
            await insert_chunks(database, session, batch, [chunk])
    return last + 1


async def insert_chunks(
    database: MongoDatabase, session: Session, batch: uuid.UUID, chunks: Iterable[ChunkRecord]
) -> None:
    """Adds chunks."""
    inserts = [
        InsertOne(
            {
                "batch": batch.bytes,
                "number": chunk.number,
                "generation": chunk.generation,
                "attempt": chunk.attempt,
                "item_rows": pack_rows(chunk.rows),
                "create_time_us": chunk.create_time_us,
                # A field of its own, because an index does not tell null from missing.
                "done": False,
                "done_time_us": None,
                "successor": 0,
            }
        )
        for chunk in chunks
    ]
    if inserts:
        await database.collection("chunks").bulk_write(inserts, ordered=False, session=session)


async def find_chunk(
    database: MongoDatabase, session: Session, batch: uuid.UUID, number: int
) -> ChunkRecord | None:
    """One chunk, or None."""
    document = await database.collection("chunks").find_one(
        {"batch": batch.bytes, "number": number}, session=session
    )
    return document and _chunk(document)


def missing_walk(batch: uuid.UUID, before_us: int, after: int) -> tuple[dict[str, Any], str]:
    """The walk along the chunks without results, by number: condition and index."""
    condition = {
        "batch": batch.bytes,
        "done": False,
        "number": {"$gt": after},
        "create_time_us": {"$lt": before_us},
    }
    return condition, "by_done"


async def list_missing(
    database: MongoDatabase, batch: uuid.UUID, before_us: int, size: int, after: int
) -> list[ChunkRecord]:
    """Chunks without results, by number."""
    condition, index = missing_walk(batch, before_us, after)
    cursor = database.collection("chunks").find(condition).sort("number", 1).hint(index).limit(size)
    return [_chunk(document) for document in await cursor.to_list(None)]


async def mark_done(
    database: MongoDatabase,
    session: Session,
    batch: uuid.UUID,
    chunk: ChunkRecord,
    successor: int,
    now_us: int,
) -> None:
    """The chunk has its results now."""
    await database.collection("chunks").update_one(
        {"batch": batch.bytes, "number": chunk.number},
        {"$set": {"done": True, "done_time_us": now_us, "successor": successor}},
        session=session,
    )


async def write_outcomes(
    database: MongoDatabase,
    session: Session,
    batch: uuid.UUID,
    outcomes: Iterable[ItemOutcome],
    now_us: int,
) -> None:
    """Gives items their results."""
    changes = [
        UpdateOne(
            {"batch": batch.bytes, "row": outcome.row},
            {
                "$set": {
                    "state": int(outcome.state),
                    "error": outcome.error,
                    "image": outcome.image.bytes if outcome.image else None,
                    "update_time_us": now_us,
                },
                "$inc": {"attempt_count": 1},
            },
        )
        for outcome in outcomes
    ]
    await database.collection("items").bulk_write(changes, ordered=False, session=session)


async def revive_chunks(database: MongoDatabase, session: Session, batch: uuid.UUID, now_us: int) -> int:
    """Begins a new run of the chunks that a cancelled batch left; returns how many items are RETRYING."""
    await database.collection("chunks").update_many(
        {"batch": batch.bytes, "done": False},
        {"$inc": {"generation": 1}, "$set": {"create_time_us": now_us}},
        session=session,
    )
    count: int = await database.collection("items").count_documents(
        {"batch": batch.bytes, "state": int(ItemState.RETRYING)}, session=session
    )
    return count


async def reopen_items(
    database: MongoDatabase,
    session: Session,
    batch: uuid.UUID,
    rows: Sequence[int],
    state: ItemState,
    now_us: int,
) -> list[int]:
    """Makes items of an ended state RETRYING, all or those of ``rows``; returns their rows in order."""
    condition: dict[str, Any] = {"batch": batch.bytes, "state": int(state)}
    if rows:
        condition["row"] = {"$in": [row for row in rows if 0 < row <= MAX_ITEMS]}
    cursor = database.collection("items").find(condition, {"row": 1, "_id": 0}, session=session)
    reopened = [document["row"] for document in await cursor.sort("row", 1).to_list(None)]
    change = {"$set": {"state": int(ItemState.RETRYING), "update_time_us": now_us}}
    await database.collection("items").update_many(condition, change, session=session)
    return reopened


async def drop_items(database: MongoDatabase, session: Session, batch: uuid.UUID) -> None:
    """Takes all items and chunks of a batch away."""
    for name in ("items", "chunks"):
        await database.collection(name).delete_many({"batch": batch.bytes}, session=session)


async def read_items(
    database: MongoDatabase, session: Session, batch: uuid.UUID, rows: Sequence[int], state: BatchState
) -> list[ItemRecord]:
    """The items of some rows, in that order; what does not exist is left out. ``state``: of the batch."""
    cursor = database.collection("items").find(
        {"batch": batch.bytes, "row": {"$in": [row for row in rows if 0 < row <= MAX_ITEMS]}}, session=session
    )
    found = {document["row"]: document for document in await cursor.to_list(None)}
    return [_item(found[row], state) for row in rows if row in found]


def page_walks(
    batch: uuid.UUID, states: Sequence[ItemState] | None, after: int
) -> list[tuple[dict[str, Any], str]]:
    """The walks of a page, each by ``row``, one for each stored state, or one for None: condition, index."""
    condition = {"batch": batch.bytes, "row": {"$gt": min(after, MAX_ITEMS)}}
    if states is None:
        return [(condition, "by_row")]
    return [({**condition, "state": int(state)}, "by_state") for state in states]


async def list_items(
    database: MongoDatabase,
    batch: uuid.UUID,
    states: Sequence[ItemState] | None,
    size: int,
    after: int,
    state: BatchState,
) -> list[ItemRecord]:
    """Items by row: walks along an index, merged."""
    found: list[dict[str, Any]] = []
    for condition, index in page_walks(batch, states, after):
        cursor = database.collection("items").find(condition).sort("row", 1)
        found += await cursor.hint(index).limit(size).to_list(None)
    found.sort(key=lambda document: int(document["row"]))
    return [_item(document, state) for document in found[:size]]


def _chunk(document: dict[str, Any]) -> ChunkRecord:
    return ChunkRecord(
        document["number"],
        document["generation"],
        document["attempt"],
        unpack_rows(document["item_rows"]),
        document["create_time_us"],
        document["done_time_us"],
        document["successor"],
    )


def _item(document: dict[str, Any], batch: BatchState) -> ItemRecord:
    image = document["image"]
    return ItemRecord(
        document["row"],
        NewItem(document["url"], json.loads(document["columns"])),
        shown(ItemState(document["state"]), batch),
        document["error"],
        uuid.UUID(bytes=image) if image else None,
        document["attempt_count"],
        document["update_time_us"],
    )
