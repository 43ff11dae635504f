"""Every list of people and faces is a walk along one index: the plans of both stores say so."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from services.catalog.mongo.faces import INDEXES, Document, MongoPeopleRows, Order
from services.catalog.people.rows import PeopleRows
from services.catalog.sqlite.faces import SqlitePeopleRows, at_once
from services.catalog.sqlite.schema import open_database
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.mongo_adapter import mongo_database

SOME = UUID(int=7)


async def read_everything(rows: PeopleRows) -> None:
    """Each read once; those by key need no plan."""
    await rows.faces_of_image(1)
    await rows.faces_of_group(SOME, SOME, 9)
    await rows.faces_of_nobody(SOME, 9)
    await rows.faces_to_place(9)
    await rows.has_faces(SOME)
    await rows.find_request("r1")
    await rows.list_people(None, 9, hidden=False)
    await rows.list_people((3, SOME), 9, hidden=False)
    await rows.list_people((3, SOME), 9, hidden=True)
    await rows.people_of_root(SOME)
    await rows.parts_of(SOME)
    await rows.people_since(3, 9)


class Explaining:
    """A connection that keeps the plans of the statements that pass through it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plan: list[str] = []

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        self.plan += [row[3] for row in rows]
        return self._connection.execute(statement, parameters)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "catalog.sqlite3", 0)
    yield opened
    opened.close()


def test_sqlite_walks_along_indexes_and_never_sorts(connection: sqlite3.Connection) -> None:
    explaining = Explaining(connection)
    at_once(read_everything(SqlitePeopleRows(explaining)))  # type: ignore[arg-type]  # it is used as one
    indexes = (
        "faces_by_image (number=?)",
        "faces_by_person (person=? AND visible=? AND uuid>?)",
        "faces_of_nobody (uuid>?)",
        "USING INDEX faces_to_place",
        "faces_by_person (person=?)",
        "faces_by_request (request_id=?)",
        "people_shown ((face_count,uuid)<(?,?))",
        "people_shown ((face_count,uuid)<(?,?))",
        "people_listed ((face_count,uuid)<(?,?))",
        "people_by_root (root=?)",
        "people_by_parent (parent=?)",
        "people_by_sequence (sequence>?)",
    )
    other = ("SCAN CONSTANT", "SCALAR SUBQUERY")
    walks = [step for step in explaining.plan if not step.startswith(other)]
    assert len(walks) == len(indexes), walks
    for step, index in zip(walks, indexes, strict=True):
        assert index in step


class ExplainingRows(MongoPeopleRows):
    """Rows that keep the plans of what they find."""

    plans: list[tuple[str, str]]
    unordered: list[str]

    async def _find(
        self, collection: Any, condition: Document, index: str, order: Order, most: int
    ) -> list[Document]:
        cursor = collection.find(condition).hint(index).limit(most)
        plan = await (cursor.sort(list(order)) if order else cursor).explain()
        self.plans.append((index, json.dumps(plan["queryPlanner"]["winningPlan"], default=str)))
        (keys,) = [one.keys for one in INDEXES if one.options["name"] == index]
        if order and not gives_order(keys, condition, order):
            self.unordered.append(index)
        return await super()._find(collection, condition, index, order, most)


def gives_order(keys: Order, condition: Document, order: Order) -> bool:
    """Whether the fields of an index are ones with a single value, and then those of the order."""
    fixed = {field for field, value in condition.items() if not isinstance(value, dict)}
    rest = [key for key in keys if key[0] not in fixed]
    return rest[: len(order)] == [key for key in order if key[0] not in fixed]


async def test_mongo_walks_along_indexes_and_never_sorts(clock: Clock) -> None:
    async with mongo_database(clock, INDEXES) as database:
        rows = ExplainingRows(database)
        rows.plans, rows.unordered = [], []
        await read_everything(rows)
        names = {index.options["name"] for index in INDEXES}
        assert {index for index, _ in rows.plans} == names
        for index, plan in rows.plans:
            assert f'"indexName": "{index}"' in plan
            assert "COLLSCAN" not in plan
            # The server of the tests says that it sorts where others follow the index.
            assert '"SORT"' not in plan or not os.environ.get("MONGODB_URL")
        assert rows.unordered == []
