"""A catalog in SQLite as one side of a migration."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from services.catalog.migration.copy import Standing
from services.catalog.migration.marks import HAS_SQLITE_TABLE, SQLITE_TABLE
from services.catalog.migration.records import Key, Kind, Record, decode_key, encode
from services.catalog.sqlite.backup import refuse_in_use
from services.catalog.sqlite.copy_reads import read_records
from services.catalog.sqlite.copy_writes import write_records
from services.catalog.sqlite.database import SqliteDatabase, SqliteOptions, open_sqlite_database
from services.catalog.sqlite.schema import read_number
from services.catalog.sqlite.store import SqliteStore

# A page of images is derived within one change.
_TIMEOUT_S = 300.0
_IS_USED = """SELECT EXISTS (SELECT 1 FROM blobs) OR EXISTS (SELECT 1 FROM batches)
    OR EXISTS (SELECT 1 FROM people) OR EXISTS (SELECT 1 FROM result_sets)
    OR EXISTS (SELECT 1 FROM caption_cache) OR EXISTS (SELECT 1 FROM caption_calls)
    OR EXISTS (SELECT 1 FROM caption_totals) OR EXISTS (SELECT 1 FROM caption_usage)
    OR EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'images')"""


@asynccontextmanager
async def open_sqlite_copy(options: SqliteOptions) -> AsyncIterator[SqliteCopy]:
    """The catalog of a file, which is created if missing, for the owner alone.

    Raises what ``open_sqlite_database`` raises, and ``FailedPreconditionError(WRONG_STATE)`` while another
    process has the file open.
    """
    path = options.path
    if path.is_file():
        refuse_in_use(path)
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    patient = replace(options, read_timeout_s=_TIMEOUT_S, write_timeout_s=_TIMEOUT_S)
    async with open_sqlite_database(patient) as database:
        yield SqliteCopy(path, database)


class SqliteCopy:
    """See ``CatalogCopy``."""

    def __init__(self, path: Path, database: SqliteDatabase) -> None:
        self._database = database
        self.place = str(path.resolve())
        self.catalog = SqliteStore(database)

    async def read(self, kind: Kind, after: Key, most: int) -> list[Record]:
        """See ``CatalogCopy``."""
        return await self._database.read(lambda connection: read_records(connection, kind, after, most))

    async def write(self, kind: Kind, records: Sequence[Record]) -> None:
        """See ``CatalogCopy``."""
        after = encode(kind.key_of(records[-1]))

        def write(connection: sqlite3.Connection) -> None:
            write_records(connection, kind, records, self._database.now_us())
            connection.execute("UPDATE migration SET kind = ?, after = ?", (kind.name, after))

        await self._database.change(write)

    async def is_empty(self) -> bool:
        """See ``CatalogCopy``."""
        return not await self._database.read(lambda connection: read_number(connection, _IS_USED))

    async def standing(self) -> Standing | None:
        """See ``CatalogCopy``."""

        def read(connection: sqlite3.Connection) -> Standing | None:
            if not read_number(connection, HAS_SQLITE_TABLE):
                return None
            origin, kind, after = connection.execute("SELECT origin, kind, after FROM migration").fetchone()
            return Standing(origin, kind, decode_key(after))

        return await self._database.read(read)

    async def begin(self, origin: str) -> None:
        """See ``CatalogCopy``."""

        def begin(connection: sqlite3.Connection) -> None:
            connection.execute(SQLITE_TABLE)
            connection.execute("INSERT INTO migration VALUES (?, '', ?)", (origin, encode(())))

        await self._database.change(begin)

    async def finish(self) -> None:
        """See ``CatalogCopy``."""
        await self._database.change(lambda connection: connection.execute("DROP TABLE migration"))

    async def activity(self) -> object:
        """See ``CatalogCopy``."""
        # On the writer's connection, which counts what all others committed.
        return await self._database.change(lambda connection: read_number(connection, "PRAGMA data_version"))
