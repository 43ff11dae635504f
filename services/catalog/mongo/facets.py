"""How often values occur, and the stats: read from counters."""

from __future__ import annotations

from services.catalog.conditions import TermField
from services.catalog.model import CatalogStats, FacetPage
from services.catalog.mongo.conditions import Filter
from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.desk import COUNTERS
from services.catalog.states import ImageState

FACET_ORDER = [("count", -1), ("value", 1)]


async def read_facets(
    database: MongoDatabase, field: TermField, batch: str, size: int, after: tuple[int, str] | None
) -> FacetPage:
    """See ``CatalogStore.list_facets``."""
    found: list[tuple[str, int]] = []
    for query in facet_queries(field, batch, after):
        cursor = database.collection("facets").find(query, {"count": 1, "value": 1})
        rows = await cursor.sort(FACET_ORDER).limit(size + 1 - len(found)).to_list(None)
        found += [(row["value"], row["count"]) for row in rows]
        if len(found) > size:
            break
    page = found[:size]
    return FacetPage(tuple(page), (page[-1][1], page[-1][0]) if len(found) > size and page else None)


def facet_queries(field: TermField, batch: str, after: tuple[int, str] | None) -> list[Filter]:
    """What to read one after the other: the rest of those as frequent as the last one, then the rarer."""
    scope = {"scope": batch, "field": field}
    if after is None:
        return [scope]
    count, value = after
    return [{**scope, "count": count, "value": {"$gt": value}}, {**scope, "count": {"$lt": count}}]


async def read_stats(database: MongoDatabase) -> CatalogStats:
    """See ``CatalogStore.read_stats``."""
    counters = await database.collection("counters").find_one({"_id": COUNTERS}) or {}
    states = {int(key): count for key, count in counters.get("states", {}).items() if count}
    formats = {int(key): count for key, count in counters.get("formats", {}).items() if count}
    return CatalogStats(
        image_count=counters.get("images", 0),
        blob_count=counters.get("blobs", 0),
        blob_bytes=counters.get("blob_bytes", 0),
        analysis_count=counters.get("analyses", 0),
        states={ImageState(key): states[key] for key in sorted(states)},
        formats={key: formats[key] for key in sorted(formats)},
        store=f"mongodb {database.version}",
    )
