"""How images look, and which look alike, in the catalog's SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from services.catalog.model import Look, LookPair, LookRow
from services.catalog.sqlite.database import SqliteDatabase

_MARK = "compared_through"
_UNSIGNED = 2**64 - 1
_MOST_NUMBERS = 1_000


class SqliteLooks:
    """See ``LookStore``. The table of looks is written by the store of images."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def read_looks(self, after: int, most: int) -> list[LookRow]:
        """See the port."""
        return await self._database.read(
            lambda connection: [
                _row(*row)
                for row in connection.execute(
                    "SELECT sequence, number, phash, dhash, signature FROM looks WHERE sequence > ? "
                    "ORDER BY sequence LIMIT ?",
                    (after, most),
                )
            ]
        )

    async def look_of(self, number: int) -> LookRow | None:
        """See the port."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT sequence, number, phash, dhash, signature FROM looks WHERE number = ?", (number,)
            ).fetchone()
        )
        return None if row is None else _row(*row)

    async def write_pairs(self, pairs: Sequence[LookPair], compared_through: int) -> None:
        """See the port."""
        rows = [(pair.number, pair.earlier, pair.distance) for pair in pairs]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("REPLACE INTO look_pairs VALUES (?, ?, ?)", rows)
            # Never back: another process may be further.
            connection.execute(
                "INSERT INTO marks VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
                (_MARK, compared_through),
            )

        await self._database.change(write)

    async def read_pairs(self, after: tuple[int, int], most: int) -> list[LookPair]:
        """See the port."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT number, earlier, distance FROM look_pairs WHERE (number, earlier) > (?, ?) "
                "ORDER BY number, earlier LIMIT ?",
                (*after, most),
            ).fetchall()
        )
        return [LookPair(*row) for row in rows]

    async def compared_through(self) -> int:
        """See the port."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT value FROM marks WHERE name = ?", (_MARK,)
            ).fetchone()
        )
        return row[0] if row else 0

    async def list_repeated(self, most: int, after: str) -> list[tuple[str, list[int]]]:
        """See the port."""
        return await self._database.read(lambda connection: _read_repeated(connection, most, after))


def _row(sequence: int, number: int, phash: int, dhash: int, signature: bytes) -> LookRow:
    return LookRow(sequence, number, Look(phash & _UNSIGNED, dhash & _UNSIGNED, signature))


def _read_repeated(connection: sqlite3.Connection, most: int, after: str) -> list[tuple[str, list[int]]]:
    blobs = connection.execute(
        "SELECT id, sha256 FROM blobs WHERE live_count > 1 AND sha256 > ? ORDER BY sha256 LIMIT ?",
        (bytes.fromhex(after), most),
    ).fetchall()
    # By time, as the index goes, then by number: both ascend together.
    return [
        (
            digest.hex(),
            sorted(
                number
                for (number,) in connection.execute(
                    "SELECT number FROM images WHERE blob_id = ? AND delete_time_us IS NULL "
                    "ORDER BY create_time_us, number LIMIT ?",
                    (blob_id, _MOST_NUMBERS),
                )
            ),
        )
        for blob_id, digest in blobs
    ]
