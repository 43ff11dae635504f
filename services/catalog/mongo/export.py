"""Rows of an export out of MongoDB: documents by number, projected to what is asked for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.catalog.conditions import Condition
from services.catalog.export.columns import FORMAT_NAMES, LABEL_PREFIX, STATE_NAMES, Value
from services.catalog.export.lines import Lines, as_lines
from services.catalog.findings import Sheet
from services.catalog.mongo.conditions import compile_condition
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.indexes import BY_NUMBER

Document = dict[str, Any]
Get = Callable[[Document], Value]
# Numbers that one read looks at, so that it ends in time where few images meet the condition.
_WINDOW = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def read_rows(
    database: MongoDatabase, condition: Condition, columns: Sequence[str], size: int, after: int
) -> tuple[list[tuple[Any, ...]], int | None]:
    """See ``CatalogStore.export_rows``, within ``MongoDatabase.run``; for ``Lines`` each row is one text."""
    images = database.collection("images")
    newest = await images.find({"visible": True}, {"_id": 1}).sort("_id", -1).hint(BY_NUMBER).to_list(1)
    last = newest[0]["_id"] if newest else 0
    within = {"visible": True, "_id": {"$gt": after, "$lte": min(last, after + _WINDOW)}}
    wanted = {"$and": [within, compile_condition(condition)]}
    found = images.find(wanted, _projection(columns)).sort("_id", 1).hint(BY_NUMBER).limit(size)
    documents = await found.to_list(size)
    getters = [_getter(name) for name in columns]
    rows = [tuple([get(document) for get in getters]) for document in documents]
    end = documents[-1]["_id"] if len(documents) == size else min(last, after + _WINDOW)
    return as_lines(columns, rows) if isinstance(columns, Lines) else rows, end if end < last else None


def _projection(columns: Sequence[str]) -> dict[str, int]:
    return dict.fromkeys((_field(name) for name in columns), 1)


def _field(name: str) -> str:
    if name.startswith(LABEL_PREFIX):
        return "labels"
    if name in Sheet._fields:
        return f"sheet.{name}"
    return _FIELDS.get(name, name)


def _getter(name: str) -> Get:
    if name.startswith(LABEL_PREFIX):
        key = name.removeprefix(LABEL_PREFIX)
        return lambda document: dict(document["labels"]).get(key)
    if name in Sheet._fields:
        return lambda document: document.get("sheet", {}).get(name)
    return _GETTERS.get(name) or (lambda document: document[name])


def _time(time_us: int | None) -> str | None:
    if time_us is None:
        return None
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_FIELDS = {
    "name": "uuid",
    "number": "_id",
    "create_time": "create_time_us",
    "update_time": "update_time_us",
    "process_time": "process_time_us",
    "taken_time": "sheet.taken_time_us",
}
_GETTERS: dict[str, Get] = {
    "name": lambda document: f"images/{uuid.UUID(bytes=document['uuid'])}",
    "number": lambda document: document["_id"],
    "state": lambda document: STATE_NAMES.get(document["state"]),
    "format": lambda document: FORMAT_NAMES.get(document["format"]),
    "labels": lambda document: json.dumps(
        dict(document["labels"]), ensure_ascii=False, separators=(",", ":")
    ),
    "create_time": lambda document: _time(document["create_time_us"]),
    "update_time": lambda document: _time(document["update_time_us"]),
    "process_time": lambda document: _time(document["process_time_us"]),
    "taken_time": lambda document: _time(document.get("sheet", {}).get("taken_time_us")),
}
