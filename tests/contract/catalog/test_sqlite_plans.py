"""Lists must be walks along an index: SQLite's own plan says whether they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.catalog.model import ImageQuery, PageOrder, Span
from services.catalog.sqlite_lists import read_page
from services.catalog.sqlite_schema import open_database
from services.catalog.states import ImageState

UNFINISHED = frozenset({ImageState.PENDING, ImageState.PROCESSING})
QUERIES = {
    "all": (ImageQuery(), "images_by_time"),
    "size": (ImageQuery(size_bytes=Span(min=5), formats=frozenset({1, 2})), "images_by_time"),
    "unfinished": (ImageQuery(states=UNFINISHED, created_until_us=9), "images_by_state"),
    "state": (ImageQuery(states=frozenset({ImageState.FAILED}), width=Span(1, 2)), "images_by_state"),
    "bytes": (ImageQuery(sha256="00" * 32), "images_by_blob"),
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(tmp_path / "catalog.sqlite3", 0)
    yield opened
    opened.close()


class Explaining:
    """A connection that keeps the plans of the statements that pass through it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.plan: list[str] = []

    def execute(self, statement: str, parameters: list[object] | tuple[()] = ()) -> sqlite3.Cursor:
        rows = self._connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        self.plan += [row[3] for row in rows]
        return self._connection.execute(statement, parameters)


def plan_of(connection: sqlite3.Connection, query: ImageQuery, order: PageOrder) -> list[str]:
    explaining = Explaining(connection)
    read_page(explaining, query, order, with_results=True)  # type: ignore[arg-type]  # it is used as one
    return explaining.plan


@pytest.mark.parametrize("after", [None, (5, 5)])
@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("name", list(QUERIES))
def test_a_page_is_a_walk_along_one_index(
    connection: sqlite3.Connection, name: str, newest_first: bool, after: tuple[int, int] | None
) -> None:
    query, index = QUERIES[name]
    plan = plan_of(connection, query, PageOrder(50, after, newest_first))
    walks = [place for place, step in enumerate(plan) if index in step]
    assert len(walks) == max(1, len(query.states))
    for place in walks:
        # Between both ends of the page, and never at the rows of images that are only judged.
        assert "create_time_us>? AND create_time_us<?" in plan[place]
        assert "COVERING" in plan[place] or name == "bytes"
        # The index gives the order; only what the walks have found, a page each, is sorted to be merged.
        assert "TEMP B-TREE" not in plan[place + 1]
    assert not [step for step in plan if step.startswith("SCAN i")]


def test_labels_are_walked_in_order(connection: sqlite3.Connection) -> None:
    query = ImageQuery(labels=(("album", "sea"), ("year", "2024")), states=UNFINISHED)
    plan = plan_of(connection, query, PageOrder(50))
    assert any(step.startswith("SEARCH l USING PRIMARY KEY (key=? AND value=? AND ") for step in plan), plan
    assert "SEARCH i USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert not [step for step in plan if step.startswith("SCAN ") and "subquery" not in step]
