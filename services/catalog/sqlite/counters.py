"""Counters that are added up in memory and written once a distinct value, in the transaction of the rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

Term = tuple[str, str]


def add_counts(connection: sqlite3.Connection, changes: Mapping[tuple[str, int], int]) -> None:
    """Adds to the counters of stats, by kind and key."""
    connection.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(*counter, change) for counter, change in changes.items() if change > 0],
    )
    connection.executemany(
        "UPDATE counters SET count = count - ? WHERE kind = ? AND key = ?",
        [(-change, *counter) for counter, change in changes.items() if change < 0],
    )


def add_facets(
    connection: sqlite3.Connection, changes: Mapping[tuple[int, int], int], names: Mapping[int, Term]
) -> None:
    """Adds to the roll-ups, by scope and term. ``names`` holds field and value of the terms that grow."""
    connection.executemany(
        """INSERT INTO facets VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET count = count + excluded.count""",
        [
            (scope, term_id, *names[term_id], change)
            for (scope, term_id), change in changes.items()
            if change > 0
        ],
    )
    fewer = [(*key, -change) for key, change in changes.items() if change < 0]
    connection.executemany("DELETE FROM facets WHERE scope = ? AND term_id = ? AND count = ?", fewer)
    connection.executemany("UPDATE facets SET count = count - ?3 WHERE scope = ?1 AND term_id = ?2", fewer)
