"""Reads must be bounded walks along an index: SQLite's own plan says whether they are."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    Not,
    SameBytes,
    Term,
    Within,
)
from services.catalog.model import ImageQuery, OrderKey, PageOrder, SearchPlace, SearchWords
from services.catalog.sqlite import plans as sqlite_plans
from services.catalog.sqlite.conditions import compile_condition
from services.catalog.sqlite.facets import read_facets
from services.catalog.sqlite.functions import prepare_reader
from services.catalog.sqlite.images import read_image
from services.catalog.sqlite.lists import read_page
from services.catalog.sqlite.reads import read_analysis_page, read_stats
from services.catalog.sqlite.schema import open_database
from services.catalog.sqlite.search import read_hits
from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.runtime.errors import InvalidArgumentError, Reason
from tests.contract.catalog.adapters import START_US, Clock, digest_of
from tests.contract.catalog.condition_model import CONDITIONS, ImageFacts, evaluate, facts_of
from tests.contract.catalog.pictures import some_pictures, store_picture

COUNT = 40
MAX_PAGES = 2_000
KEYS: tuple[OrderKey, ...] = ("create_time_us", "size_bytes", "quality")
BY_TIME = "SEARCH f USING PRIMARY KEY ((create_time_us,number)>(?,?) AND (create_time_us,number)<(?,?))"
BY_SIZE = "INDEX facts_by_size ((size_bytes,number)>(?,?) AND (size_bytes,number)<(?,?))"
BY_QUALITY = "INDEX facts_by_quality ((quality,number)>(?,?) AND (quality,number)<(?,?))"
BY_TERM = "PRIMARY KEY (term_id=? AND (create_time_us,number)>(?,?) AND (create_time_us,number)<(?,?))"
BY_BYTES = "COVERING INDEX images_by_blob (blob_id=? AND create_time_us>? AND create_time_us<?)"
TO_FACTS = "SEARCH f USING PRIMARY KEY (create_time_us=? AND number=?)"
TO_POSTING = "SEARCH q USING PRIMARY KEY (term_id=? AND create_time_us=? AND number=?)"

SEA, BEACH, FAILED = Term("tag", "sea"), Term("tag", "beach"), Term("state", "4")
SHAPES: dict[str, tuple[Condition, OrderKey, str, str]] = {
    "all": (EVERYTHING, "create_time_us", BY_TIME, ""),
    "all by size": (EVERYTHING, "size_bytes", BY_SIZE, ""),
    "all by quality": (EVERYTHING, "quality", BY_QUALITY, ""),
    "a column": (Within("width", 9), "create_time_us", BY_TIME, ""),
    "a column by size": (Within("width", 9), "size_bytes", BY_SIZE, ""),
    "a span of the order": (Within("quality", 9, 99), "quality", BY_QUALITY, ""),
    "a name": (NameContains("x"), "create_time_us", BY_TIME, ""),
    "not a tag": (Not(SEA), "create_time_us", BY_TIME, TO_POSTING),
    "either": (AnyOf((SEA, Within("width", 9))), "create_time_us", BY_TIME, TO_POSTING),
    "a state": (FAILED, "create_time_us", BY_TERM, ""),
    "a tag": (SEA, "create_time_us", BY_TERM, ""),
    "a tag and a column": (All((SEA, Within("width", 9))), "create_time_us", BY_TERM, TO_FACTS),
    "two tags": (All((SEA, BEACH)), "create_time_us", BY_TERM, TO_POSTING),
    "some tags": (AnyOf((SEA, BEACH)), "create_time_us", BY_TERM, ""),
    "some tags and a name": (
        All((AnyOf((SEA, BEACH)), NameContains("x"))),
        "create_time_us",
        BY_TERM,
        TO_FACTS,
    ),
    "a color": (ColorNear(250, 10, 10), "create_time_us", BY_TERM, TO_FACTS),
    "bytes": (SameBytes(digest_of("content 3")), "create_time_us", BY_BYTES, TO_FACTS),
    "bytes and tag": (All((SameBytes(digest_of("content 3")), SEA)), "create_time_us", BY_BYTES, TO_POSTING),
}


@pytest.fixture
async def images(tmp_path: Path) -> dict[int, ImageFacts]:
    """Images in the database, by number; four at a time share their microsecond."""
    clock = Clock(step_us=0)
    kept: dict[int, ImageFacts] = {}
    async with open_sqlite_store(SqliteOptions(tmp_path / "catalog.sqlite3"), clock) as store:
        for index, (content, picture) in enumerate(some_pictures(COUNT).items()):
            clock.now_us = START_US + 1 + index // 4
            number = await store_picture(store, content, picture)
            kept[number] = facts_of(picture.image, clock.now_us, picture.findings())
    return kept


@pytest.fixture
def connection(tmp_path: Path, images: dict[int, ImageFacts]) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "catalog.sqlite3", 0)
    prepare_reader(opened)
    yield opened
    opened.close()


class Explaining(sqlite3.Connection):
    """A connection that keeps the plans of the statements that pass through it."""

    plan: list[str]

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        self.plan += [row[3] for row in super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
        return super().execute(sql, parameters)


@pytest.fixture
def explaining(tmp_path: Path, connection: sqlite3.Connection) -> Iterator[Explaining]:
    opened = sqlite3.connect(tmp_path / "catalog.sqlite3", factory=Explaining)
    opened.plan = []
    prepare_reader(opened)
    yield opened
    opened.close()


def refuse_scans(plan: list[str], *, sorting: bool = False) -> None:
    # Values that came with the statement, and what bounded walks found, are no tables.
    known = ("CONSTANT ROW", "SCAN v", "(subquery")
    assert not [step for step in plan if step.startswith("SCAN") and not any(text in step for text in known)]
    assert sorting or not [step for step in plan if "TEMP B-TREE" in step], plan


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_page_is_a_walk_along_one_index(explaining: Explaining, name: str) -> None:
    condition, key, walked, judged = SHAPES[name]
    for after, descending in itertools.product((None, (5, 5)), (True, False)):
        explaining.plan = []
        read_page(explaining, ImageQuery(condition), PageOrder(50, after, descending, key), with_results=True)
        refuse_scans(explaining.plan)
        assert [step for step in explaining.plan if walked in step], explaining.plan
        assert judged in "\n".join(explaining.plan)


def test_few_images_are_sorted_rather_than_looked_for_in_the_order_of_size(explaining: Explaining) -> None:
    read_page(explaining, ImageQuery(SEA), PageOrder(50, key="size_bytes"), with_results=False)
    refuse_scans(explaining.plan, sorting=True)
    assert not [step for step in explaining.plan if "facts_by_size" in step]


def test_hidden_images_are_walked_by_number(explaining: Explaining) -> None:
    query = ImageQuery(Within("width", 9), with_hidden=True)
    read_page(explaining, query, PageOrder(50, (5, 5)), with_results=False)
    refuse_scans(explaining.plan)
    assert "SEARCH f USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in explaining.plan


def test_other_reads_look_into_indexes(explaining: Explaining) -> None:
    read_image(explaining, 1, with_results=True)
    read_facets(explaining, "tag", "batches/1", 5, None)
    read_facets(explaining, "tag", "", 5, (3, "sea"))
    refuse_scans(explaining.plan)
    index = "SEARCH facets USING COVERING INDEX facets_by_count (scope=? AND field=? AND count=? AND value>?)"
    assert index in [step.replace("USING INDEX", "USING COVERING INDEX") for step in explaining.plan]
    explaining.plan = []
    # The few analyses of the same bytes.
    read_analysis_page(explaining, 1, PageOrder(5, (5, 5)))
    refuse_scans(explaining.plan, sorting=True)
    explaining.plan = []
    read_stats(explaining)
    # A handful of rows.
    assert explaining.plan == ["SCAN counters"]


def test_a_search_takes_the_newest_from_the_index_of_words(explaining: Explaining) -> None:
    words = SearchWords(("boat",), ("harb",), (("at", "sea"),))
    read_hits(explaining, words, All((SEA, Within("width", 1))), 5, SearchPlace(30))
    steps = [step for step in explaining.plan if "VIRTUAL TABLE" not in step]
    refuse_scans(steps)
    (matches,) = {step for step in explaining.plan if step.startswith("SCAN documents")}
    assert "VIRTUAL TABLE INDEX" in matches


@pytest.mark.parametrize("key", KEYS)
def test_bounded_pages_have_every_image_once(
    connection: sqlite3.Connection,
    images: dict[int, ImageFacts],
    monkeypatch: pytest.MonkeyPatch,
    key: OrderKey,
) -> None:
    monkeypatch.setattr(sqlite_plans, "_PAGE_US", 20)
    monkeypatch.setattr(sqlite_plans, "_MAX_SORTED", 8)
    for place, condition in enumerate(CONDITIONS.values()):
        descending = place % 2 == 0
        met = [number for number, facts in images.items() if evaluate(condition, facts)]
        expected = sorted(met, key=lambda n: (images[n].numbers[key], n), reverse=descending)
        found, _ = follow(connection, ImageQuery(condition), PageOrder(5, None, descending, key))
        assert found == expected, condition


def follow(connection: sqlite3.Connection, query: ImageQuery, order: PageOrder) -> tuple[list[int], int]:
    """All numbers of a query, page by page, and how many pages there were."""
    found: list[int] = []
    for pages in range(1, MAX_PAGES):
        page = read_page(connection, query, order, with_results=False)
        found += [image.number for image in page.images]
        if page.next is None:
            return found, pages
        order = replace(order, after=page.next)
    raise AssertionError("the pages do not end")


def test_hidden_images_come_in_bounded_pages(
    connection: sqlite3.Connection, images: dict[int, ImageFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_plans, "_PAGE_US", 4)
    query = ImageQuery(Term("format", "1"), with_hidden=True)
    found, pages = follow(connection, query, PageOrder(50))
    assert found == [number for number in reversed(images) if ("format", "1") in images[number].terms]
    assert pages > COUNT // 10


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("condition", [Within("height", 9_999), Not(Within("width")), NameContains("none")])
def test_a_page_that_finds_nothing_ends_soon(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, condition: Condition, key: OrderKey
) -> None:
    steps, count = 100, 20_000
    connection.execute("BEGIN")
    rows = (
        (START_US + n, n, 3, 1, n, 1, 1, n, 0, 1, 1, 0, "sea.jpg", b"") for n in range(1_000, 1_000 + count)
    )
    connection.executemany(f"INSERT INTO facts VALUES ({', '.join('?' * 14)})", rows)  # noqa: S608  marks
    monkeypatch.setattr(sqlite_plans, "_PAGE_US", steps * sqlite_plans._STEP_US)
    operations: list[int] = []
    connection.set_progress_handler(lambda: operations.append(10), 10)
    page = read_page(connection, ImageQuery(condition), PageOrder(50, key=key), with_results=False)
    connection.set_progress_handler(None, 0)
    assert page.images == ()
    assert page.next is not None
    assert sum(operations) < 50 * steps


@pytest.mark.parametrize(
    ("condition", "key", "field"),
    [
        (SEA, "create_time_us", "show_deleted"),
        (Not(AnyOf((FAILED, NameContains("x")))), "create_time_us", "show_deleted"),
        (Within("quality", 1), "create_time_us", "show_deleted"),
        (ColorNear(1, 2, 3), "create_time_us", "show_deleted"),
        (EVERYTHING, "size_bytes", "order_by"),
    ],
)
def test_what_cannot_be_known_of_hidden_images_is_refused(
    connection: sqlite3.Connection, condition: Condition, key: OrderKey, field: str
) -> None:
    query = ImageQuery(condition, with_hidden=True)
    with pytest.raises(InvalidArgumentError) as refusal:
        read_page(connection, query, PageOrder(50, key=key), with_results=False)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == field


def test_a_compiled_condition_grows_with_the_tree_and_holds_no_value() -> None:
    def compiled(count: int) -> str:
        parts = tuple(Term("tag", f"secret{n}") for n in range(count))
        text, parameters = compile_condition(All((AnyOf(parts), Not(All(parts)), NameContains("secret"))))
        assert "secret" not in text
        assert len(parameters) == 4 * count + 1
        return text

    assert len(compiled(2_000)) < 25 * len(compiled(100))
