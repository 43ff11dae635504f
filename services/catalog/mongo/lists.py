"""Pages of images: which index to walk, and the queries that walk it.

Every list is a walk along an index in the order of the answer. A page goes on after its place with two walks:
the rest of those with the same key, then those beyond it. So each has plain bounds, and nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.catalog.conditions import All, AnyOf, Condition, SameBytes
from services.catalog.hidden_rules import check_hidden
from services.catalog.model import ImagePage, ImageQuery, ImageRecord, PageOrder, Position
from services.catalog.mongo.conditions import Filter, compile_condition, leading_terms
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.desk import COUNTERS
from services.catalog.mongo.documents import RECORD_PROJECTION, Document, record_of
from services.catalog.mongo.indexes import BY_BYTES, BY_QUALITY, BY_SIZE, BY_TERM, BY_TIME
from services.catalog.store import MAX_ANSWER_BYTES

_RESULTS_AT_ONCE = 16
_ORDERED = {"size_bytes": BY_SIZE, "quality": BY_QUALITY}


@dataclass(frozen=True, slots=True)
class Walk:
    """A query that walks an index in the order of ``sort``."""

    query: Filter
    sort: tuple[tuple[str, int], ...]
    index: str


async def read_page(
    database: MongoDatabase, query: ImageQuery, order: PageOrder, *, with_results: bool
) -> ImagePage:
    """See ``CatalogStore.list_images``."""
    found: list[Document] = []
    for walk in walks(query, order):
        cursor = database.collection("images").find(walk.query, RECORD_PROJECTION | {order.key: 1})
        left = order.size + 1 - len(found)
        found += await cursor.sort(list(walk.sort)).hint(walk.index).limit(left).to_list(None)
        if len(found) > order.size:
            break
    page = found[: order.size]
    images = await with_their_results(database, page) if with_results else [record_of(doc) for doc in page]
    more = len(found) > len(images)
    counters = await database.collection("counters").find_one({"_id": COUNTERS}, {"images": 1}) or {}
    return ImagePage(
        tuple(images), _position(found[len(images) - 1], order) if more else None, counters.get("images", 0)
    )


def walks(query: ImageQuery, order: PageOrder) -> Iterator[Walk]:
    """The walks that together give the page, one after the other."""
    if query.with_hidden:
        check_hidden(query.condition, order.key)
    index, leading = _index(query.condition, order)
    compiled = [leading, compile_condition(query.condition)]
    visible = {"visible": {"$in": [False, True]} if query.with_hidden else True}
    direction = -1 if order.descending else 1
    sort = ((order.key, direction), ("_id", direction))
    parts = [part for part in compiled if part]
    if order.after is None:
        yield Walk(_query(visible, parts), sort, index)
        return
    key, number = order.after
    beyond = "$lt" if order.descending else "$gt"
    places: tuple[Filter, ...] = ({order.key: key, "_id": {beyond: number}}, {order.key: {beyond: key}})
    for place in places:
        yield Walk(_query(visible, [place, *parts]), sort, index)


async def with_their_results(database: MongoDatabase, documents: Sequence[Document]) -> list[ImageRecord]:
    """The images with what they show, as many as fit into an answer."""
    images: list[ImageRecord] = []
    result_bytes = 0
    for start in range(0, len(documents), _RESULTS_AT_ONCE):
        chunk = documents[start : start + _RESULTS_AT_ONCE]
        results = await read_results(database, chunk)
        for document in chunk:
            if result_bytes > MAX_ANSWER_BYTES:
                return images
            image = record_of(document, results)
            images.append(image)
            result_bytes += len(image.insights or b"") + len(image.caption or b"")
    return images


async def read_results(database: MongoDatabase, documents: Sequence[Document]) -> Mapping[str, bytes]:
    """The results that some images show, by the keys of the analyses."""
    keys = sorted({key for document in documents for key in document["shown"].values()})
    if not keys:
        return {}
    cursor = database.collection("analyses").find({"_id": {"$in": keys}}, {"result": 1})
    return {document["_id"]: document["result"] for document in await cursor.to_list(None)}


def _index(condition: Condition, order: PageOrder) -> tuple[str, Filter]:
    """The index to walk, and what it needs besides the condition."""
    if order.key in _ORDERED:
        return _ORDERED[order.key], {}
    parts = condition.parts if isinstance(condition, All) else (condition,)
    if any(isinstance(part, SameBytes) for part in parts):
        return BY_BYTES, {}
    # One value alone needs one walk only, so it comes before several alternatives.
    for part in sorted(parts, key=lambda part: isinstance(part, AnyOf)):
        values = leading_terms(part)
        if values:
            return BY_TERM, {"terms": values[0] if len(values) == 1 else {"$in": values}}
    return BY_TIME, {}


def _query(visible: Filter, parts: Sequence[Filter]) -> Filter:
    return {**visible, "$and": list(parts)} if parts else visible


def _position(document: Mapping[str, Any], order: PageOrder) -> Position:
    return document[order.key], document["_id"]
