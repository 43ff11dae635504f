"""The catalog in one SQLite file: one writer thread, a few readers, nobody waits for the other."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.catalog import sqlite_changes as changes
from services.catalog import sqlite_reads as reads
from services.catalog.model import (
    AnalysisPage,
    CatalogStats,
    ImagePage,
    ImageQuery,
    ImageRecord,
    NewImage,
    Outcome,
    PageOrder,
    StartedImage,
)
from services.catalog.names import ImageKey, NameSource
from services.catalog.sqlite_images import read_image
from services.catalog.sqlite_lists import read_page
from services.catalog.sqlite_outcomes import write_outcome
from services.catalog.sqlite_readers import Read, SqliteReaders
from services.catalog.sqlite_schema import open_database, read_number
from services.catalog.sqlite_writer import Change, SqliteWriter
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
async def open_sqlite_store(
    options: SqliteOptions, now_us: Clock = wall_clock_us
) -> AsyncIterator[SqliteStore]:
    """The store of a database file, created or migrated as needed; ``open_database`` says what it refuses."""
    connection = await asyncio.to_thread(open_database, options.path, options.max_bytes)
    writer = SqliteWriter(connection, options.max_waiting, options.max_group)
    try:
        readers = SqliteReaders(options.path, options.readers, options.max_waiting)
        try:
            yield SqliteStore(writer, readers, options, now_us)
        finally:
            await readers.close()
    finally:
        # Last, because the last connection to close folds the log into the database.
        await writer.close()


class SqliteStore:
    """See ``CatalogStore``."""

    def __init__(
        self, writer: SqliteWriter, readers: SqliteReaders, options: SqliteOptions, now_us: Clock
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._options = options
        self._now_us = now_us
        self._names = NameSource()

    async def create_image(self, new: NewImage, request_id: str) -> tuple[ImageRecord, bool]:
        """See ``CatalogStore``."""

        def create(connection: sqlite3.Connection) -> tuple[ImageRecord, bool]:
            # On the writer's thread, so that names, numbers and times ascend together.
            now_us = self._now_us()
            name = self._names.next_uuid(now_us)
            return changes.create_image(connection, new, request_id, name, now_us)

        return await self._change(create)

    async def get_image(self, key: ImageKey, *, with_results: bool) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_image(connection, key, with_results=with_results))

    async def list_images(self, query: ImageQuery, order: PageOrder, *, with_results: bool) -> ImagePage:
        """See ``CatalogStore``."""
        return await self._read(
            lambda connection: read_page(connection, query, order, with_results=with_results)
        )

    async def update_labels(
        self, key: ImageKey, labels: Mapping[str, str], revision: int | None
    ) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(
            lambda connection: changes.update_labels(connection, key, labels, revision, self._now_us())
        )

    async def delete_image(self, key: ImageKey) -> tuple[str, ...]:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: changes.delete_image(connection, key))

    async def hide_image(self, key: ImageKey) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda connection: changes.hide_image(connection, key, self._now_us()))

    async def restore_image(self, key: ImageKey) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: changes.restore_image(connection, key, self._now_us()))

    async def start_images(self, keys: Sequence[ImageKey]) -> list[StartedImage]:
        """See ``CatalogStore``."""
        await self._change(lambda connection: changes.start_images(connection, keys, self._now_us()))
        # The bulk of the work is reading, and must not hold up the writer.
        return await self._read(lambda connection: reads.read_started(connection, keys))

    async def write_outcome(self, outcome: Outcome) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda connection: write_outcome(connection, outcome, self._now_us()))

    async def list_analyses(self, key: ImageKey, order: PageOrder) -> AnalysisPage:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: reads.read_analysis_page(connection, key, order))

    async def read_stats(self) -> CatalogStats:
        """See ``CatalogStore``."""
        return await self._read(reads.read_stats)

    async def ping(self) -> None:
        """See ``CatalogStore``."""
        await self._read(lambda connection: read_number(connection, "SELECT count(*) FROM counters"))
        await self._change(lambda _: None)

    async def _change(self, change: Change[T]) -> T:
        return await self._writer.run(change, self._options.write_timeout_s)

    async def _read(self, read: Read[T]) -> T:
        try:
            return await self._readers.run(read, self._options.read_timeout_s)
        except DataLossError as damage:
            self._writer.refuse_all(damage)
            raise
