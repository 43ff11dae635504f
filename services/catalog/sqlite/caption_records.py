"""Records of captions in SQLite. The port's docstrings are the spec."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from services.catalog.captions.books import SpendBook, outdated_usage
from services.catalog.captions.model import (
    MAX_TIME_US,
    Call,
    CallState,
    CaptionToKeep,
    Limit,
    Reservation,
    Settlement,
    Spend,
    TotalKey,
    Usage,
    UsageKey,
    UsagePage,
    UsageQuery,
    UsageRow,
    cut_usage,
    day_of,
    month_of,
)
from services.catalog.sqlite.database import SqliteDatabase
from services.catalog.sqlite.known import select_in
from services.catalog.sqlite.schema import read_number

# Columns are called as the fields are, in their order.
_CALL, _SPEND, _USAGE = (", ".join(record.__slots__) for record in (Call, Spend, Usage))
_call_row, _spend_row, _usage_row = (attrgetter(*record.__slots__) for record in (Call, Spend, Usage))
_MORE_SPEND, _MORE_USAGE = (
    ", ".join(f"{field} = {field} + ?" for field in record.__slots__) for record in (Spend, Usage)
)


class SqliteCaptionRecords:
    """``CaptionRecordStore`` on the database that the catalog's stores share."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def look_up_captions(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``CaptionRecordStore``."""
        return await self._database.read(lambda connection: read_captions(connection, keys))

    async def keep_captions(self, captions: Sequence[CaptionToKeep]) -> None:
        """See ``CaptionRecordStore``."""
        await self._database.change(lambda connection: _keep(connection, captions, self._database.now_us()))

    async def drop_captions(self, before_us: int, most_kept: int, most: int) -> int:
        """See ``CaptionRecordStore``."""
        return await self._database.change(
            lambda connection: drop_captions(connection, before_us, most_kept, most)
        )

    async def reserve_spend(
        self, reservations: Sequence[Reservation], limits: Sequence[Limit]
    ) -> list[Limit | None]:
        """See ``CaptionRecordStore``."""

        def reserve(connection: sqlite3.Connection) -> list[Limit | None]:
            now_us = self._database.now_us()
            stored = read_totals(connection, day_of(now_us)) if limits else {}
            book = SpendBook(now_us, _read_calls(connection, reservations), stored)
            decisions = [book.reserve(wanted, limits) for wanted in reservations]
            _write(connection, book)
            return decisions

        return await self._database.change(reserve)

    async def settle_spend(self, settlements: Sequence[Settlement]) -> None:
        """See ``CaptionRecordStore``."""

        def settle(connection: sqlite3.Connection) -> None:
            book = SpendBook(self._database.now_us(), _read_calls(connection, settlements), {})
            for settled in settlements:
                book.settle(settled)
            _write(connection, book)

        await self._database.change(settle)

    async def expire_calls(self, most: int) -> int:
        """See ``CaptionRecordStore``."""

        def expire(connection: sqlite3.Connection) -> int:
            now_us = self._database.now_us()
            calls = read_due(connection, CallState.HELD, now_us, most)
            book = SpendBook(now_us, calls, {})
            book.expire()
            _write(connection, book)
            return len(calls)

        return await self._database.change(expire)

    async def forget_calls(self, most: int) -> int:
        """See ``CaptionRecordStore``."""

        def forget(connection: sqlite3.Connection) -> int:
            now_us, gone = self._database.now_us(), 0
            for state in (CallState.EXPIRED, CallState.SETTLED):
                ids = [(call.id,) for call in read_due(connection, state, now_us, most)]
                connection.executemany("DELETE FROM caption_calls WHERE id = ?", ids)
                gone += len(ids)
            rows = read_usage(connection, outdated_usage(now_us), most, "")
            connection.executemany(
                "DELETE FROM caption_usage WHERE place = ?", [(row.key.place,) for row in rows]
            )
            return gone + len(rows)

        return await self._database.change(forget)

    async def read_totals(self) -> Mapping[TotalKey, Spend]:
        """See ``CaptionRecordStore``."""
        day = day_of(self._database.now_us())
        return await self._database.read(lambda connection: read_totals(connection, day))

    async def list_usage(self, query: UsageQuery, size: int, after: str = "") -> UsagePage:
        """See ``CaptionRecordStore``."""
        return await self._database.read(
            lambda connection: cut_usage(read_usage(connection, query, size + 1, after), size)
        )


