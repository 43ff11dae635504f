"""Makes a large catalog of a smaller one: the same images again, with other bytes, names, times and looks.

Every table gets what the store would have written, in a fraction of the time; the counters are added up.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.catalog.sqlite.schema import close_database, open_database

# Numbers, ids and times of the copy lie this much further on; ids of blobs and analyses follow the numbers.
_COPY = (
    """INSERT INTO blobs (id, sha256, blob_key, size_bytes, ref_count, live_count)
       SELECT id + :ids, randomblob(32), 'sha256/' || hex(randomblob(16)), size_bytes, 0, 0
       FROM blobs WHERE id <= :ids_end""",
    """INSERT INTO analyses (id, blob_id, analyzer, version, settings_digest, create_time_us, elapsed_us,
           result)
       SELECT id + :analyses, blob_id + :ids, analyzer, version, settings_digest, create_time_us + :times,
           elapsed_us, result FROM analyses WHERE id <= :analyses_end""",
    """INSERT INTO images (number, uuid, blob_id, state, error, size_bytes, format, width, height,
           frame_count, color_mode, display_name, labels, batch, process_options, create_time_us,
           update_time_us, process_time_us, insights_id, caption_id)
       SELECT number + :ids, randomblob(16), blob_id + :ids, state, error, size_bytes, format, width, height,
           frame_count, color_mode, printf('IMG_%07d.jpg', number + :ids), labels, batch, process_options,
           create_time_us + :times, update_time_us + :times, process_time_us + :times,
           insights_id + :analyses, caption_id + :analyses
       FROM images WHERE number <= :ids_end""",
    """INSERT INTO facts SELECT create_time_us + :times, number + :ids, state, format, size_bytes, width,
           height, quality, face_count, blur, scene, has_text, printf('img_%07d.jpg', number + :ids), colors
       FROM facts WHERE number <= :ids_end""",
    """INSERT INTO postings SELECT term_id, create_time_us + :times, number + :ids FROM postings
       WHERE number <= :ids_end""",
    "INSERT INTO image_terms SELECT number + :ids, term_ids FROM image_terms WHERE number <= :ids_end",
    """INSERT INTO documents (rowid, names, tags, caption, objects, text)
       SELECT rowid + :ids, printf('img %07d jpg', rowid + :ids), tags, caption, objects, text
       FROM documents WHERE rowid <= :ids_end""",
    """INSERT INTO looks (number, phash, dhash, signature)
       SELECT number + :ids, random(), random(), randomblob(48) FROM looks WHERE number <= :ids_end""",
)
_FACETS = "UPDATE facets SET count = count * :times_larger"


def grow(database: Path, images: int) -> None:
    """Copies all images until there are ``images``, a whole multiple of what is there."""
    writer = open_database(database, 0)
    try:
        there = _number(writer, "SELECT max(number) FROM images")
        analyses = _number(writer, "SELECT max(id) FROM analyses")
        span_us = _number(writer, "SELECT max(create_time_us) - min(create_time_us) + 1000000 FROM facts")
        for copy in range(1, images // there):
            shift = {
                "ids": copy * there,
                "ids_end": there,
                "analyses": copy * analyses,
                "analyses_end": analyses,
                "times": copy * span_us,
            }
            writer.execute("BEGIN IMMEDIATE")
            for statement in (*_COPY, _sheets(writer)):
                writer.execute(statement, shift)
            writer.execute("COMMIT")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute(_FACETS, {"times_larger": images // there})
        writer.execute("COMMIT")
    finally:
        close_database(writer, sound=True)


def _sheets(connection: sqlite3.Connection) -> str:
    columns = [row[1] for row in connection.execute("PRAGMA table_info(sheets)") if row[1] != "number"]
    names = ", ".join(columns)
    return (
        f"INSERT INTO sheets (number, {names}) SELECT number + :ids, {names} FROM sheets "  # noqa: S608
        "WHERE number <= :ids_end"
    )


def _number(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])
