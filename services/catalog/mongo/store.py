"""The catalog in MongoDB: every change is one transaction, every list a walk along an index."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

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
from services.catalog.mongo import changes, facets, garbage, reads
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.desk import MongoDesk
from services.catalog.mongo.export import read_rows
from services.catalog.mongo.lists import read_page
from services.catalog.mongo.outcomes import split_outcomes, write_outcomes
from services.catalog.mongo.search import read_hits
from services.catalog.mongo.vocabulary import MongoVocabulary
from services.catalog.names import ImageKey, NameSource
from services.runtime.errors import DataLossError, ServiceError

T = TypeVar("T")
# Images deleted in one transaction.
_MOST_PURGED = 100


class MongoStore:
    """See ``CatalogStore``."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._vocabulary = MongoVocabulary(database)
        self._names = NameSource()
        # Changes of one process would only get into each other's way; those of others are tried again.
        self._turn = asyncio.Lock()

    async def create_image(
        self, new: NewImage, request_id: str, blob_generation: int = 0
    ) -> tuple[ImageRecord, bool]:
        """See ``CatalogStore``."""

        async def create(session: Session) -> tuple[ImageRecord, bool]:
            known = await changes.find_request(self._database, session, request_id, new.sha256)
            if known is not None:
                return known, False
            desk = self._desk(session)
            name = self._names.next_uuid(desk.now_us)
            image = await changes.create_image(desk, new, blob_generation, request_id, name)
            if request_id:
                await self._database.collection("requests").insert_one(
                    {"_id": request_id, "number": image.number, "sha256": new.sha256}, session=session
                )
            return image, True

        return await self._change(create)

    async def get_image(self, key: ImageKey, *, with_results: bool) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._read(lambda: reads.read_image(self._database, key, with_results=with_results))

    async def get_images(self, numbers: Sequence[int]) -> list[ImageRecord]:
        """See ``CatalogStore``."""
        return await self._read(lambda: reads.read_images(self._database, numbers))

    async def list_images(self, query: ImageQuery, order: PageOrder, *, with_results: bool) -> ImagePage:
        """See ``CatalogStore``."""
        return await self._read(lambda: read_page(self._database, query, order, with_results=with_results))

    async def search_images(
        self, words: SearchWords, condition: Condition, size: int, after: SearchPlace | None
    ) -> HitPage:
        """See ``CatalogStore``."""
        return await self._read(
            lambda: read_hits(self._database, self._vocabulary, words, condition, size, after)
        )

    async def list_facets(
        self, field: TermField, batch: str, size: int, after: tuple[int, str] | None
    ) -> FacetPage:
        """See ``CatalogStore``."""
        return await self._read(lambda: facets.read_facets(self._database, field, batch, size, after))

    async def export_rows(
        self, condition: Condition, columns: Sequence[str], size: int, after: int
    ) -> tuple[list[tuple[Any, ...]], int | None]:
        """See ``CatalogStore``."""
        return await self._read(lambda: read_rows(self._database, condition, columns, size, after))

    async def change_image(self, key: ImageKey, change: ImageChange, revision: int | None) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(
            lambda session: changes.change_image(self._desk(session), key, change, revision)
        )

    async def delete_image(self, key: ImageKey) -> None:
        """See ``CatalogStore``."""
        await self._change(
            lambda session: garbage.delete_image(self._database, session, self._desk(session), key)
        )

    async def hide_image(self, key: ImageKey) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda session: changes.hide_image(self._desk(session), key))

    async def restore_image(self, key: ImageKey) -> ImageRecord:
        """See ``CatalogStore``."""
        return await self._change(lambda session: changes.restore_image(self._desk(session), key))

    async def purge_hidden(self, before_us: int, most: int) -> int:
        """See ``CatalogStore``."""
        purged = 0
        while purged < most:
            wanted = min(most - purged, _MOST_PURGED)
            count = await self._change(
                lambda session, wanted=wanted: garbage.purge_hidden(  # type: ignore[misc]  # bound at once
                    self._database, session, self._desk(session), before_us, wanted
                )
            )
            purged += count
            if count < wanted:
                break
        return purged

    async def condemn_blobs(self, before_us: int, most: int) -> list[CondemnedBlob]:
        """See ``CatalogStore``."""
        return await self._change(
            lambda session: garbage.condemn_blobs(self._database, session, before_us, most)
        )

    async def forget_blobs(self, digests: Sequence[str]) -> None:
        """See ``CatalogStore``."""
        await self._change(lambda session: garbage.forget_blobs(self._database, session, digests))

    async def adopt_blobs(self, blobs: Sequence[StrayBlob]) -> int:
        """See ``CatalogStore``."""
        return await self._change(
            lambda session: garbage.adopt_blobs(self._desk(session), self._database, session, blobs)
        )

    async def start_images(self, keys: Sequence[ImageKey]) -> list[StartedImage]:
        """See ``CatalogStore``."""
        await self._change(lambda session: changes.start_images(self._desk(session), keys))
        return await self._read(lambda: reads.read_started(self._database, keys))

    async def write_outcomes(self, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
        """See ``CatalogStore``."""
        refusals: list[ServiceError | None] = []
        for piece in split_outcomes(outcomes):
            refusals += await self._write_piece(piece)
        return refusals

    async def list_analyses(self, key: ImageKey, order: PageOrder) -> AnalysisPage:
        """See ``CatalogStore``."""
        return await self._read(lambda: reads.read_analysis_page(self._database, key, order))

    async def read_stats(self) -> CatalogStats:
        """See ``CatalogStore``."""
        return await self._read(lambda: facets.read_stats(self._database))

    async def ping(self) -> None:
        """See ``CatalogStore``."""
        await self._read(
            lambda: self._database.collection("marks").update_one(
                {"_id": "ping"}, {"$set": {"value": self._database.now_us()}}, upsert=True
            )
        )

    async def _write_piece(self, piece: Sequence[Outcome]) -> list[ServiceError | None]:
        try:
            return await self._change(lambda session: write_outcomes(self._desk(session), piece))
        except DataLossError as damage:
            if len(piece) == 1:
                return [damage]
            # Damage in what is stored of one image: the others must not suffer for it.
            return [refusal for outcome in piece for refusal in await self._write_piece([outcome])]

    def _desk(self, session: Session) -> MongoDesk:
        return MongoDesk(self._database, session, self._database.now_us(), self._vocabulary)

    async def _change(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._database.timeout_s):
            await self._turn.acquire()
        try:
            return await self._database.change(work)
        finally:
            self._turn.release()

    async def _read(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._database.run(work)