def read_captions(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[bytes | None]:
    """The captions of keys, in order."""
    found = dict(select_in(connection, "SELECT key, result FROM caption_cache WHERE key IN", keys))
    return [found.get(key) for key in keys]


def drop_captions(connection: sqlite3.Connection, before_us: int, most_kept: int, most: int) -> int:
    """See ``CaptionRecordStore``."""
    kept = read_number(connection, "SELECT count FROM counters WHERE kind = 'captions' AND key = 0")
    old, excess = (
        connection.execute(
            "SELECT id FROM caption_cache WHERE time_us < ? ORDER BY time_us, id LIMIT ?", walk
        ).fetchall()
        for walk in ((before_us, most), (MAX_TIME_US, min(most, max(0, kept - most_kept))))
    )
    # Both are the first of one order.
    doomed = max(old, excess, key=len)
    connection.executemany("DELETE FROM caption_cache WHERE id = ?", doomed)
    return len(doomed)


def forget_captions(connection: sqlite3.Connection, digests: Sequence[str]) -> None:
    """Deletes the captions of bytes, unless these live."""
    connection.executemany(
        """DELETE FROM caption_cache WHERE sha256 = ?1
           AND NOT EXISTS (SELECT 1 FROM blobs WHERE sha256 = ?1 AND fate = 0)""",
        [(bytes.fromhex(digest),) for digest in digests],
    )


def read_totals(connection: sqlite3.Connection, day: str) -> dict[TotalKey, Spend]:
    """The sums of a day and its month."""
    found = connection.execute(
        f"SELECT period, provider, {_SPEND} FROM caption_totals WHERE period IN (?, ?)", (day, month_of(day))
    )
    return {TotalKey(period, provider): Spend(*spend) for period, provider, *spend in found}


def read_due(connection: sqlite3.Connection, state: CallState, now_us: int, most: int) -> list[Call]:
    """Calls in a state whose time is over, those first that were due first."""
    rows = connection.execute(
        f"SELECT {_CALL} FROM caption_calls WHERE state = ? AND due_us <= ? ORDER BY due_us LIMIT ?",
        (state, now_us, most),
    )
    return [_call(row) for row in rows]


def read_usage(connection: sqlite3.Connection, query: UsageQuery, most: int, after: str) -> list[UsageRow]:
    """The first rows beyond a place."""
    # That it is not empty is said for the planner: the index has only such rows.
    batch = "batch = ? AND batch <> '' AND" if query.batch else ""
    rows = connection.execute(
        f"""SELECT place, day, provider, batch, {_USAGE} FROM caption_usage
            WHERE {batch} place > ? AND place < ? ORDER BY place LIMIT ?""",
        (*([query.batch] if query.batch else []), max(query.start, after), query.end, most),
    )
    return [
        UsageRow(UsageKey(day, provider, name, by_batch=place[0] == "1"), Usage(*usage))
        for place, day, provider, name, *usage in rows
    ]


def _keep(connection: sqlite3.Connection, captions: Sequence[CaptionToKeep], now_us: int) -> None:
    connection.executemany(
        """INSERT INTO caption_cache (key, sha256, time_us, result) SELECT ?1, ?2, ?3, ?4
           WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE sha256 = ?2 AND fate > 0)
           ON CONFLICT (key) DO UPDATE
           SET sha256 = excluded.sha256, time_us = excluded.time_us, result = excluded.result""",
        [(kept.key, kept.sha256, now_us, kept.caption) for kept in captions],
    )


def _read_calls(
    connection: sqlite3.Connection, wanted: Sequence[Reservation] | Sequence[Settlement]
) -> list[Call]:
    ids = [call.id for call in wanted]
    return [
        _call(row) for row in select_in(connection, f"SELECT {_CALL} FROM caption_calls WHERE id IN", ids)
    ]


def _call(row: Sequence[Any]) -> Call:
    call_id, state, *rest = row
    return Call(call_id, CallState(state), *rest)


def _write(connection: sqlite3.Connection, book: SpendBook) -> None:
    connection.executemany(
        f"REPLACE INTO caption_calls ({_CALL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [_call_row(call) for call in book.calls.values()],
    )
    # In two steps, because an insert checks that numbers are not below zero before it becomes an update.
    connection.executemany(
        "INSERT INTO caption_totals VALUES (?, ?, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        [(key.period, key.provider) for key in book.totals],
    )
    connection.executemany(
        f"UPDATE caption_totals SET {_MORE_SPEND} WHERE period = ? AND provider = ?",
        [(*_spend_row(change), key.period, key.provider) for key, change in book.totals.items()],
    )
    connection.executemany(
        "INSERT INTO caption_usage VALUES (?, ?, ?, ?, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
        [(key.place, key.day, key.provider, key.batch) for key in book.usage],
    )
    connection.executemany(
        f"UPDATE caption_usage SET {_MORE_USAGE} WHERE place = ?",
        [(*_usage_row(change), key.place) for key, change in book.usage.items()],
    )
