"""What an image counts for, so that counters follow from the difference between before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pymongo import UpdateOne

from services.catalog.mongo.documents import SEPARATOR, Document, counted_terms

Tally = Counter[tuple[str, ...]]
"""Counts by kind and key: ("ref", sha256), ("live", sha256), ("stat", field) and ("facet", scope, field,
value)."""


def tally_of(document: Document | None) -> Tally:
    """What an image adds to all counters; None for one that is not there."""
    tally: Tally = Counter()
    if document is None:
        return tally
    tally["ref", document["sha256"]] = 1
    if not document["visible"]:
        return tally
    tally["live", document["sha256"]] = 1
    for stat in ("images", f"states.{document['state']}", f"formats.{document['format']}"):
        tally["stat", stat] = 1
    for field, value in counted_terms(document):
        for scope in {"", document["batch"]}:
            tally["facet", scope, field, value] = 1
    return tally


def facet_id(scope: str, field: str, value: str) -> str:
    """The key of a counter of values."""
    return SEPARATOR.join((scope, field, value))


def facet_updates(changes: Mapping[tuple[str, ...], int]) -> list[UpdateOne]:
    """Adds to the counters of values, always in the same order."""
    return [
        UpdateOne(
            {"_id": facet_id(scope, field, value)},
            {"$inc": {"count": change}, "$setOnInsert": {"scope": scope, "field": field, "value": value}},
            upsert=True,
        )
        for (_, scope, field, value), change in sorted(changes.items())
    ]


def blob_update(blob: Document, refs: int, live: int, now_us: int) -> tuple[Document, Counter[str]]:
    """A blob after changes of its counts, and what that changes in the stats besides analyses."""
    after = {**blob, "ref_count": blob["ref_count"] + refs, "live_count": blob["live_count"] + live}
    after["repeated"] = after["live_count"] > 1
    if after["ref_count"]:
        after.pop("garbage_since_us", None)
        after["fate"] = 0
    else:
        after["garbage_since_us"] = now_us
    shown = bool(after["live_count"]) - bool(blob["live_count"])
    return after, Counter({"blobs": shown, "blob_bytes": shown * blob["size_bytes"]})


def new_blob(sha256: str, blob_key: str, size_bytes: int) -> dict[str, Any]:
    """Bytes that nothing refers to yet."""
    return {
        "_id": sha256,
        "blob_key": blob_key,
        "size_bytes": size_bytes,
        "ref_count": 0,
        "live_count": 0,
        "fate": 0,
        "generation": 0,
        "repeated": False,
    }
