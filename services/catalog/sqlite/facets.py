"""Values of a field with their counts, from maintained counters."""

from __future__ import annotations

import sqlite3

from services.catalog.conditions import TermField
from services.catalog.model import FacetPage

_SELECT = "SELECT value, count FROM facets WHERE scope = ? AND field = ?"
_ORDER = "ORDER BY count DESC, value LIMIT ?"


def read_facets(
    connection: sqlite3.Connection, field: TermField, batch: str, size: int, after: tuple[int, str] | None
) -> FacetPage:
    """A page of values, most frequent first."""
    scope = _scope(connection, batch)
    if scope is None:
        return FacetPage((), None)
    counts: list[tuple[str, int]] = []
    if after is None:
        counts += connection.execute(f"{_SELECT} {_ORDER}", (scope, field, size + 1))
    else:
        # The rest of those that are as frequent, then the rarer ones: each is one stretch of the index.
        equal, rarer = f"{_SELECT} AND count = ? AND value > ? {_ORDER}", f"{_SELECT} AND count < ? {_ORDER}"
        counts += connection.execute(equal, (scope, field, *after, size + 1))
        counts += connection.execute(rarer, (scope, field, after[0], size + 1 - len(counts)))
    page = tuple(counts[:size])
    return FacetPage(page, (page[-1][1], page[-1][0]) if len(counts) > size else None)


def _scope(connection: sqlite3.Connection, batch: str) -> int | None:
    """0 for all images, else the id of the batch; None for a batch that no image ever had."""
    if not batch:
        return 0
    row = connection.execute("SELECT id FROM terms WHERE field = 'batch' AND value = ?", (batch,)).fetchone()
    return None if row is None else int(row[0])
