"""Lists of batches, items, chunks, result rows and caption records walk along an index, as the plans say.

The server that the tests start sorts in memory whatever the index; what a server of MongoDB's own make does
is checked when MONGODB_URL says where there is one.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.catalog.captions.model import CallState, UsageQuery
from services.catalog.ledger.model import BatchQuery
from services.catalog.ledger.states import BatchState, ItemState
from services.catalog.mongo import caption_records as mongo_caption_records
from services.catalog.mongo import ledger as mongo_ledger
from services.catalog.mongo import ledger_batches as mongo_ledger_batches
from services.catalog.mongo import ledger_items as mongo_ledger_items
from services.catalog.mongo import result_sets as mongo_result_sets
from services.catalog.result_sets import RowPlace, SetKey
from services.catalog.sqlite import caption_records as captions
from services.catalog.sqlite import ledger_batches as batches
from services.catalog.sqlite import ledger_items as items
from services.catalog.sqlite import result_sets as sqlite_result_sets
from services.catalog.sqlite.schema import open_database
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.mongo_adapter import mongo_database

Order = list[tuple[str, int]]

NAME = uuid.UUID(int=1)
STATES = frozenset({BatchState.QUEUED, BatchState.RUNNING})
INDEXES = (*mongo_ledger.INDEXES, *mongo_result_sets.INDEXES, *mongo_caption_records.INDEXES)
DAYS = ("2026-01-01", "2026-12-31")
FAILED = (ItemState.RETRYING, ItemState.FAILED)
READS: dict[str, tuple[Callable[[Any], object], str]] = {
    "all": (lambda c: batches.list_batches(c, BatchQuery(), 9, None), "sqlite_autoindex_batches_1 (uuid<?)"),
    "states": (
        lambda c: batches.list_batches(c, BatchQuery(STATES), 9, NAME),
        "batches_by_state (state=? AND uuid<?)",
    ),
    "parts": (
        lambda c: batches.list_batches(c, BatchQuery(parent=NAME), 9, NAME),
        "batches_by_parent (parent=? AND uuid<?)",
    ),
    "parts in states": (
        lambda c: batches.list_batches(c, BatchQuery(STATES, NAME), 9, NAME),
        "batches_by_parent_state (parent=? AND state=? AND uuid<?)",
    ),
    "request": (lambda c: batches.find_request(c, "r"), "batches_by_request (request_id=?)"),
    "part": (lambda c: batches.count_parts(c, NAME, 1), "batches_by_part (parent=? AND part_number=?)"),
    "items": (
        lambda c: items.list_items(c, 1, None, 9, 3, BatchState.RUNNING),
        "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ),
    "items in states": (
        lambda c: items.list_items(c, 1, FAILED, 9, 3, BatchState.RUNNING),
        "items_by_state (batch_id=? AND state=? AND id>? AND id<?)",
    ),
    "missing": (lambda c: items.list_missing(c, 1, 5, 9, 3), "chunks_missing (batch_id=? AND number>?)"),
    "json rows": (
        lambda c: sqlite_result_sets.read_page(c, SetKey("json", "x"), 9, 5),
        "result_rows_by_sequence (set_id=? AND sequence>?)",
    ),
    "sql rows": (
        lambda c: sqlite_result_sets.read_page(c, SetKey("sql", "x"), 9, ("a", "b")),
        "PRIMARY KEY (set_id=? AND (scene_path,image_path)>(?,?))",
    ),
    "captions": (
        lambda c: captions.read_captions(c, [bytes(32), b"x" * 32]),
        "sqlite_autoindex_caption_cache_1 (key=?)",
    ),
    "captions of bytes": (
        lambda c: captions.forget_captions(c, ["00" * 32]),
        "caption_cache_by_image (sha256=?)",
    ),
    "oldest captions": (lambda c: captions.drop_captions(c, 5, 5, 9), "caption_cache_by_time (time_us<?)"),
    "calls that are due": (
        lambda c: captions.read_due(c, CallState.HELD, 5, 9),
        "caption_calls_by_state (state=? AND due_us<?)",
    ),
    "totals": (lambda c: captions.read_totals(c, "2026-11-21"), "PRIMARY KEY (period=?)"),
    "usage": (
        lambda c: captions.read_usage(c, UsageQuery(*DAYS), 9, ""),
        "PRIMARY KEY (place>? AND place<?)",
    ),
    "usage of a batch": (
        lambda c: captions.read_usage(c, UsageQuery(*DAYS, batch="batches/1"), 9, ""),
        "caption_usage_by_batch (batch=? AND place>? AND place<?)",
    ),
}


class Explaining:
    """A connection that keeps the plans of the statements that pass through it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plan: list[str] = []

    def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        self.plan += [row[3] for row in rows]
        return self._connection.execute(statement, parameters)

    def executemany(self, statement: str, rows: Sequence[Any]) -> sqlite3.Cursor:
        for row in rows:
            self.execute(statement, row)
        return self._connection.cursor()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "catalog.sqlite3", 0)
    opened.execute("INSERT INTO result_sets (kind, name) VALUES ('json', 'x'), ('sql', 'x')")
    yield opened
    opened.close()


