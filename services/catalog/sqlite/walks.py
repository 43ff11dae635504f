"""Walks along indexes that meet every image which some part of a condition can hold for."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.catalog.colors import cells_near
from services.catalog.conditions import AnyOf, ColorNear, Condition, SameBytes, Term
from services.catalog.sqlite.conditions import POSTED

# More walks than these are not merged.
_MAX_WALKS = 32
# Postings of colours have no counter; so many are counted at most.
_MAX_COUNTED = 10_000
_PLACE = "{0}.create_time_us, {0}.number"
_TO_FACTS = "CROSS JOIN facts f ON f.create_time_us = p.create_time_us AND f.number = p.number"


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk along ``source`` where ``own`` holds, ordered by ``place``; ``join`` brings in ``facts f``."""

    source: str
    place: str
    own: str = "1"
    parameters: tuple[object, ...] = ()
    join: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """A part of a condition that has walks of its own, and how many images these meet (bounded for colours).

    ``exact`` when the part holds for every image of the walks.
    """

    part: Condition
    count: int
    term_ids: tuple[int, ...] = ()
    blob_id: int | None = None
    exact: bool = True

    def walks(self, *, with_facts: bool) -> tuple[Walk, ...]:
        """The walks by time. ``with_facts`` False leaves the places alone under the name ``f``."""
        if self.blob_id is not None:
            source = "images p INDEXED BY images_by_blob"
            return (Walk(source, _PLACE.format("p"), "p.blob_id = ?", (self.blob_id,), _TO_FACTS),)
        alias, join = ("p", _TO_FACTS) if with_facts else ("f", "")
        return tuple(
            Walk(f"postings {alias}", _PLACE.format(alias), f"{alias}.term_id = ?", (term_id,), join)
            for term_id in self.term_ids
        )


def find_driver(connection: sqlite3.Connection, parts: Iterable[Condition]) -> Driver | None:
    """The part with the fewest images; None where no part has walks."""
    drivers = [driver for part in parts if (driver := _driver(connection, part)) is not None]
    return min(drivers, key=lambda driver: driver.count, default=None)


def _driver(connection: sqlite3.Connection, part: Condition) -> Driver | None:
    alternatives = part.parts if isinstance(part, AnyOf) else (part,)
    terms = [term for term in alternatives if isinstance(term, Term) and _is_walked(term)]
    if len(terms) == len(alternatives) <= _MAX_WALKS:
        found = _term_ids(connection, [(term.field, term.value) for term in terms], "JOIN")
        return Driver(part, sum(count for _, count in found), tuple(term_id for term_id, _ in found))
    if isinstance(part, SameBytes):
        statement = "SELECT id, ref_count FROM blobs WHERE sha256 = ?"
        row = connection.execute(statement, (bytes.fromhex(part.sha256),)).fetchone()
        return Driver(part, row[1], blob_id=row[0]) if row else Driver(part, 0)
    if isinstance(part, ColorNear):
        return _color_driver(connection, part)
    return None


def _is_walked(term: Term) -> bool:
    return term.field in POSTED or term.field == "state"


def _color_driver(connection: sqlite3.Connection, near: ColorNear) -> Driver:
    cells = cells_near((near.red, near.green, near.blue))
    found = _term_ids(connection, [("color", cell) for cell in cells], "LEFT JOIN")
    term_ids = tuple(term_id for term_id, _ in found)
    marks = ", ".join("?" * len(term_ids))
    (count,) = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM postings WHERE term_id IN ({marks}) LIMIT ?)",
        (*term_ids, _MAX_COUNTED),
    ).fetchone()
    return Driver(near, count, term_ids, exact=False)


def _term_ids(
    connection: sqlite3.Connection, terms: Sequence[tuple[str, str]], join: str
) -> list[tuple[int, int]]:
    """Ids and counts of those terms that exist."""
    if not terms:
        return []
    values = ", ".join(["(?, ?)"] * len(terms))
    rows = connection.execute(
        f"""SELECT t.id, coalesce(c.count, 0) FROM (VALUES {values}) v
            CROSS JOIN terms t ON t.field = v.column1 AND t.value = v.column2
            {join} facets c ON c.scope = 0 AND c.term_id = t.id""",
        [text for term in terms for text in term],
    )
    return list(dict(rows).items())
