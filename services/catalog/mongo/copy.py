"""A catalog in MongoDB as one side of a migration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from services.catalog.migration.copy import Standing
from services.catalog.migration.marks import MONGO_MARK
from services.catalog.migration.records import Key, Kind, Record, decode_key, encode
from services.catalog.mongo.copy_reads import read_records
from services.catalog.mongo.copy_writes import write_records
from services.catalog.mongo.database import (
    MongoDatabase,
    MongoIndex,
    MongoOptions,
    Session,
    open_mongo_database,
)
from services.catalog.mongo.desk import COUNTERS
from services.catalog.mongo.store import MongoStore
from services.catalog.mongo.vocabulary import MongoVocabulary

# A page of images is derived within one transaction; the server ends one after a minute.
_TIMEOUT_S = 60.0
_CAPTIONS = ("caption_cache", "caption_calls", "caption_totals", "caption_usage")
_COLLECTIONS = ("blobs", "images", "people", "faces", "batches", "result_sets", *_CAPTIONS)


@asynccontextmanager
async def open_mongo_copy(options: MongoOptions, indexes: Sequence[MongoIndex]) -> AsyncIterator[MongoCopy]:
    """The catalog of a database; raises what ``open_mongo_database`` raises."""
    async with open_mongo_database(options, ()):
        pass  # it answers: who gave a wrong address should not wait long to hear of it
    patient = replace(options, timeout_s=max(options.timeout_s, _TIMEOUT_S))
    async with open_mongo_database(patient, indexes) as database:
        yield MongoCopy(_place(options), database)


def _place(options: MongoOptions) -> str:
    """Hosts and database, without the credentials."""
    return f"mongodb://{urlsplit(options.url).netloc.rpartition('@')[2]}/{options.database}"


class MongoCopy:
    """See ``CatalogCopy``."""

    def __init__(self, place: str, database: MongoDatabase) -> None:
        self._database = database
        self._vocabulary = MongoVocabulary(database)
        self.place = place
        self.catalog = MongoStore(database)

    async def read(self, kind: Kind, after: Key, most: int) -> list[Record]:
        """See ``CatalogCopy``."""
        return await self._database.run(lambda: read_records(self._database, kind, after, most))

    async def write(self, kind: Kind, records: Sequence[Record]) -> None:
        """See ``CatalogCopy``."""
        database, after = self._database, encode(kind.key_of(records[-1]))

        async def write(session: Session) -> None:
            await write_records(database, session, self._vocabulary, kind, records)
            await database.collection("marks").update_one(
                MONGO_MARK, {"$set": {"kind": kind.name, "after": after}}, session=session
            )

        await database.change(write)

    async def is_empty(self) -> bool:
        """See ``CatalogCopy``."""

        async def find() -> bool:
            for name in _COLLECTIONS:
                if await self._database.collection(name).find_one({}, {"_id": 1}):
                    return False
            counters = await self._database.collection("counters").find_one({"_id": COUNTERS})
            return not (counters and counters.get("number"))

        return await self._database.run(find)

    async def standing(self) -> Standing | None:
        """See ``CatalogCopy``."""
        mark = await self._database.run(lambda: self._database.collection("marks").find_one(MONGO_MARK))
        return mark and Standing(mark["origin"], mark["kind"], decode_key(mark["after"]))

    async def begin(self, origin: str) -> None:
        """See ``CatalogCopy``."""
        mark = {**MONGO_MARK, "origin": origin, "kind": "", "after": encode(())}
        await self._database.run(lambda: self._database.collection("marks").insert_one(mark))

    async def finish(self) -> None:
        """See ``CatalogCopy``."""
        await self._database.run(lambda: self._database.collection("marks").delete_one(MONGO_MARK))

    async def activity(self) -> object:
        """See ``CatalogCopy``."""

        async def read() -> tuple[object, object]:
            counters = await self._database.collection("counters").find_one({"_id": COUNTERS}) or {}
            # A service looks after its store every few seconds, and leaves the time.
            ping = await self._database.collection("marks").find_one({"_id": "ping"}) or {}
            return counters.get("turn"), ping.get("value")

        return await self._database.run(read)
