"""Records of batches in SQLite, each within the transaction of the writer or of a reader."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from services.catalog.ledger.books import Move, add_part, lose_part, moves_parent, stamp
from services.catalog.ledger.model import BatchQuery, BatchRecord, NewBatch, Progress, Usage, batch_not_found
from services.catalog.ledger.states import BatchState

_FIXED = ("uuid", "parent", "part_number", "options", "request_id", "create_time_us")
_CHANGING = (
    "part_count", "display_name", "weight", "labels", "state", "total", "succeeded", "failed", "retrying",
    "cancelled", "input_tokens", "output_tokens", "cost_micros", "update_time_us", "start_time_us",
    "end_time_us", "error", "chunk_count", "revision",
)  # fmt: skip
_READ = ", ".join((*_FIXED, *_CHANGING))
_INSERT = f"INSERT INTO batches ({_READ}) VALUES ({', '.join('?' * (len(_FIXED) + len(_CHANGING)))})"
_UPDATE = f"UPDATE batches SET {', '.join(f'{column} = ?' for column in _CHANGING)} WHERE uuid = ?"


def read_batch(connection: sqlite3.Connection, batch: uuid.UUID) -> BatchRecord:
    """One record; raises ``NotFoundError(BATCH_NOT_FOUND)``."""
    record = find_batch(connection, batch)
    if record is None:
        raise batch_not_found(batch)
    return record


def find_batch(connection: sqlite3.Connection, batch: uuid.UUID) -> BatchRecord | None:
    """One record, or None."""
    row = connection.execute(f"SELECT {_READ} FROM batches WHERE uuid = ?", (batch.bytes,)).fetchone()
    return row and _record(row)


def find_request(connection: sqlite3.Connection, request_id: str) -> BatchRecord | None:
    """The record that a request id made."""
    if not request_id:
        return None
    row = connection.execute(
        f"SELECT {_READ} FROM batches WHERE request_id = ? AND request_id <> ''", (request_id,)
    ).fetchone()
    return row and _record(row)


def number_of(connection: sqlite3.Connection, batch: uuid.UUID) -> int:
    """The integer that chunks and items know a batch by."""
    row = connection.execute("SELECT id FROM batches WHERE uuid = ?", (batch.bytes,)).fetchone()
    if row is None:
        raise batch_not_found(batch)
    return int(row[0])


def read_parts(connection: sqlite3.Connection, parent: uuid.UUID) -> list[BatchRecord]:
    """All parts of a batch, newest first."""
    rows = connection.execute(
        f"SELECT {_READ} FROM batches WHERE parent = ? ORDER BY uuid DESC", (parent.bytes,)
    )
    return [_record(row) for row in rows]


def count_parts(connection: sqlite3.Connection, parent: uuid.UUID, part_number: int = 0) -> int:
    """How many parts a batch has; how many of that number, if one is given."""
    statement, parameters = "SELECT count(*) FROM batches WHERE parent = ?", list[Any]([parent.bytes])
    if part_number:
        statement += " AND part_number = ? AND parent <> x''"
        parameters.append(part_number)
    (count,) = connection.execute(statement, parameters).fetchone()
    return int(count)


def list_batches(
    connection: sqlite3.Connection, query: BatchQuery, size: int, after: uuid.UUID | None
) -> list[BatchRecord]:
    """At most ``size`` records: a walk along an index for each state, then merged."""
    below = after.bytes if after else b"\xff" * 17
    conditions, parameters = ["uuid < ?"], [below]
    if query.parent:
        conditions.append("parent = ?")
        parameters.append(query.parent.bytes)
    walks: list[tuple[str, list[Any]]] = [(" AND ".join(conditions), list(parameters))]
    if query.states:
        walks = [
            (" AND ".join([*conditions, "state = ?"]), [*parameters, int(state)])
            for state in sorted(query.states)
        ]
    rows: list[tuple[Any, ...]] = []
    for condition, values in walks:
        rows += connection.execute(
            f"SELECT {_READ} FROM batches WHERE {condition} ORDER BY uuid DESC LIMIT ?", (*values, size)
        )
    rows.sort(key=lambda row: row[0], reverse=True)
    return [_record(row) for row in rows[:size]]


def insert_batch(connection: sqlite3.Connection, record: BatchRecord) -> None:
    """Adds a record; its parent, if there is one, follows."""
    connection.execute(_INSERT, (*_fixed(record), *_changing(record)))
    if record.batch.parent:
        parent = read_batch(connection, record.batch.parent)
        _write_parent(connection, parent, Progress(), b"", record.update_time_us, moved=True)


def write_batch(connection: sqlite3.Connection, move: Move, now_us: int) -> BatchRecord:
    """Writes what became of a record, and its parent with it; returns it with its times."""
    before, after = move
    after = stamp(before, after, now_us)
    _update(connection, [after])
    if after.batch.parent:
        change = after.progress.plus(before.progress, -1)
        error = after.error if after.error != before.error else b""
        parent = read_batch(connection, after.batch.parent)
        _write_parent(connection, parent, change, error, now_us, moved=before.state is not after.state)
    return after


def write_parts(
    connection: sqlite3.Connection, parent: BatchRecord, moves: Sequence[Move], now_us: int
) -> BatchRecord:
    """Writes what became of parts of one batch, and the parent once; returns the parent."""
    change = Progress()
    for before, after in moves:
        change = change.plus(after.progress).plus(before.progress, -1)
    _update(connection, [stamp(before, after, now_us) for before, after in moves])
    return _write_parent(connection, parent, change, b"", now_us, moved=True)


def drop_batch(connection: sqlite3.Connection, record: BatchRecord, now_us: int) -> None:
    """Takes a record away, and what it counted from its parent."""
    connection.execute("DELETE FROM batches WHERE uuid = ?", (record.uuid.bytes,))
    if record.batch.parent:
        parent = lose_part(read_batch(connection, record.batch.parent))
        change = Progress().plus(record.progress, -1)
        _write_parent(connection, parent, change, b"", now_us, moved=True)


def _write_parent(
    connection: sqlite3.Connection,
    parent: BatchRecord,
    change: Progress,
    error: bytes,
    now_us: int,
    *,
    moved: bool,
) -> BatchRecord:
    look = moves_parent(parent, change, moved=moved)
    states = _part_states(connection, parent) if look else ()
    after = stamp(parent, add_part(parent, change, states, error), now_us)
    _update(connection, [after])
    return after


def _part_states(connection: sqlite3.Connection, parent: BatchRecord) -> list[BatchState]:
    # One probe a state instead of a walk over all parts.
    states = [
        state
        for state in BatchState
        if connection.execute(
            "SELECT 1 FROM batches WHERE parent = ? AND state = ? LIMIT 1", (parent.uuid.bytes, int(state))
        ).fetchone()
    ]
    missing = count_parts(connection, parent.uuid) < parent.batch.part_count
    return [*states, BatchState.CREATED] if missing else states


def _update(connection: sqlite3.Connection, records: Iterable[BatchRecord]) -> None:
    connection.executemany(_UPDATE, [(*_changing(record), record.uuid.bytes) for record in records])


def _fixed(record: BatchRecord) -> tuple[Any, ...]:
    new = record.batch
    return (
        record.uuid.bytes,
        new.parent.bytes if new.parent else b"",
        new.part_number,
        new.options,
        record.request_id,
        record.create_time_us,
    )


def _changing(record: BatchRecord) -> tuple[Any, ...]:
    progress, usage = record.progress, record.progress.usage
    return (
        record.batch.part_count,
        record.batch.display_name,
        record.batch.weight,
        json.dumps(dict(record.batch.labels), ensure_ascii=False),
        int(record.state),
        progress.total,
        progress.succeeded,
        progress.failed,
        progress.retrying,
        progress.cancelled,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost_micros,
        record.update_time_us,
        record.start_time_us,
        record.end_time_us,
        record.error,
        record.chunk_count,
        record.revision,
    )


def _record(row: Sequence[Any]) -> BatchRecord:
    (name, parent, part_number, options, request_id, created_us, *changing) = row
    (
        part_count,
        display_name,
        weight,
        labels,
        state,
        total,
        succeeded,
        failed,
        retrying,
        cancelled,
        *rest,
    ) = changing
    (input_tokens, output_tokens, cost_micros, updated_us, started_us, ended_us, *last) = rest
    error, chunk_count, revision = last
    return BatchRecord(
        uuid.UUID(bytes=name),
        NewBatch(
            display_name,
            uuid.UUID(bytes=parent) if parent else None,
            part_number,
            part_count,
            options,
            weight,
            json.loads(labels),
        ),
        BatchState(state),
        Progress(
            total,
            succeeded,
            failed,
            retrying,
            cancelled,
            Usage(input_tokens, output_tokens, cost_micros),
        ),
        created_us,
        updated_us,
        started_us,
        ended_us,
        error,
        chunk_count,
        revision,
        request_id,
    )
