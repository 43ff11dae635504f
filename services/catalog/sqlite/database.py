"""The SQLite file that all stores of a catalog share: one writer thread, a few readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.catalog.sqlite.readers import Read, SqliteReaders
from services.catalog.sqlite.schema import open_database
from services.catalog.sqlite.writer import Change, SqliteWriter
from services.runtime.errors import DataLossError

T = TypeVar("T")
Clock = Callable[[], int]
"""Gives microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """Where the database is, and the bounds of everything that waits. ``max_bytes`` 0 is no bound."""

    path: Path
    readers: int = 4
    max_waiting: int = 4_096
    max_group: int = 256
    read_timeout_s: float = 10.0
    write_timeout_s: float = 10.0
    max_bytes: int = 0


def wall_clock_us() -> int:
    """Now."""
    return time.time_ns() // 1_000


@asynccontextmanager
async def open_sqlite_database(
    options: SqliteOptions, now_us: Clock = wall_clock_us
) -> AsyncIterator[SqliteDatabase]:
    """The database of a file, created or migrated as needed; ``open_database`` says what it refuses."""
    connection = await asyncio.to_thread(open_database, options.path, options.max_bytes)
    writer = SqliteWriter(connection, options.max_waiting, options.max_group)
    try:
        readers = SqliteReaders(options.path, options.readers, options.max_waiting)
        try:
            yield SqliteDatabase(writer, readers, options, now_us)
        finally:
            await readers.close()
    finally:
        # Last, because the last connection to close folds the log into the database.
        await writer.close()


class SqliteDatabase:
    """Changes and reads with the deadlines of the options; ``now_us`` is the clock of all stores."""

    def __init__(
        self, writer: SqliteWriter, readers: SqliteReaders, options: SqliteOptions, now_us: Clock
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._options = options
        self.now_us = now_us

    async def change(self, change: Change[T]) -> T:
        """Runs on the writer's thread, behind a savepoint; returns once it is on disk."""
        return await self._writer.run(change, self._options.write_timeout_s)

    async def read(self, read: Read[T]) -> T:
        """Runs on one consistent view of the database."""
        try:
            return await self._readers.run(read, self._options.read_timeout_s)
        except DataLossError as damage:
            self._writer.refuse_all(damage)
            raise
