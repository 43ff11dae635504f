"""Ids of the values that images have; the last two bits of an id say what is kept of the value."""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable

from services.catalog.sqlite.counters import Term
from services.catalog.sqlite.known import select_in

_WHAT = 3
_COUNTED = 1
_POSTED = 2
# What has a column of its own in facts, and so no postings.
_COUNTED_FIELDS = {"format", "blur", "scene", "has_text", "faces"}


def is_counted(term_id: int) -> bool:
    """True when facets hold the value."""
    return term_id & _WHAT != _POSTED


def is_posted(term_id: int) -> bool:
    """True when postings hold the value."""
    return term_id & _WHAT != _COUNTED


def term_ids(connection: sqlite3.Connection, terms: Iterable[Term]) -> dict[Term, int]:
    """The id of each value; makes those that are new."""
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for field, value in terms:
        wanted[field].append(value)
    ids: dict[Term, int] = {}
    new: list[Term] = []
    for field, values in wanted.items():
        statement = f"SELECT value, id FROM terms WHERE field = '{field}' AND value IN"  # noqa: S608  a name of ours
        known = dict(select_in(connection, statement, values))
        for value in values:
            if value in known:
                ids[field, value] = known[value]
            else:
                new.append((field, value))
    if new:
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM terms").fetchone()
        for place, term in enumerate(new, (last >> 2) + 1):
            ids[term] = place << 2 | _kind(term[0])
        connection.executemany("INSERT INTO terms VALUES (?, ?, ?)", [(ids[term], *term) for term in new])
    return ids


def pack(ids: Iterable[int]) -> bytes:
    """Ids as 32-bit numbers."""
    return array("i", ids).tobytes()


def unpack(packed: bytes | None) -> array[int]:
    """The ids in what ``pack`` gave."""
    return array("i", packed or b"")


def _kind(field: str) -> int:
    if field == "color":
        return _POSTED
    return _COUNTED if field in _COUNTED_FIELDS else 0
