"""Records of a migration from the tables of SQLite, each page along an index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from services.catalog.migration.copy import MAX_PAGE_BYTES
from services.catalog.migration.records import Key, Kind, Record


class _Walk(NamedTuple):
    """Rows above a key: ``conditions`` one after the other, each with how many parts of the key it takes."""

    select: str
    order: str
    conditions: tuple[tuple[str, slice], ...]


_IMAGES = """i.number, i.uuid, lower(hex(b.sha256)), b.blob_key, i.size_bytes, i.format, i.width, i.height,
    i.frame_count, i.color_mode, i.display_name, i.labels, i.batch, i.process_options,
    coalesce(i.request_id, ''), i.state, i.error, i.corrections, i.create_time_us, i.update_time_us,
    i.process_time_us, i.delete_time_us, i.revision,
    CASE WHEN n.id IS NOT NULL THEN json_array(n.version, n.settings_digest) END,
    CASE WHEN c.id IS NOT NULL THEN json_array(c.version, c.settings_digest) END
    FROM images i JOIN blobs b ON b.id = i.blob_id
    LEFT JOIN analyses n ON n.id = i.insights_id LEFT JOIN analyses c ON c.id = i.caption_id"""
_BLOBS = """lower(hex(sha256)), blob_key, size_bytes, fate, generation, garbage_since_us, ref_count,
    live_count FROM blobs"""
_ANALYSES = """lower(hex(b.sha256)), a.analyzer, a.version, a.settings_digest, a.id, a.create_time_us,
    a.elapsed_us, a.result FROM blobs b CROSS JOIN analyses a ON a.blob_id = b.id"""
_FACES = """uuid, number, image, json_array(x, y, width, height), confidence, descriptor, person, by_hand,
    decision, visible, coalesce(request_id, '') FROM faces"""
_ITEMS = """b.uuid, i.id & 4294967295, i.state, i.attempt_count, i.update_time_us, i.image, i.url, i.columns,
    i.error FROM batches b
    CROSS JOIN items i ON i.id BETWEEN b.id << 32 AND (b.id << 32) + 4294967295"""
_CHUNKS = """b.uuid, c.number, c.generation, c.attempt, c.item_rows, c.create_time_us, c.done_time_us,
    c.successor FROM batches b CROSS JOIN chunks c ON c.batch_id = b.id"""
_ROWS = """s.kind, s.name, r.scene_path, r.image_path, r.sequence, r.description, r.objects, r.time_us
    FROM result_sets s CROSS JOIN result_rows r ON r.set_id = s.id"""
_MARKS = """name, value FROM (
    SELECT 'images' AS name, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'images'), 0) AS value
    UNION ALL SELECT name, value FROM marks WHERE name = 'people')"""

_ALL, _FIRST = slice(None), slice(1)
_WALKS = {
    "blobs": _Walk(_BLOBS, "blobs.sha256", (("blobs.sha256 > ?", _ALL),)),
    "analyses": _Walk(
        _ANALYSES,
        "b.sha256, a.analyzer, a.version, a.settings_digest",
        (
            ("b.sha256 = ? AND (a.analyzer, a.version, a.settings_digest) > (?, ?, ?)", _ALL),
            ("b.sha256 > ?", _FIRST),
        ),
    ),
    "images": _Walk(_IMAGES, "i.number", (("i.number > ?", _ALL),)),
    "people": _Walk("", "uuid", (("uuid > ?", _ALL),)),
    "faces": _Walk(_FACES, "uuid", (("uuid > ?", _ALL),)),
    "batches": _Walk("", "uuid", (("uuid > ?", _ALL),)),
    "items": _Walk(
        _ITEMS, "b.uuid, i.id", (("b.uuid = ? AND i.id > (b.id << 32) + ?", _ALL), ("b.uuid > ?", _FIRST))
    ),
    "chunks": _Walk(
        _CHUNKS, "b.uuid, c.number", (("b.uuid = ? AND c.number > ?", _ALL), ("b.uuid > ?", _FIRST))
    ),
    "result_sets": _Walk("", "kind, name", (("(kind, name) > (?, ?)", _ALL),)),
    "result_rows": _Walk(
        _ROWS,
        "s.kind, s.name, r.scene_path, r.image_path",
        (
            ("s.kind = ? AND s.name = ? AND (r.scene_path, r.image_path) > (?, ?)", _ALL),
            ("(s.kind, s.name) > (?, ?)", slice(2)),
        ),
    ),
    "caption_cache": _Walk("", "key", (("key > ?", _ALL),)),
    "caption_calls": _Walk("", "id", (("id > ?", _ALL),)),
    "caption_totals": _Walk("", "period, provider", (("(period, provider) > (?, ?)", _ALL),)),
    "caption_usage": _Walk("", "place", (("place > ?", _ALL),)),
    "marks": _Walk(_MARKS, "name", (("name > ?", _ALL),)),
}
_AS: dict[str, dict[str, Callable[[Any], object]]] = {
    "images": {"labels": lambda text: sorted(map(list, json.loads(text).items()))},
    "people": {"look": bool, "hidden": bool},
    "faces": {"box": json.loads, "by_hand": bool, "visible": bool},
    "result_rows": {"objects": json.loads},
}
for _field in ("insights", "caption"):
    _AS["images"][_field] = lambda text: text and json.loads(text)


def read_records(connection: sqlite3.Connection, kind: Kind, after: Key, most: int) -> list[Record]:
    """See ``CatalogCopy.read``."""
    walk = _WALKS[kind.name]
    select = walk.select or f"{', '.join(kind.fields)} FROM {kind.name}"
    conversions = _AS.get(kind.name, {})
    # Digests are text in records, and bytes in tables.
    place = (bytes.fromhex(str(after[0])), *after[1:]) if kind.fields[0] == "sha256" else after
    records: list[Record] = []
    room_bytes = MAX_PAGE_BYTES
    for condition, parts in walk.conditions:
        statement = f"SELECT {select} WHERE {condition} ORDER BY {walk.order} LIMIT ?"
        # Row by row, because results may be large.
        for row in connection.execute(statement, (*place[parts], most - len(records))):
            record = dict(zip(kind.fields, row, strict=True))
            for field, convert in conversions.items():
                record[field] = convert(record[field])
            records.append(record)
            room_bytes -= len(record.get("result", b""))
            if room_bytes < 0:
                return records
    return records
