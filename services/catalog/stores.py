"""All stores of a catalog, over one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.catalog.captions.store import CaptionRecordStore
from services.catalog.ledger.store import LedgerStore
from services.catalog.migration.marks import refuse_unfinished_mongo, refuse_unfinished_sqlite
from services.catalog.mongo import caption_records as mongo_caption_records
from services.catalog.mongo import faces as mongo_faces
from services.catalog.mongo import indexes as mongo_indexes
from services.catalog.mongo import ledger as mongo_ledger
from services.catalog.mongo import looks as mongo_looks
from services.catalog.mongo import result_sets as mongo_result_sets
from services.catalog.mongo.caption_records import MongoCaptionRecords
from services.catalog.mongo.database import MongoOptions, open_mongo_database
from services.catalog.mongo.ledger import MongoLedger
from services.catalog.mongo.looks import MongoLooks
from services.catalog.mongo.people import MongoPeople
from services.catalog.mongo.result_sets import MongoResultSets
from services.catalog.mongo.store import MongoStore
from services.catalog.people.store import PeopleStore
from services.catalog.result_sets import ResultSetStore
from services.catalog.sqlite.caption_records import SqliteCaptionRecords
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.ledger import SqliteLedger
from services.catalog.sqlite.looks import SqliteLooks
from services.catalog.sqlite.people import SqlitePeople
from services.catalog.sqlite.result_sets import SqliteResultSets
from services.catalog.sqlite.store import SqliteStore
from services.catalog.store import CatalogStore, LookStore

MONGO_INDEXES = (
    *mongo_indexes.INDEXES,
    *mongo_faces.INDEXES,
    *mongo_looks.INDEXES,
    *mongo_ledger.INDEXES,
    *mongo_result_sets.INDEXES,
    *mongo_caption_records.INDEXES,
)


@dataclass(frozen=True, slots=True)
class Stores:
    """One of each port."""

    catalog: CatalogStore
    looks: LookStore
    people: PeopleStore
    ledger: LedgerStore
    result_sets: ResultSetStore
    caption_records: CaptionRecordStore


@asynccontextmanager
async def open_sqlite_stores(options: SqliteOptions) -> AsyncIterator[Stores]:
    """The stores of a database file; ``open_database``, ``migration_marks`` say what is refused."""
    async with open_sqlite_database(options) as database:
        await refuse_unfinished_sqlite(database)
        yield Stores(
            catalog=SqliteStore(database),
            looks=SqliteLooks(database),
            people=SqlitePeople(database),
            ledger=SqliteLedger(database),
            result_sets=SqliteResultSets(database),
            caption_records=SqliteCaptionRecords(database),
        )


@asynccontextmanager
async def open_mongo_stores(options: MongoOptions) -> AsyncIterator[Stores]:
    """The stores of a MongoDB database; ``open_mongo_database``, ``migration_marks`` say what is refused."""
    async with open_mongo_database(options, MONGO_INDEXES) as database:
        await refuse_unfinished_mongo(database)
        yield Stores(
            catalog=MongoStore(database),
            looks=MongoLooks(database),
            people=MongoPeople(database),
            ledger=MongoLedger(database),
            result_sets=MongoResultSets(database),
            caption_records=MongoCaptionRecords(database),
        )
