"""Result sets in SQLite. The port's docstrings are the spec."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from services.catalog.result_sets import (
    ResultRow,
    RowPage,
    RowPlace,
    SetKey,
    check_count,
    check_key,
    check_page,
    check_rows,
    cut_page,
)
from services.catalog.sqlite.database import SqliteDatabase

_ROW = "sequence, scene_path, image_path, description, objects, time_us"
_PAGES = {
    "json": "sequence > ? ORDER BY sequence",
    "sql": "(scene_path, image_path) > (?, ?) ORDER BY scene_path, image_path",
}


class SqliteResultSets:
    """``ResultSetStore`` on the database that the catalog's stores share."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def put_rows(self, key: SetKey, rows: Sequence[ResultRow]) -> int:
        """See ``ResultSetStore``."""
        check_key(key)
        kept = check_rows(rows)
        return await self._database.change(lambda connection: _put(connection, key, kept))

    async def list_rows(self, key: SetKey, size: int, after: RowPlace | None = None) -> RowPage:
        """See ``ResultSetStore``."""
        check_page(key, size, after)
        return await self._database.read(lambda connection: read_page(connection, key, size, after))

    async def count_rows(self, key: SetKey) -> int:
        """See ``ResultSetStore``."""
        check_key(key)
        found = await self._database.read(lambda connection: _find(connection, key))
        return found[2] if found else 0

    async def has_set(self, key: SetKey) -> bool:
        """See ``ResultSetStore``."""
        check_key(key)
        return await self._database.read(lambda connection: _find(connection, key)) is not None


def read_page(connection: sqlite3.Connection, key: SetKey, size: int, after: RowPlace | None) -> RowPage:
    """A page: a walk along an index."""
    known = _find(connection, key)
    if known is None:
        return RowPage((), None, 0)
    place: tuple[Any, ...] = (0,) if key.kind == "json" else ("", "")
    if after is not None:
        place = (after,) if isinstance(after, int) else after
    # No pair comes before the two empty paths, but they are a pair themselves.
    condition = _PAGES[key.kind] if after is not None else _PAGES[key.kind].replace(">", ">=")
    rows = connection.execute(
        f"SELECT {_ROW} FROM result_rows WHERE set_id = ? AND {condition} LIMIT ?",
        (known[0], *place, size + 1),
    )
    return cut_page(key, [_row(row) for row in rows], size, known[2])


def _put(connection: sqlite3.Connection, key: SetKey, rows: Sequence[ResultRow]) -> int:
    connection.execute(
        "INSERT INTO result_sets (kind, name) VALUES (?, ?) ON CONFLICT DO NOTHING", (key.kind, key.name)
    )
    known = _find(connection, key)
    assert known  # noqa: S101  it was made just now
    number, sequence, before = known
    connection.executemany(
        "INSERT INTO result_rows (set_id, scene_path, image_path, sequence, description, objects, time_us) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (set_id, scene_path, image_path) DO UPDATE SET "
        "description = excluded.description, objects = excluded.objects, time_us = excluded.time_us",
        [
            (number, *row.pair, place, row.description, _as_json(row), row.time_us)
            for place, row in enumerate(rows, sequence)
        ],
    )
    connection.execute(
        "UPDATE result_sets SET next_sequence = next_sequence + ? WHERE id = ?", (len(rows), number)
    )
    known = _find(connection, key)
    assert known  # noqa: S101  see above
    check_count(known[2])
    return known[2] - before


def _find(connection: sqlite3.Connection, key: SetKey) -> tuple[int, int, int] | None:
    found = connection.execute(
        "SELECT id, next_sequence, row_count FROM result_sets WHERE kind = ? AND name = ?",
        (key.kind, key.name),
    ).fetchone()
    return found and tuple(found)


def _as_json(row: ResultRow) -> str:
    return json.dumps(row.objects, ensure_ascii=False)


def _row(row: Sequence[Any]) -> tuple[int, ResultRow]:
    sequence, scene_path, image_path, description, objects, time_us = row
    return sequence, ResultRow(scene_path, image_path, description, tuple(json.loads(objects)), time_us)
