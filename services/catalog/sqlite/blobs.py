"""Bytes that images refer to: what is known of them, how many refer to them, what became of them.

Bytes that nothing refers to are garbage. Garbage is condemned before it is collected, and nothing may refer
to what is condemned: so whoever deletes the bytes needs to look at nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from enum import IntEnum

from services.catalog.model import ANALYZERS, NewImage
from services.catalog.sqlite.counters import add_counts
from services.runtime.errors import AbortedError, InvalidArgumentError, Reason, UnavailableError

# A sweep deletes a batch of files between condemning and forgetting.
_COLLECTING_RETRY_S = 2.0


class BlobFate(IntEnum):
    """What became of bytes."""

    KEPT = 0
    CONDEMNED = 1
    COLLECTED = 2


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
    _refuse_other_facts(new, blob_key, size_bytes)
    _refuse_lost_bytes(fate, generation, blob_generation)
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


def _refuse_other_facts(new: NewImage, blob_key: str, size_bytes: int) -> None:
    for field, known, given in (
        ("image.blob_key", blob_key, new.blob_key),
        ("image.size_bytes", size_bytes, new.size_bytes),
    ):
        if known != given:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD,
                f"{field} is not what is known of these bytes; equal bytes have one key and one size.",
                field=field,
                known=known,
            )


def _refuse_lost_bytes(fate: int, generation: int, blob_generation: int) -> None:
    if fate == BlobFate.CONDEMNED:
        raise UnavailableError(
            Reason.BLOB_BEING_COLLECTED,
            "These bytes are being collected as garbage at this moment; repeat the call in a moment.",
            retry_after_s=_COLLECTING_RETRY_S,
        )
    if fate == BlobFate.COLLECTED and generation != blob_generation:
        raise AbortedError(
            Reason.BLOB_COLLECTED,
            "These bytes were collected as garbage; store them again, then repeat with this generation.",
            generation=generation,
        )


def _count_analyses(connection: sqlite3.Connection, blob_id: int, sign: int) -> None:
    (count,) = connection.execute("SELECT count(*) FROM analyses WHERE blob_id = ?", (blob_id,)).fetchone()
    add_counts(connection, {("analyses", 0): sign * count})
