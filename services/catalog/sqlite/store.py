"""The catalog in one SQLite file: one writer thread, a few readers, nobody waits for the other."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from services.catalog.conditions import Condition, TermField
from services.catalog.model import (
    AnalysisPage,
    CatalogStats,
    CondemnedBlob,
    FacetPage,
    HitPage,
    ImageChange,
    ImagePage,
    ImageQuery,
    ImageRecord,
    NewImage,
    Outcome,
    PageOrder,
    SearchPlace,
    SearchWords,
    StartedImage,
    StrayBlob,
)
from services.catalog.names import ImageKey, NameSource
from services.catalog.sqlite import changes, garbage, reads
from services.catalog.sqlite.database import (
    Clock,
    SqliteDatabase,
    SqliteOptions,
    open_sqlite_database,
    wall_clock_us,
)
from services.catalog.sqlite.export import read_rows
from services.catalog.sqlite.facets import read_facets
from services.catalog.sqlite.images import read_image, read_images
from services.catalog.sqlite.lists import read_page
from services.catalog.sqlite.outcomes import write_outcomes
from services.catalog.sqlite.schema import read_number
from services.catalog.sqlite.search import read_hits
from services.runtime.errors import ServiceError

__all__ = ["SqliteOptions", "SqliteStore", "open_sqlite_store"]


@asynccontextmanager
async def open_sqlite_store(
    options: SqliteOptions, now_us: Clock = wall_clock_us
) -> AsyncIterator[SqliteStore]:
    """The store of a database file that nothing else shares."""
    async with open_sqlite_database(options, now_us) as database:
        yield SqliteStore(database)


class SqliteStore:
    """See ``CatalogStore``."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._now_us = database.now_us
        self._change = database.change
        self._read = database.read
        self._names = NameSource()

    async def create_image(
        self, new: NewImage, request_id: str, blob_generation: int = 0
    ) -> tuple[ImageRecord, bool]:
        """See ``CatalogStore``."""

        def create(connection: sqlite3.Connection) -> tuple[ImageRecord, bool]:
            # On the writer's thread, so that names, numbers and times ascend together.
            now_us = self._now_us()
            name = self._names.next_uuid(now_us)
            return changes.create_image(connection, new, request_id, blob_generation, name, now_us)

        return await self._change(create)

    async def get_image(self, key: ImageKey, *, with_results: bool) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_image(connection, key, with_results=with_results))

    async def get_images(self, numbers: Sequence[int]) -> list[ImageRecord]:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_images(connection, numbers))

    async def list_images(self, query: ImageQuery, order: PageOrder, *, with_results: bool) -> ImagePage:
        """See ``CatalogStore``."""
        return await self._read(
            lambda connection: read_page(connection, query, order, with_results=with_results)
        )

    async def search_images(
        self, words: SearchWords, condition: Condition, size: int, after: SearchPlace | None
    ) -> HitPage:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_hits(connection, words, condition, size, after))

    async def list_facets(
        self, field: TermField, batch: str, size: int, after: tuple[int, str] | None
    ) -> FacetPage:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_facets(connection, field, batch, size, after))

    async def export_rows(
        self, condition: Condition, columns: Sequence[str], size: int, after: int
    ) -> tuple[list[tuple[Any, ...]], int | None]:
        """See ``CatalogStore``."""
        return await self._read(lambda connection: read_rows(connection, condition, columns, size, after))

    async def change_image(self, key: ImageKey, change: ImageChange, revision: int | None) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(
            lambda connection: changes.change_image(connection, key, change, revision, self._now_us())
        )

    async def delete_image(self, key: ImageKey) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda connection: garbage.delete_image(connection, key, self._now_us()))

    async def hide_image(self, key: ImageKey) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda connection: changes.hide_image(connection, key, self._now_us()))

    async def restore_image(self, key: ImageKey) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: changes.restore_image(connection, key, self._now_us()))

    async def purge_hidden(self, before_us: int, most: int) -> int:
        """See ``CatalogStore``."""
        return await self._change(
            lambda connection: garbage.purge_hidden(connection, before_us, most, self._now_us())
        )

    async def condemn_blobs(self, before_us: int, most: int) -> list[CondemnedBlob]:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: garbage.condemn_blobs(connection, before_us, most))

    async def forget_blobs(self, digests: Sequence[str]) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda connection: garbage.forget_blobs(connection, digests))

    async def adopt_blobs(self, blobs: Sequence[StrayBlob]) -> int:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: garbage.adopt_blobs(connection, blobs, self._now_us()))

    async def start_images(self, keys: Sequence[ImageKey]) -> list[StartedImage]:
        """See ``CatalogStore``."""
        await self._change(lambda connection: changes.start_images(connection, keys, self._now_us()))
        # The bulk of the work is reading, and must not hold up the writer.
        return await self._read(lambda connection: reads.read_started(connection, keys))

    async def write_outcomes(self, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
        """See ``CatalogStore``."""
        return await self._change(lambda connection: write_outcomes(connection, outcomes, self._now_us()))

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
