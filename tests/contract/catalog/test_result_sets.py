"""Result sets: what every store must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock

import pytest

from services.catalog import result_sets
from services.catalog.mongo import result_sets as mongo_result_sets
from services.catalog.mongo.result_sets import MongoResultSets
from services.catalog.result_sets import ResultRow, ResultSetStore, RowPlace, SetKey, SetKind
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.result_sets import SqliteResultSets
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.mongo_adapter import mongo_database

JSON = SetKey("json", "inference_results.json")
SQL = SetKey("sql", "../../etc/passwd")


@pytest.fixture(params=("mongo", "sqlite"))
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[ResultSetStore]:
    if request.param == "sqlite":
        async with open_sqlite_database(SqliteOptions(tmp_path / "catalog.sqlite3"), clock) as sqlite:
            yield SqliteResultSets(sqlite)
    else:
        async with mongo_database(clock, mongo_result_sets.INDEXES) as mongo:
            yield MongoResultSets(mongo)


def row(scene: str, image: str = "a.jpg", text: str = "the sea", time_us: int = 5) -> ResultRow:
    return ResultRow(scene, image, text, ("boat", "", "gull ü"), time_us)


async def pairs(store: ResultSetStore, key: SetKey, size: int = 2) -> list[tuple[str, str]]:
    """All rows of a set, page by page."""
    found: list[tuple[str, str]] = []
    after: RowPlace | None = None
    while True:
        page = await store.list_rows(key, size, after)
        assert page.total == await store.count_rows(key)
        found += [row.pair for row in page.rows]
        if page.next is None:
            return found
        after = page.next


async def test_rows_come_back_as_they_were_stored(store: ResultSetStore) -> None:
    stored = [row("sea"), row("séa", "ü/🐟.jpg", "a\nb\t\0", 2**62)]
    assert await store.put_rows(JSON, stored) == 2
    page = await store.list_rows(JSON, 10)
    assert (list(page.rows), page.next, page.total) == (stored, None, 2)


@pytest.mark.parametrize("kind", ["json", "sql"])
async def test_the_order_is_that_of_the_kind(store: ResultSetStore, kind: SetKind) -> None:
    key = SetKey(kind, "x")
    given = [("b", "2"), ("b", "10"), ("a", "z"), ("B", "z"), ("é", ""), ("", ""), ("🐟", ""), ("\uffee", "")]
    for scene, image in given:
        await store.put_rows(key, [row(scene, image)])
    # By code points, as SQLite and MongoDB compare UTF-8.
    expected = given if kind == "json" else sorted(given)
    for size in (1, 3, 100):
        assert await pairs(store, key, size) == expected


@pytest.mark.parametrize("kind", ["json", "sql"])
async def test_the_same_pair_replaces_in_its_place(store: ResultSetStore, kind: SetKind) -> None:
    key = SetKey(kind, "x")
    await store.put_rows(key, [row("b"), row("a"), row("c")])
    assert await store.put_rows(key, [row("d"), row("a", text="hills", time_us=9)]) == 1
    order = "bacd" if kind == "json" else "abcd"
    assert "".join(scene for scene, _ in await pairs(store, key)) == order
    rows = {found.scene_path: found for found in (await store.list_rows(key, 10)).rows}
    assert (rows["a"].description, rows["a"].time_us) == ("hills", 9)
    assert await store.count_rows(key) == 4


async def test_of_two_of_a_pair_in_one_call_the_later_one_stays(store: ResultSetStore) -> None:
    assert await store.put_rows(JSON, [row("a"), row("b"), row("a", text="hills")]) == 2
    page = await store.list_rows(JSON, 10)
    assert [(found.scene_path, found.description) for found in page.rows] == [
        ("a", "hills"),
        ("b", "the sea"),
    ]


async def test_an_unknown_set_is_empty_and_stays_unknown(store: ResultSetStore, tmp_path: Path) -> None:
    for key in (JSON, SQL):
        assert await store.count_rows(key) == 0
        assert (await store.list_rows(key, 10)).rows == ()
        assert not await store.has_set(key)
    await store.put_rows(SQL, [row("a")])
    assert await store.has_set(SQL)
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} <= {"catalog.sqlite3"}


async def test_names_are_compared_byte_for_byte_and_by_kind(store: ResultSetStore) -> None:
    names = ["a", "A", "a ", "./a", "é", "e\u0301", "json:a", "x" * 255]
    for index, name in enumerate(names, 1):
        for kind in ("json", "sql"):
            await store.put_rows(SetKey(kind, name), [row(f"{kind} {index}")])
    for index, name in enumerate(names, 1):
        assert await pairs(store, SetKey("json", name)) == [(f"json {index}", "a.jpg")]
        assert await pairs(store, SetKey("sql", name)) == [(f"sql {index}", "a.jpg")]


async def test_rows_stored_at_the_same_time_all_stay(store: ResultSetStore) -> None:
    calls = [[row("shared"), row(f"{call} {index}")] for call in range(4) for index in range(2)]
    new = await asyncio.gather(*(store.put_rows(JSON, rows) for rows in calls))
    assert sum(new) == await store.count_rows(JSON) == 9
    assert len(set(await pairs(store, JSON))) == 9


async def test_a_set_has_a_bound(store: ResultSetStore) -> None:
    await store.put_rows(JSON, [row("a"), row("b")])
    with mock.patch.object(result_sets, "MAX_SET_ROWS", 3):
        with pytest.raises(ServiceError) as refusal:
            await store.put_rows(JSON, [row("c"), row("d")])
        assert refusal.value.reason == Reason.STORAGE_FULL
        assert await store.put_rows(JSON, [row("a"), row("c")]) == 1
    assert [scene for scene, _ in await pairs(store, JSON)] == ["a", "b", "c"]


async def test_values_out_of_bounds_are_refused(store: ResultSetStore) -> None:
    for call in (
        store.put_rows(SetKey("json", ""), [row("a")]),
        store.put_rows(SetKey("json", "x" * 256), [row("a")]),
        store.count_rows(SetKey("json", "a\0b")),
        store.has_set(SetKey("json", "a\x85")),
        store.list_rows(SetKey("json", "\ud800"), 10),
        store.list_rows(JSON, 0),
        store.list_rows(JSON, 1_001),
        store.list_rows(JSON, 10, ("a", "b")),
        store.list_rows(SQL, 10, 5),
        store.put_rows(JSON, []),
        store.put_rows(JSON, [row("a")] * 1_001),
        store.put_rows(JSON, [row("a\n")]),
        store.put_rows(JSON, [row("x" * 4_097)]),
        store.put_rows(JSON, [row("a", text="x" * 65_537)]),
        store.put_rows(JSON, [row("a", text="\ud800")]),
        store.put_rows(JSON, [ResultRow("a", "b", "", ("x",) * 1_001, 0)]),
        store.put_rows(JSON, [ResultRow("a", "b", "", ("x" * 1_025,), 0)]),
        store.put_rows(JSON, [ResultRow("a", "b", "", (), -1)]),
    ):
        with pytest.raises(ServiceError) as refusal:
            await call
        assert refusal.value.reason == Reason.INVALID_FIELD
    assert not await store.has_set(JSON)
