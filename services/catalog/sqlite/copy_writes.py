"""Records of a migration into the tables of SQLite, with everything that follows from them."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from services.catalog.migration.records import Kind, Record, face_of, image_of, person_of
from services.catalog.model import ANALYZERS
from services.catalog.sqlite.blobs import refer_to_blob, show_blob
from services.catalog.sqlite.counters import add_counts
from services.catalog.sqlite.faces import SqlitePeopleRows, at_once
from services.catalog.sqlite.findings import keep_findings
from services.catalog.sqlite.known import load_images, load_results, select_in, shown_ids


def write_records(connection: sqlite3.Connection, kind: Kind, records: Sequence[Record], now_us: int) -> None:
    """See ``CatalogCopy.write``; within a change of the store."""
    if kind.name == "images":
        _write_images(connection, records, now_us)
    elif kind.name in _WRITERS:
        _WRITERS[kind.name](connection, records)
    else:
        _insert(connection, kind.name, kind.fields, records)


def _write_blobs(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    # Without the counts, which grow with the images.
    fields = ("blob_key", "size_bytes", "fate", "generation", "garbage_since_us")
    connection.executemany(
        f"INSERT OR IGNORE INTO blobs (sha256, {', '.join(fields)}) VALUES (?, ?, ?, ?, ?, ?)",
        [(bytes.fromhex(record["sha256"]), *_values(record, fields)) for record in records],
    )


def _write_analyses(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    blobs = _blob_ids(connection, records)
    fields = ("analyzer", "version", "settings_digest", "create_time_us", "elapsed_us", "result")
    connection.executemany(
        f"INSERT OR IGNORE INTO analyses (id, blob_id, {', '.join(fields)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(record["sequence"], blobs[record["sha256"]], *_values(record, fields)) for record in records],
    )


def _write_images(connection: sqlite3.Connection, records: Sequence[Record], now_us: int) -> None:
    numbers = [record["number"] for record in records]
    stored = {row[0] for row in select_in(connection, "SELECT number FROM images WHERE number IN", numbers)}
    new = [record for record in records if record["number"] not in stored]
    for record in new:
        _insert_image(connection, record)
    visible = [record for record in new if record["delete_time_us"] is None]
    for record in visible:
        add_counts(
            connection, {("images", 0): 1, ("state", record["state"]): 1, ("format", record["format"]): 1}
        )
    known = load_images(connection, [record["number"] for record in visible])
    results = load_results(connection, shown_ids(known.values()))
    # Faces are records of their own.
    keep_findings(connection, list(known.values()), results, now_us)


def _insert_image(connection: sqlite3.Connection, record: Record) -> None:
    image = image_of(record)
    (generation,) = connection.execute(
        "SELECT generation FROM blobs WHERE sha256 = ?", (bytes.fromhex(image.sha256),)
    ).fetchone()
    blob_id = refer_to_blob(connection, image, generation)
    if record["delete_time_us"] is not None:
        show_blob(connection, blob_id, -1)
    row = {
        "blob_id": blob_id,
        "labels": json.dumps(
            dict(record["labels"]), ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ),
        "request_id": record["request_id"] or None,
        **{f"{analyzer}_id": _analysis_id(connection, blob_id, analyzer, record) for analyzer in ANALYZERS},
    }
    left_out = {"sha256", "blob_key", *ANALYZERS}
    row = {field: value for field, value in record.items() if field not in left_out} | row
    _insert(connection, "images", tuple(row), [row])


def _analysis_id(connection: sqlite3.Connection, blob_id: int, analyzer: str, record: Record) -> int | None:
    if record[analyzer] is None:
        return None
    row = connection.execute(
        "SELECT id FROM analyses WHERE blob_id = ? AND analyzer = ? AND version = ? AND settings_digest = ?",
        (blob_id, analyzer, *record[analyzer]),
    ).fetchone()
    # One that the source lacks itself is found by the comparison.
    return int(row[0]) if row else None


def _write_people(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    rows = SqlitePeopleRows(connection)
    for record in records:
        at_once(rows.put_person(person_of(record)))


def _write_faces(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    rows = SqlitePeopleRows(connection)
    for record in records:
        at_once(rows.put_face(face_of(record)))


def _write_items(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    batches = _batch_ids(connection, records)
    rows = [
        {"id": (batches[record["batch"]] << 32) + record["row"], "batch_id": batches[record["batch"]]}
        | {field: value for field, value in record.items() if field not in {"batch", "row"}}
        for record in records
    ]
    _insert(connection, "items", tuple(rows[0]), rows)


def _write_chunks(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    batches = _batch_ids(connection, records)
    rows = [
        {"batch_id": batches[record["batch"]]}
        | {field: value for field, value in record.items() if field != "batch"}
        for record in records
    ]
    _insert(connection, "chunks", tuple(rows[0]), rows)


def _write_result_sets(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    # Without the number of rows, which grows with them.
    _insert(connection, "result_sets", ("kind", "name", "next_sequence"), records)


def _write_result_rows(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    sets = {
        (kind, name): set_id
        for set_id, kind, name in connection.execute("SELECT id, kind, name FROM result_sets")
    }
    rows = [
        {"set_id": sets[record["kind"], record["name"]]}
        | {field: value for field, value in record.items() if field not in {"kind", "name"}}
        | {"objects": json.dumps(record["objects"], ensure_ascii=False)}
        for record in records
    ]
    _insert(connection, "result_rows", tuple(rows[0]), rows)


def _write_marks(connection: sqlite3.Connection, records: Sequence[Record]) -> None:
    marks = {record["name"]: record["value"] for record in records}
    connection.execute("REPLACE INTO marks VALUES ('people', ?)", (marks["people"],))
    # SQLite's own table has no key to insert or replace by.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'images'")
    connection.execute("INSERT INTO sqlite_sequence VALUES ('images', ?)", (marks["images"],))


def _insert(
    connection: sqlite3.Connection, table: str, fields: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    connection.executemany(
        f"INSERT OR IGNORE INTO {table} ({', '.join(fields)}) VALUES (:{', :'.join(fields)})", rows
    )


def _values(record: Record, fields: Sequence[str]) -> list[object]:
    return [record[field] for field in fields]


def _blob_ids(connection: sqlite3.Connection, records: Sequence[Record]) -> dict[str, int]:
    digests = [bytes.fromhex(digest) for digest in {record["sha256"] for record in records}]
    rows = select_in(connection, "SELECT sha256, id FROM blobs WHERE sha256 IN", digests)
    return {digest.hex(): blob_id for digest, blob_id in rows}


def _batch_ids(connection: sqlite3.Connection, records: Sequence[Record]) -> dict[bytes, int]:
    names = list({record["batch"] for record in records})
    return dict(select_in(connection, "SELECT uuid, id FROM batches WHERE uuid IN", names))


_WRITERS: dict[str, Callable[[sqlite3.Connection, Sequence[Record]], None]] = {
    "blobs": _write_blobs,
    "analyses": _write_analyses,
    "people": _write_people,
    "faces": _write_faces,
    "items": _write_items,
    "chunks": _write_chunks,
    "result_sets": _write_result_sets,
    "result_rows": _write_result_rows,
    "marks": _write_marks,
}
