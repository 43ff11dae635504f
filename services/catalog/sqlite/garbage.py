"""Deleting for good: images, and the bytes that nothing refers to any more."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence

from services.catalog.model import CondemnedBlob, StrayBlob
from services.catalog.names import ImageKey, image_not_found
from services.catalog.sqlite.blobs import release_blob, show_blob
from services.catalog.sqlite.caption_records import forget_captions
from services.catalog.sqlite.counters import add_counts
from services.catalog.sqlite.faces import drop_faces
from services.catalog.sqlite.findings import drop_findings
from services.catalog.sqlite.known import KnownImage, load_images


def delete_image(connection: sqlite3.Connection, key: ImageKey, now_us: int) -> None:
    """See ``CatalogStore.delete_image``."""
    known = load_images(connection, [key])
    if not known:
        raise image_not_found(key)
    _delete(connection, known.values(), now_us)


def purge_hidden(connection: sqlite3.Connection, before_us: int, most: int, now_us: int) -> int:
    """See ``CatalogStore.purge_hidden``."""
    rows = connection.execute(
        """SELECT number FROM images WHERE delete_time_us IS NOT NULL AND delete_time_us < ?
           ORDER BY delete_time_us, number LIMIT ?""",
        (before_us, most),
    ).fetchall()
    _delete(connection, load_images(connection, [number for (number,) in rows]).values(), now_us)
    return len(rows)


def condemn_blobs(connection: sqlite3.Connection, before_us: int, most: int) -> list[CondemnedBlob]:
    """See ``CatalogStore.condemn_blobs``."""
    rows = connection.execute(
        """SELECT id, sha256, blob_key FROM blobs
           WHERE garbage_since_us IS NOT NULL AND fate < 2 AND (fate = 1 OR garbage_since_us < ?)
           ORDER BY garbage_since_us, id LIMIT ?""",
        (before_us, most),
    ).fetchall()
    ids = [row[:1] for row in rows]
    connection.executemany("UPDATE blobs SET fate = 1 WHERE id = ?", ids)
    connection.executemany("DELETE FROM analyses WHERE blob_id = ?", ids)
    return [CondemnedBlob(digest.hex(), blob_key) for _, digest, blob_key in rows]


def forget_blobs(connection: sqlite3.Connection, digests: Sequence[str]) -> None:
    """See ``CatalogStore.forget_blobs``."""
    connection.executemany(
        """UPDATE blobs SET fate = 2, generation = generation + 1, garbage_since_us = NULL
           WHERE sha256 = ? AND fate = 1""",
        [(bytes.fromhex(digest),) for digest in digests],
    )
    forget_captions(connection, digests)


def adopt_blobs(connection: sqlite3.Connection, blobs: Sequence[StrayBlob], now_us: int) -> int:
    """See ``CatalogStore.adopt_blobs``."""
    adopted = connection.executemany(
        """INSERT INTO blobs (sha256, blob_key, size_bytes, garbage_since_us) VALUES (?, ?, ?, ?)
           ON CONFLICT DO NOTHING""",
        [(bytes.fromhex(blob.sha256), blob.blob_key, blob.size_bytes, now_us) for blob in blobs],
    )
    return adopted.rowcount


def _delete(connection: sqlite3.Connection, images: Collection[KnownImage], now_us: int) -> None:
    visible = [image for image in images if image.delete_time_us is None]
    drop_findings(connection, visible)
    counts: Counter[tuple[str, int]] = Counter()
    for image in visible:
        show_blob(connection, image.blob_id, -1)
        counts.update((("images", 0), ("state", int(image.state)), ("format", image.image.format)))
    add_counts(connection, {counter: -count for counter, count in counts.items()})
    for image in images:
        drop_faces(connection, image.number)
        connection.execute("DELETE FROM images WHERE number = ?", (image.number,))
        release_blob(connection, image.blob_id, now_us)
