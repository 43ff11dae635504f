"""Findings made anew for all images: after an upgrade that keeps more of them, or keeps them otherwise.

In steps of a transaction each, so that memory and log stay small. A rebuild that was cut off begins again.
"""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from services.catalog.findings import FINDINGS_VERSION
from services.catalog.sqlite.findings import keep_findings
from services.catalog.sqlite.known import load_images, load_results, shown_ids

_STEP = 250
# Looks and faces stay: they are compared with what was found, so that only what changed gets a new sequence.
_TABLES = ("facts", "terms", "postings", "image_terms", "facets", "sheets")


def rebuild_findings(connection: sqlite3.Connection) -> None:
    """Makes all findings anew if those of the file are of another version.

    Raises ``DataLossError(DATA_DAMAGED)`` when a stored result cannot be read.
    """
    row = connection.execute("SELECT value FROM marks WHERE name = 'findings_version'").fetchone()
    if row == (FINDINGS_VERSION,):
        return
    log = structlog.get_logger("catalog.rebuild")
    last = _last_number(connection)
    if last:
        log.info("making all findings anew, about five minutes for a million images", last_number=last)
    with _transaction(connection):
        _clear(connection)
    after = 0
    while numbers := _numbers_above(connection, after):
        with _transaction(connection):
            _rebuild(connection, numbers)
        after = numbers[-1]
    connection.execute("REPLACE INTO marks VALUES ('findings_version', ?)", (FINDINGS_VERSION,))


def _clear(connection: sqlite3.Connection) -> None:
    for table in _TABLES:
        connection.execute(f"DELETE FROM {table}")
    # Made again, because FTS5 would take back row by row what it holds.
    (made_by,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'documents'").fetchone()
    connection.execute("DROP TABLE documents")
    connection.execute(made_by)


def _rebuild(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    images = load_images(connection, numbers)
    results = load_results(connection, shown_ids(images.values()))
    keep_findings(connection, list(images.values()), results, time.time_ns() // 1_000, set(numbers))


def _last_number(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM images").fetchone()
    return int(last)


def _numbers_above(connection: sqlite3.Connection, after: int) -> list[int]:
    rows = connection.execute(
        "SELECT number FROM images WHERE number > ? ORDER BY number LIMIT ?", (after, _STEP)
    )
    return [number for (number,) in rows]


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")
