"""Records of a migration from the collections of MongoDB, each page along an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.catalog.migration.copy import MAX_PAGE_BYTES
from services.catalog.migration.records import Key, Kind, Record
from services.catalog.model import ANALYZERS
from services.catalog.mongo.caption_records import total_id
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.desk import COUNTERS
from services.catalog.mongo.documents import SEPARATOR, Document

Query = dict[str, Any]
# What a page gets from the server at a time: results may be large.
_BATCH_SIZE = 50


async def read_records(database: MongoDatabase, kind: Kind, after: Key, most: int) -> list[Record]:
    """See ``CatalogCopy.read``."""
    if kind.name == "marks":
        return [record for record in await _read_marks(database) if kind.key_of(record) > after]
    records: list[Record] = []
    room_bytes = MAX_PAGE_BYTES
    for query, order in _walks(kind, after):
        limit = most - len(records)
        if not limit:
            break
        cursor = database.collection(kind.name).find(query).sort(order).limit(limit).batch_size(_BATCH_SIZE)
        try:
            async for document in cursor:
                records.append(_record(kind, document))
                room_bytes -= len(document.get("result", b""))
                if room_bytes < 0:
                    return records
        finally:
            await cursor.close()
    return records


def _walks(kind: Kind, after: Key) -> list[tuple[Query, list[tuple[str, int]]]]:
    """Queries and their orders, one after the other, that give what is above a key."""
    if kind.name in {"items", "chunks"}:
        batch, place = after
        field = kind.fields[1]
        order = [("batch", 1), (field, 1)]
        return [({"batch": batch, field: {"$gt": place}}, order), ({"batch": {"$gt": batch}}, order)]
    if kind.name == "result_rows":
        name, scene, image = ":".join(map(str, after[:2])), *after[2:]
        order = [("set", 1), ("scene_path", 1), ("image_path", 1)]
        return [
            ({"set": name, "scene_path": scene, "image_path": {"$gt": image}}, order),
            ({"set": name, "scene_path": {"$gt": scene}}, order),
            ({"set": {"$gt": name}}, order),
        ]
    if kind.name == "caption_totals":
        period, provider = after
        order = [("period", 1), ("provider", 1)]
        return [
            ({"period": period, "provider": {"$gt": provider}}, order),
            ({"period": {"$gt": period}}, order),
        ]
    return [({"_id": {"$gt": document_id(kind, after)}}, [("_id", 1)])]


def document_id(kind: Kind, key: Key) -> object:
    """The key of a document, where it is that of the record."""
    if kind.name == "analyses":
        return SEPARATOR.join(map(str, key))
    if kind.name == "result_sets":
        return ":".join(map(str, key))
    if kind.name == "caption_totals":
        return total_id(*map(str, key))
    return key[0]


async def _read_marks(database: MongoDatabase) -> list[Record]:
    counters = await database.collection("counters").find_one({"_id": COUNTERS}) or {}
    people = await database.collection("marks").find_one({"_id": "people"}) or {}
    return [
        {"name": "images", "value": counters.get("number", 0)},
        {"name": "people", "value": people.get("value", 0)},
    ]


def _record(kind: Kind, document: Document) -> Record:
    special = _SPECIAL.get(kind.name)
    values = {**document, **(special(document) if special else {})}
    if kind.fields[0] not in values:
        values[kind.fields[0]] = document["_id"]
    return {field: values[field] for field in kind.fields}


def _blob(document: Document) -> Mapping[str, object]:
    return {"garbage_since_us": document.get("garbage_since_us")}


def _image(document: Document) -> Mapping[str, object]:
    shown = {analyzer: document["shown"].get(analyzer) for analyzer in ANALYZERS}
    return {
        "labels": sorted(map(list, document["labels"])),
        "delete_time_us": document.get("delete_time_us"),
        **{analyzer: key and key.split(SEPARATOR)[2:] for analyzer, key in shown.items()},
    }


def _batch(document: Document) -> Mapping[str, object]:
    usage = dict(zip(("input_tokens", "output_tokens", "cost_micros"), document["usage"], strict=True))
    return {"request_id": document.get("request_id", ""), **usage}


def _set(document: Document) -> Mapping[str, object]:
    kind, _, name = document["_id"].partition(":")
    return {"kind": kind, "name": name}


def _row(document: Document) -> Mapping[str, object]:
    kind, _, name = document["set"].partition(":")
    return {"kind": kind, "name": name}


_SPECIAL: dict[str, Callable[[Document], Mapping[str, object]]] = {
    "blobs": _blob,
    "images": _image,
    "batches": _batch,
    "result_sets": _set,
    "result_rows": _row,
}
