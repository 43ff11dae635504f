"""Items and chunks of batches in SQLite, each within the transaction of the writer or of a reader."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

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

# Items have ids of a batch's number and the row in its lower 32 bits.
_ROW_BITS = 32
_ROWS = (1 << _ROW_BITS) - 1
_ITEM = "id, state, url, columns, error, image, attempt_count, update_time_us"
_CHUNK = "number, generation, attempt, item_rows, create_time_us, done_time_us, successor"


def insert_items(
    connection: sqlite3.Connection, batch: int, first_row: int, items: Sequence[NewItem], now_us: int
) -> int:
    """Adds items from a row on, and their chunks; returns the number of the last chunk."""
    connection.executemany(
        "INSERT INTO items (id, batch_id, state, url, columns, update_time_us) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (_id(batch, row), batch, int(ItemState.PENDING), item.url, _as_json(item), now_us)
            for row, item in enumerate(items, first_row)
        ],
    )
    last_row = first_row + len(items) - 1
    first, last = (first_row - 1) // CHUNK_ITEMS, (last_row - 1) // CHUNK_ITEMS
    for index in range(first, last + 1):
        start = index * CHUNK_ITEMS + 1
        rows = tuple(range(start, min(start + CHUNK_ITEMS - 1, last_row) + 1))
        insert_chunk(connection, batch, ChunkRecord(index + 1, 1, 1, rows, now_us))
    return last + 1


def insert_chunk(connection: sqlite3.Connection, batch: int, chunk: ChunkRecord) -> None:
    """Adds a chunk, or takes the rows of one that grew."""
    connection.execute(
        "INSERT INTO chunks (batch_id, number, generation, attempt, item_rows, create_time_us) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET item_rows = excluded.item_rows",
        (batch, chunk.number, chunk.generation, chunk.attempt, pack_rows(chunk.rows), chunk.create_time_us),
    )


def find_chunk(connection: sqlite3.Connection, batch: int, number: int) -> ChunkRecord | None:
    """One chunk, or None."""
    row = connection.execute(
        f"SELECT {_CHUNK} FROM chunks WHERE batch_id = ? AND number = ?", (batch, number)
    ).fetchone()
    return row and _chunk(row)


def list_missing(
    connection: sqlite3.Connection, batch: int, before_us: int, size: int, after: int
) -> list[ChunkRecord]:
    """Chunks without results, by number."""
    rows = connection.execute(
        f"SELECT {_CHUNK} FROM chunks INDEXED BY chunks_missing WHERE batch_id = ? AND done_time_us IS NULL "
        "AND number > ? AND create_time_us < ? ORDER BY number LIMIT ?",
        (batch, after, before_us, size),
    )
    return [_chunk(row) for row in rows]


def mark_done(
    connection: sqlite3.Connection, batch: int, chunk: ChunkRecord, successor: int, now_us: int
) -> None:
    """The chunk has its results now."""
    connection.execute(
        "UPDATE chunks SET done_time_us = ?, successor = ? WHERE batch_id = ? AND number = ?",
        (now_us, successor, batch, chunk.number),
    )


def write_outcomes(
    connection: sqlite3.Connection, batch: int, outcomes: Iterable[ItemOutcome], now_us: int
) -> None:
    """Gives items their results."""
    connection.executemany(
        "UPDATE items SET state = ?, error = ?, image = ?, update_time_us = ?, "
        "attempt_count = attempt_count + 1 WHERE id = ?",
        [
            (
                outcome.state.value,
                outcome.error,
                outcome.image.bytes if outcome.image else None,
                now_us,
                _id(batch, outcome.row),
            )
            for outcome in outcomes
        ],
    )


def revive_chunks(connection: sqlite3.Connection, batch: int, now_us: int) -> int:
    """Begins a new run of the chunks that a cancelled batch left; returns how many items are RETRYING."""
    connection.execute(
        "UPDATE chunks SET generation = generation + 1, create_time_us = ? "
        "WHERE batch_id = ? AND done_time_us IS NULL",
        (now_us, batch),
    )
    (count,) = connection.execute(
        "SELECT count(*) FROM items WHERE batch_id = ? AND state = ?", (batch, int(ItemState.RETRYING))
    ).fetchone()
    return int(count)


def reopen_items(
    connection: sqlite3.Connection, batch: int, rows: Sequence[int], state: ItemState, now_us: int
) -> list[int]:
    """Makes items of an ended state RETRYING, all or those of ``rows``; returns their rows in order."""
    found = connection.execute(
        "SELECT id & ? FROM items WHERE batch_id = ? AND state = ? ORDER BY id", (_ROWS, batch, int(state))
    )
    wanted = set(rows)
    reopened = [row for (row,) in found if not wanted or row in wanted]
    connection.executemany(
        "UPDATE items SET state = ?, update_time_us = ? WHERE id = ?",
        [(int(ItemState.RETRYING), now_us, _id(batch, row)) for row in reopened],
    )
    return reopened


def drop_items(connection: sqlite3.Connection, batch: int) -> None:
    """Takes all items and chunks of a batch away."""
    connection.execute("DELETE FROM items WHERE id BETWEEN ? AND ?", (_id(batch, 0), _id(batch, _ROWS)))
    connection.execute("DELETE FROM chunks WHERE batch_id = ?", (batch,))


def read_items(
    connection: sqlite3.Connection, batch: int, rows: Iterable[int], state: BatchState
) -> list[ItemRecord]:
    """The items of some rows, in that order; what does not exist is left out. ``state``: of the batch."""
    found = (
        connection.execute(f"SELECT {_ITEM} FROM items WHERE id = ?", (_id(batch, row),)).fetchone()
        for row in rows
        if 0 < row <= MAX_ITEMS
    )
    return [_item(row, state) for row in found if row]


def list_items(
    connection: sqlite3.Connection,
    batch: int,
    states: Sequence[ItemState] | None,
    size: int,
    after: int,
    state: BatchState,
) -> list[ItemRecord]:
    """Items by row: a walk along an index for each stored state, then merged; all of them for None."""
    span = (_id(batch, min(max(after, 0), MAX_ITEMS)), _id(batch, _ROWS), size)
    rows: list[tuple[Any, ...]] = []
    if states is None:
        rows += connection.execute(
            f"SELECT {_ITEM} FROM items WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", span
        )
    for stored in states or ():
        rows += connection.execute(
            f"SELECT {_ITEM} FROM items WHERE batch_id = ? AND state = ? AND id > ? AND id <= ? "
            "ORDER BY id LIMIT ?",
            (batch, int(stored), *span),
        )
    rows.sort(key=lambda row: row[0])
    return [_item(row, state) for row in rows[:size]]


def _id(batch: int, row: int) -> int:
    return batch << _ROW_BITS | row


def _as_json(item: NewItem) -> str:
    return json.dumps(dict(item.columns), ensure_ascii=False)


def _chunk(row: Sequence[Any]) -> ChunkRecord:
    number, generation, attempt, rows, created_us, done_us, successor = row
    return ChunkRecord(number, generation, attempt, unpack_rows(rows), created_us, done_us, successor)


def _item(row: Sequence[Any], batch: BatchState) -> ItemRecord:
    number, state, url, columns, error, image, attempts, updated_us = row
    return ItemRecord(
        number & _ROWS,
        NewItem(url, json.loads(columns)),
        shown(ItemState(state), batch),
        error,
        uuid.UUID(bytes=image) if image else None,
        attempts,
        updated_us,
    )
