"""Reads of looks are walks along an index in both stores: their own plans say whether they are."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.catalog.model import LookPair
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.faces import INDEXES as FACE_INDEXES
from services.catalog.mongo.indexes import INDEXES as IMAGE_INDEXES
from services.catalog.mongo.looks import INDEXES, MongoLooks
from services.catalog.mongo.store import MongoStore
from services.catalog.sqlite.database import SqliteDatabase, SqliteOptions, open_sqlite_database
from services.catalog.sqlite.looks import SqliteLooks
from services.catalog.sqlite.readers import Read, T
from services.catalog.sqlite.store import SqliteStore
from services.catalog.store import LookStore
from tests.contract.catalog.adapters import Clock, new_image
from tests.contract.catalog.mongo_adapter import mongo_database


class ExplainingConnection:
    """Keeps the plans of the statements that pass through it."""

    def __init__(self, connection: sqlite3.Connection, plans: list[str]) -> None:
        self._connection = connection
        self._plans = plans

    def execute(self, statement: str, parameters: tuple[object, ...]) -> sqlite3.Cursor:
        self._plans += [
            row[3] for row in self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
        return self._connection.execute(statement, parameters)


class ExplainingDatabase(SqliteDatabase):
    """A database whose reads are explained."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self.plans: list[str] = []

    async def read(self, read: Read[T]) -> T:
        return await self._database.read(
            lambda connection: read(ExplainingConnection(connection, self.plans))  # type: ignore[arg-type]
        )


class ExplainingLooks(MongoLooks):
    """Keeps the plans of all queries but those by key."""

    plans: list[str]

    async def _find(
        self,
        name: str,
        query: Mapping[str, object],
        index: str,
        order: Sequence[tuple[str, int]],
        most: int,
        fields: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        cursor = self._database.collection(name).find(query, fields or None)
        plan = await cursor.sort(list(order)).limit(most).hint(index).explain()
        self.plans.append(str(plan["queryPlanner"]["winningPlan"]))
        return await super()._find(name, query, index, order, most, fields)


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteDatabase]:
    async with open_sqlite_database(SqliteOptions(tmp_path / "catalog.sqlite3"), clock) as database:
        store = SqliteStore(database)
        for content in ("sea", "sea", "hill"):
            await store.create_image(new_image(content), "")
        yield database


@pytest.fixture
async def mongo(clock: Clock) -> AsyncIterator[MongoDatabase]:
    async with mongo_database(clock, (*IMAGE_INDEXES, *FACE_INDEXES, *INDEXES)) as database:
        store = MongoStore(database)
        for content in ("sea", "sea", "hill"):
            await store.create_image(new_image(content), "")
        yield database


async def read_everything(looks: LookStore) -> None:
    await looks.read_looks(5, 10)
    await looks.look_of(5)
    await looks.read_pairs((5, 3), 10)
    assert await looks.list_repeated(10, "")


async def test_sqlite_searches_and_never_sorts_looks(sqlite: SqliteDatabase) -> None:
    explaining = ExplainingDatabase(sqlite)
    await read_everything(SqliteLooks(explaining))
    assert explaining.plans == [
        "SEARCH looks USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH looks USING INDEX sqlite_autoindex_looks_1 (number=?)",
        "SEARCH look_pairs USING PRIMARY KEY ((number,earlier)>(?,?))",
        "SEARCH blobs USING INDEX blobs_repeated (sha256>?)",
        "SEARCH images USING INDEX images_by_blob (blob_id=?)",
    ]


async def test_mongo_walks_an_index(mongo: MongoDatabase) -> None:
    looks = ExplainingLooks(mongo)
    looks.plans = []
    # What is empty has no indexes.
    await looks.write_pairs([LookPair(2, 1, 0)], 2)
    await read_everything(looks)
    assert len(looks.plans) == 4
    for plan, index in zip(looks.plans, ("sequence_1", "_id_", "repeated_1__id_1", "by_bytes"), strict=True):
        assert "COLLSCAN" not in plan
        assert f"'indexName': '{index}'" in plan, plan
