"""Records of batches in MongoDB; with a session each within its transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from pymongo import UpdateOne

from services.catalog.ledger.books import Move, add_part, lose_part, moves_parent, stamp
from services.catalog.ledger.model import BatchQuery, BatchRecord, NewBatch, Progress, Usage, batch_not_found
from services.catalog.ledger.states import BatchState
from services.catalog.mongo.database import MongoDatabase, MongoIndex, Session

INDEXES = (
    # Sparse: batches without a request id have no such field.
    MongoIndex("batches", [("request_id", 1)], {"unique": True, "sparse": True}),
    MongoIndex(
        "batches",
        [("parent", 1), ("part_number", 1)],
        {"unique": True, "partialFilterExpression": {"part_number": {"$gt": 0}}},
    ),
    MongoIndex("batches", [("parent", 1), ("_id", 1)], {"name": "by_parent"}),
    MongoIndex("batches", [("parent", 1), ("state", 1), ("_id", 1)], {"name": "by_parent_state"}),
    MongoIndex("batches", [("state", 1), ("_id", 1)], {"name": "by_state"}),
)
_DESCENDING = -1


async def read_batch(database: MongoDatabase, session: Session, batch: uuid.UUID) -> BatchRecord:
    """One record; raises ``NotFoundError(BATCH_NOT_FOUND)``."""
    record = await find_batch(database, session, batch)
    if record is None:
        raise batch_not_found(batch)
    return record


async def find_batch(database: MongoDatabase, session: Session, batch: uuid.UUID) -> BatchRecord | None:
    """One record, or None."""
    document = await database.collection("batches").find_one({"_id": batch.bytes}, session=session)
    return document and _record(document)


async def find_request(database: MongoDatabase, session: Session, request_id: str) -> BatchRecord | None:
    """The record that a request id made."""
    if not request_id:
        return None
    document = await database.collection("batches").find_one({"request_id": request_id}, session=session)
    return document and _record(document)


async def read_parts(database: MongoDatabase, session: Session, parent: uuid.UUID) -> list[BatchRecord]:
    """All parts of a batch, newest first."""
    cursor = database.collection("batches").find({"parent": parent.bytes}, session=session)
    return [_record(document) for document in await cursor.sort("_id", _DESCENDING).to_list(None)]


async def count_parts(
    database: MongoDatabase, session: Session, parent: uuid.UUID, part_number: int = 0
) -> int:
    """How many parts a batch has; how many of that number, if one is given."""
    query = {"parent": parent.bytes, **({"part_number": part_number} if part_number else {})}
    count: int = await database.collection("batches").count_documents(query, session=session)
    return count


async def list_batches(
    database: MongoDatabase, query: BatchQuery, size: int, after: uuid.UUID | None
) -> list[BatchRecord]:
    """At most ``size`` records: a walk along an index for each state, then merged."""
    found: list[dict[str, Any]] = []
    for condition, index in page_walks(query, after):
        cursor = database.collection("batches").find(condition).sort("_id", _DESCENDING)
        found += await cursor.hint(index).limit(size).to_list(None)
    found.sort(key=lambda document: document["_id"], reverse=True)
    return [_record(document) for document in found[:size]]


def page_walks(query: BatchQuery, after: uuid.UUID | None) -> list[tuple[dict[str, Any], str]]:
    """The walks of a page, each by falling ``_id``: condition and index."""
    condition: dict[str, Any] = {"parent": query.parent.bytes} if query.parent else {}
    if after:
        condition["_id"] = {"$lt": after.bytes}
    if not query.states:
        return [(condition, "by_parent" if query.parent else "_id_")]
    index = "by_parent_state" if query.parent else "by_state"
    return [({**condition, "state": int(state)}, index) for state in sorted(query.states)]


async def insert_batch(database: MongoDatabase, session: Session, record: BatchRecord) -> None:
    """Adds a record; its parent, if there is one, follows."""
    await database.collection("batches").insert_one(_document(record), session=session)
    if record.batch.parent:
        parent = await read_batch(database, session, record.batch.parent)
        await _write_parent(database, session, parent, Progress(), b"", record.update_time_us, moved=True)


async def write_batch(database: MongoDatabase, session: Session, move: Move, now_us: int) -> BatchRecord:
    """Writes what became of a record, and its parent with it; returns it with its times."""
    before, after = move
    after = stamp(before, after, now_us)
    await _update(database, session, [after])
    if after.batch.parent:
        change = after.progress.plus(before.progress, -1)
        error = after.error if after.error != before.error else b""
        parent = await read_batch(database, session, after.batch.parent)
        moved = before.state is not after.state
        await _write_parent(database, session, parent, change, error, now_us, moved=moved)
    return after


async def write_parts(
    database: MongoDatabase, session: Session, parent: BatchRecord, moves: Sequence[Move], now_us: int
) -> BatchRecord:
    """Writes what became of parts of one batch, and the parent once; returns the parent."""
    change = Progress()
    for before, after in moves:
        change = change.plus(after.progress).plus(before.progress, -1)
    await _update(database, session, [stamp(before, after, now_us) for before, after in moves])
    return await _write_parent(database, session, parent, change, b"", now_us, moved=True)


async def drop_batch(database: MongoDatabase, session: Session, record: BatchRecord, now_us: int) -> None:
    """Takes a record away, and what it counted from its parent."""
    await database.collection("batches").delete_one({"_id": record.uuid.bytes}, session=session)
    if record.batch.parent:
        parent = lose_part(await read_batch(database, session, record.batch.parent))
        change = Progress().plus(record.progress, -1)
        await _write_parent(database, session, parent, change, b"", now_us, moved=True)


async def _write_parent(
    database: MongoDatabase,
    session: Session,
    parent: BatchRecord,
    change: Progress,
    error: bytes,
    now_us: int,
    *,
    moved: bool,
) -> BatchRecord:
    look = moves_parent(parent, change, moved=moved)
    states = await _part_states(database, session, parent) if look else ()
    after = stamp(parent, add_part(parent, change, states, error), now_us)
    await _update(database, session, [after])
    return after


async def _part_states(database: MongoDatabase, session: Session, parent: BatchRecord) -> list[BatchState]:
    # One probe a state instead of a walk over all parts.
    states = []
    for state in BatchState:
        condition = {"parent": parent.uuid.bytes, "state": int(state)}
        if await database.collection("batches").find_one(condition, {"_id": 1}, session=session):
            states.append(state)
    missing = await count_parts(database, session, parent.uuid) < parent.batch.part_count
    return [*states, BatchState.CREATED] if missing else states


async def _update(database: MongoDatabase, session: Session, records: Iterable[BatchRecord]) -> None:
    changes = [UpdateOne({"_id": record.uuid.bytes}, {"$set": _changing(record)}) for record in records]
    await database.collection("batches").bulk_write(changes, ordered=False, session=session)


def _document(record: BatchRecord) -> dict[str, Any]:
    new = record.batch
    fixed: dict[str, Any] = {
        "_id": record.uuid.bytes,
        "parent": new.parent.bytes if new.parent else b"",
        "part_number": new.part_number,
        "options": new.options,
        "create_time_us": record.create_time_us,
    }
    if record.request_id:
        fixed["request_id"] = record.request_id
    return fixed | _changing(record)


def _changing(record: BatchRecord) -> dict[str, Any]:
    progress, usage = record.progress, record.progress.usage
    return {
        "part_count": record.batch.part_count,
        "display_name": record.batch.display_name,
        "weight": record.batch.weight,
        # As text, because keys with dots or dollars are awkward in documents.
        "labels": json.dumps(dict(record.batch.labels), ensure_ascii=False),
        "state": int(record.state),
        "total": progress.total,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "retrying": progress.retrying,
        "cancelled": progress.cancelled,
        "usage": [usage.input_tokens, usage.output_tokens, usage.cost_micros],
        "update_time_us": record.update_time_us,
        "start_time_us": record.start_time_us,
        "end_time_us": record.end_time_us,
        "error": record.error,
        "chunk_count": record.chunk_count,
        "revision": record.revision,
    }


def _record(document: dict[str, Any]) -> BatchRecord:
    parent = document["parent"]
    return BatchRecord(
        uuid.UUID(bytes=document["_id"]),
        NewBatch(
            document["display_name"],
            uuid.UUID(bytes=parent) if parent else None,
            document["part_number"],
            document["part_count"],
            document["options"],
            document["weight"],
            json.loads(document["labels"]),
        ),
        BatchState(document["state"]),
        Progress(
            document["total"],
            document["succeeded"],
            document["failed"],
            document["retrying"],
            document["cancelled"],
            Usage(*document["usage"]),
        ),
        document["create_time_us"],
        document["update_time_us"],
        document["start_time_us"],
        document["end_time_us"],
        document["error"],
        document["chunk_count"],
        document["revision"],
        document.get("request_id", ""),
    )
