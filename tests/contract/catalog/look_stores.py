"""Catalogs whose images have looks, in both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from services.catalog.looks.duplicate_groups import DuplicateGroups
from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.duplicates import DuplicateSweep
from services.catalog.looks.look_index import LookIndex
from services.catalog.model import Look
from services.catalog.mongo.faces import INDEXES as FACE_INDEXES
from services.catalog.mongo.indexes import INDEXES as IMAGE_INDEXES
from services.catalog.mongo.looks import INDEXES, MongoLooks
from services.catalog.mongo.store import MongoStore
from services.catalog.names import ImageKey
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.looks import SqliteLooks
from services.catalog.sqlite.store import SqliteStore
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore, LookStore
from sightmill.v1 import analyzer_pb2
from tests.contract.catalog.adapters import analysis, new_image, outcome, write_outcome
from tests.contract.catalog.mongo_adapter import mongo_database

GREY = bytes((120, 128, 128)) * 16


@dataclass(slots=True)
class LookCatalog:
    """A catalog, what is known of looks in it, and one process that works on them."""

    images: CatalogStore
    looks: LookStore
    index: LookIndex
    pairs: DuplicatePairs
    sweep: DuplicateSweep
    groups: DuplicateGroups

    @staticmethod
    def of(images: CatalogStore, looks: LookStore) -> LookCatalog:
        """A process that has just started on these stores."""
        index = LookIndex(looks, patience_s=30.0)
        pairs = DuplicatePairs(looks, index)
        sweep = DuplicateSweep(looks, index, pairs)
        return LookCatalog(images, looks, index, pairs, sweep, DuplicateGroups(images, looks, index, pairs))

    async def sweep_all(self) -> None:
        while await self.sweep.compare_next():
            pass

    async def add(
        self,
        content: str,
        phash: int | None = None,
        dhash: int = 0,
        signature: bytes = GREY,
        quality: float | None = None,
        width: int = 640,
        size_bytes: int = 1_000,
    ) -> int:
        """An image, analysed unless ``phash`` is None; its number."""
        new = replace(new_image(content, width=width), size_bytes=size_bytes)
        image, _ = await self.images.create_image(new, "")
        if phash is not None:
            await self.analyze(content, image.number, Look(phash, dhash, signature), quality)
        return image.number

    async def analyze(
        self, content: str, image: ImageKey, look: Look, quality: float | None = None, version: str = "1"
    ) -> None:
        insights = analyzer_pb2.Insights()
        insights.hashes.phash = look.phash
        insights.hashes.dhash = look.dhash
        insights.hashes.color_signature = look.signature
        if quality is not None:
            insights.luminance.quality_score = quality
        found = analysis(content, "insights", version, result=insights.SerializeToString())
        await write_outcome(self.images, outcome(image, found, state=ImageState.PROCESSED))


@asynccontextmanager
async def open_look_catalog(
    engine: str, folder: Path, now_us: Callable[[], int]
) -> AsyncIterator[LookCatalog]:
    """An empty catalog of an engine, "sqlite" or "mongo"."""
    if engine == "sqlite":
        options = SqliteOptions(folder / "catalog.sqlite3")
        async with open_sqlite_database(options, now_us) as sqlite:
            yield LookCatalog.of(SqliteStore(sqlite), SqliteLooks(sqlite))
    else:
        async with mongo_database(now_us, (*IMAGE_INDEXES, *FACE_INDEXES, *INDEXES)) as mongo:
            yield LookCatalog.of(MongoStore(mongo), MongoLooks(mongo))
