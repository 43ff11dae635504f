"""The indexes of the catalog's own collections: every list, filter and search walks one of them in order."""

from __future__ import annotations

from services.catalog.mongo.schema import MongoIndex

BY_TIME = "by_time"
BY_TERM = "by_term"
BY_SIZE = "by_size"
BY_QUALITY = "by_quality"
BY_BYTES = "by_bytes"
BY_WORD = "by_word"
BY_NUMBER = "by_number"

INDEXES: tuple[MongoIndex, ...] = (
    # The facts stand behind the order, so that what does not match costs one step of the walk.
    MongoIndex(
        "images",
        (
            ("visible", 1),
            ("create_time_us", 1),
            ("_id", 1),
            ("state", 1),
            ("format", 1),
            ("size_bytes", 1),
            ("width", 1),
            ("height", 1),
            ("quality", 1),
            ("face_count", 1),
            ("blur", 1),
            ("scene", 1),
            ("has_text", 1),
            ("name", 1),
        ),
        {"name": BY_TIME},
    ),
    MongoIndex(
        "images", (("visible", 1), ("terms", 1), ("create_time_us", 1), ("_id", 1)), {"name": BY_TERM}
    ),
    MongoIndex("images", (("visible", 1), ("size_bytes", 1), ("_id", 1)), {"name": BY_SIZE}),
    MongoIndex("images", (("visible", 1), ("quality", 1), ("_id", 1)), {"name": BY_QUALITY}),
    MongoIndex(
        "images", (("visible", 1), ("sha256", 1), ("create_time_us", 1), ("_id", 1)), {"name": BY_BYTES}
    ),
    MongoIndex("images", (("visible", 1), ("words", 1), ("_id", 1)), {"name": BY_WORD}),
    MongoIndex("images", (("visible", 1), ("_id", 1)), {"name": BY_NUMBER}),
    MongoIndex("images", (("uuid", 1),), {}),
    MongoIndex(
        "images",
        (("delete_time_us", 1), ("_id", 1)),
        {"partialFilterExpression": {"delete_time_us": {"$gt": 0}}},
    ),
    MongoIndex("analyses", (("sha256", 1), ("create_time_us", 1), ("sequence", 1)), {}),
    MongoIndex("analyses", (("sha256", 1), ("analyzer", 1), ("create_time_us", 1), ("sequence", 1)), {}),
    MongoIndex(
        "blobs",
        (("fate", 1), ("garbage_since_us", 1), ("_id", 1)),
        {"partialFilterExpression": {"garbage_since_us": {"$gt": 0}}},
    ),
    MongoIndex(
        "blobs",
        (("repeated", 1), ("_id", 1)),
        {"partialFilterExpression": {"repeated": True}},
    ),
    MongoIndex("facets", (("scope", 1), ("field", 1), ("count", -1), ("value", 1)), {}),
    MongoIndex("looks", (("sequence", 1),), {}),
)