@pytest.mark.parametrize("name", list(READS))
def test_sqlite_walks_along_an_index(connection: sqlite3.Connection, name: str) -> None:
    read, walk = READS[name]
    explaining = Explaining(connection)
    read(explaining)
    assert any(walk in step for step in explaining.plan), explaining.plan
    assert not [step for step in explaining.plan if step.startswith("SCAN") or "TEMP B-TREE" in step]


def mongo_walks() -> Iterator[tuple[str, dict[str, Any], str, Order]]:
    """Collection, condition, index and order of what the MongoDB stores list."""
    for query in (BatchQuery(), BatchQuery(STATES), BatchQuery(parent=NAME), BatchQuery(STATES, NAME)):
        for after in (None, NAME):
            for condition, index in mongo_ledger_batches.page_walks(query, after):
                yield "batches", condition, index, [("_id", -1)]
    for states in (None, FAILED):
        for condition, index in mongo_ledger_items.page_walks(NAME, states, 3):
            yield "items", condition, index, [("row", 1)]
    yield "chunks", *mongo_ledger_items.missing_walk(NAME, 5, 3), [("number", 1)]
    yield "caption_cache", {"time_us": {"$lt": 5}}, "by_time", mongo_caption_records.OLDEST_FIRST
    due = mongo_caption_records.due_condition(CallState.HELD, 5)
    yield "caption_calls", due, "by_state", [("due_us", 1)]
    for batch, index in (("", "_id_"), ("batches/1", "by_batch")):
        usage = mongo_caption_records.usage_condition(UsageQuery(*DAYS, batch=batch), "")
        yield "caption_usage", usage, index, [("_id", 1)]
    places: list[tuple[SetKey, RowPlace]] = [(SetKey("json", "x"), 5), (SetKey("sql", "x"), ("a", "b"))]
    for key, place in places:
        order, index = mongo_result_sets.ORDERS[key.kind]
        for condition in mongo_result_sets.page_conditions(key, place):
            yield "result_rows", condition, index, order


async def test_mongo_walks_along_an_index(clock: Clock) -> None:
    async with mongo_database(clock, INDEXES) as database:
        for collection, condition, index, order in mongo_walks():
            assert gives_order(keys_of(collection, index), condition, order), (condition, index)
            cursor = database.collection(collection).find(condition).sort(order).hint(index).limit(9)
            stages = list(stages_of((await cursor.explain())["queryPlanner"]["winningPlan"]))
            names = {stage["stage"] for stage in stages}
            assert "COLLSCAN" not in names, stages
            assert "SORT" not in names or not os.environ.get("MONGODB_URL"), stages
            assert {stage.get("indexName") for stage in stages} - {None} == {index}, stages


def keys_of(collection: str, name: str) -> Order:
    """The fields of an index."""
    for index in INDEXES:
        if (index.collection, index.options.get("name")) == (collection, name):
            return [*index.keys]
    return [("_id", 1)]


def gives_order(keys: Order, condition: dict[str, Any], order: Order) -> bool:
    """Whether the fields of an index are ones with a single value, and then those of the order, one way."""
    # A field with a single value needs no order of its own.
    order = [(field, way) for field, way in order if isinstance(condition.get(field, {}), dict)]
    fixed, rest = keys[: -len(order)], keys[-len(order) :]
    ways = {way * wanted for (_, way), (_, wanted) in zip(rest, order, strict=True)}
    same = [field for field, _ in rest] == [field for field, _ in order]
    return same and len(ways) == 1 and all(not isinstance(condition[field], dict) for field, _ in fixed)


def stages_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All stages of a plan."""
    yield plan
    for child in [plan[key] for key in ("inputStage", "queryPlan") if key in plan]:
        yield from stages_of(child)
