"""Reads of single images and of their analyses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from services.catalog.model import (
    ANALYZERS,
    AnalysisPage,
    AnalysisRecord,
    ImageRecord,
    PageOrder,
    StartedImage,
)
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.documents import RECORD_PROJECTION, Document, analysis_of, record_of
from services.catalog.mongo.lists import read_results
from services.catalog.names import ImageKey, image_not_found
from services.catalog.store import MAX_ANSWER_BYTES, STARTED_ANALYSES_PER_ANALYZER

NEWEST_FIRST = [("create_time_us", -1), ("sequence", -1)]


async def read_image(database: MongoDatabase, key: ImageKey, *, with_results: bool) -> ImageRecord:
    """See ``CatalogStore.get_image``."""
    document = await _find_image(database, key)
    return record_of(document, await read_results(database, [document]) if with_results else None)


async def read_images(database: MongoDatabase, numbers: Sequence[int]) -> list[ImageRecord]:
    """See ``CatalogStore.get_images``."""
    query = {"_id": {"$in": sorted(set(numbers))}, "visible": True}
    found = await database.collection("images").find(query, RECORD_PROJECTION).to_list(None)
    images = {document["_id"]: record_of(document) for document in found}
    return [images[number] for number in numbers if number in images]


async def read_started(database: MongoDatabase, keys: Sequence[ImageKey]) -> list[StartedImage]:
    """The images that exist, with the newest analyses of their bytes while these fit into an answer."""
    known = await _find_images(database, keys)
    images: list[StartedImage] = []
    room_bytes = MAX_ANSWER_BYTES
    for document in (known[key] for key in keys if key in known):
        analyses: list[AnalysisRecord] = []
        for analyzer in ANALYZERS:
            query = {"sha256": document["sha256"], "analyzer": analyzer}
            for entry in await _read_within(database, query, STARTED_ANALYSES_PER_ANALYZER, room_bytes):
                analyses.append(analysis_of(entry))
                room_bytes -= len(entry["result"])
        images.append(StartedImage(record_of(document), tuple(analyses)))
    return images


async def read_analysis_page(database: MongoDatabase, key: ImageKey, order: PageOrder) -> AnalysisPage:
    """A page of the analyses of an image's bytes, newest first."""
    image = await _find_image(database, key)
    queries: list[Document] = [{"sha256": image["sha256"]}]
    if order.after is not None:
        time_us, sequence = order.after
        place = {"create_time_us": time_us, "sequence": {"$lt": sequence}}
        queries = [queries[0] | place, queries[0] | {"create_time_us": {"$lt": time_us}}]
    page: list[Document] = []
    result_bytes = 0
    for query in queries:
        left = order.size + 1 - len(page)
        page += await _read_within(database, query, left, MAX_ANSWER_BYTES - result_bytes)
        result_bytes = sum(len(entry["result"]) for entry in page)
        if len(page) > order.size or result_bytes > MAX_ANSWER_BYTES:
            break
    return _analysis_page(page, order.size, more=result_bytes > MAX_ANSWER_BYTES)


def _analysis_page(found: list[Document], size: int, *, more: bool) -> AnalysisPage:
    page = found[:size]
    following = (page[-1]["create_time_us"], page[-1]["sequence"]) if page else None
    more = more or len(found) > size
    return AnalysisPage(tuple(analysis_of(entry) for entry in page), following if more else None)


async def _read_within(
    database: MongoDatabase, query: Document, most: int, room_bytes: int
) -> list[Document]:
    """The newest analyses of a query, until their results take more than some room."""
    analyses: list[Document] = []
    if room_bytes < 0:
        return analyses
    cursor = database.collection("analyses").find(query).sort(NEWEST_FIRST).limit(most).batch_size(2)
    try:
        async for analysis in cursor:
            analyses.append(analysis)
            room_bytes -= len(analysis["result"])
            if room_bytes < 0:
                break
    finally:
        await cursor.close()
    return analyses


async def _find_images(database: MongoDatabase, keys: Sequence[ImageKey]) -> dict[ImageKey, Document]:
    images = database.collection("images")
    names = [key.bytes for key in keys if isinstance(key, uuid.UUID)]
    numbers = [key for key in keys if isinstance(key, int)]
    known: dict[ImageKey, Document] = {}
    for field, values in (("uuid", names), ("_id", numbers)):
        query = {field: {"$in": values}, "visible": True}
        for document in await images.find(query, RECORD_PROJECTION).to_list(None) if values else ():
            known[uuid.UUID(bytes=document["uuid"]) if field == "uuid" else document["_id"]] = document
    return known


async def _find_image(database: MongoDatabase, key: ImageKey) -> dict[str, Any]:
    query = {"uuid": key.bytes} if isinstance(key, uuid.UUID) else {"_id": key}
    document = await database.collection("images").find_one(query | {"visible": True}, RECORD_PROJECTION)
    if document is None:
        raise image_not_found(key)
    return dict(document)
