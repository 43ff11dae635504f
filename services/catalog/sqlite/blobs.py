"""Bytes that images refer to: what is known of them, and how many refer to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from services.catalog.blob_rules import refuse_lost_bytes, refuse_other_facts
from services.catalog.model import ANALYZERS, NewImage
from services.catalog.sqlite.counters import add_counts


def refer_to_blob(connection: sqlite3.Connection, new: NewImage, blob_generation: int) -> int:
    """Counts one more visible image of these bytes; gives their id. See ``CatalogStore.create_image``."""
    digest = bytes.fromhex(new.sha256)
    row = connection.execute(
        "SELECT id, blob_key, size_bytes, fate, generation, ref_count FROM blobs WHERE sha256 = ?", (digest,)
    ).fetchone()
    if row is None:
        row = connection.execute(
            """INSERT INTO blobs (sha256, blob_key, size_bytes) VALUES (?, ?, ?)
               RETURNING id, blob_key, size_bytes, fate, generation, ref_count""",
            (digest, new.blob_key, new.size_bytes),
        ).fetchone()
    blob_id, blob_key, size_bytes, fate, generation, ref_count = row
    refuse_other_facts(new, blob_key, size_bytes)
    refuse_lost_bytes(fate, generation, blob_generation)
    connection.execute(
        "UPDATE blobs SET ref_count = ref_count + 1, garbage_since_us = NULL, fate = 0 WHERE id = ?",
        (blob_id,),
    )
    if not ref_count:
        _count_analyses(connection, blob_id, 1)
    show_blob(connection, blob_id, 1)
    return int(blob_id)


def release_blob(connection: sqlite3.Connection, blob_id: int, now_us: int) -> None:
    """Counts one image less; bytes that nothing refers to any more become garbage."""
    (left,) = connection.execute(
        """UPDATE blobs SET ref_count = ref_count - 1,
               garbage_since_us = CASE WHEN ref_count = 1 THEN ? END
           WHERE id = ? RETURNING ref_count""",
        (now_us, blob_id),
    ).fetchone()
    if not left:
        _count_analyses(connection, blob_id, -1)


def show_blob(connection: sqlite3.Connection, blob_id: int, change: int) -> None:
    """Counts one visible image of the bytes more or less."""
    live, size_bytes = connection.execute(
        "UPDATE blobs SET live_count = live_count + ? WHERE id = ? RETURNING live_count, size_bytes",
        (change, blob_id),
    ).fetchone()
    if live == max(change, 0):
        add_counts(connection, {("blobs", 0): change, ("blob_bytes", 0): change * size_bytes})


def newest_analyses(connection: sqlite3.Connection, blob_id: int) -> Mapping[str, int]:
    """The ids of the newest analyses of some bytes, by analyzer."""
    found = {
        analyzer: connection.execute(
            """SELECT id FROM analyses WHERE blob_id = ? AND analyzer = ?
               ORDER BY create_time_us DESC, id DESC LIMIT 1""",
            (blob_id, analyzer),
        ).fetchone()
        for analyzer in ANALYZERS
    }
    return {analyzer: row[0] for analyzer, row in found.items() if row}


def _count_analyses(connection: sqlite3.Connection, blob_id: int, sign: int) -> None:
    (count,) = connection.execute("SELECT count(*) FROM analyses WHERE blob_id = ?", (blob_id,)).fetchone()
    add_counts(connection, {("analyses", 0): sign * count})
