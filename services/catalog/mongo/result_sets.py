"""Result sets in MongoDB. The port's docstrings are the spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne

from services.catalog.mongo.database import MongoDatabase, MongoIndex, Session
from services.catalog.result_sets import (
    ResultRow,
    RowPage,
    RowPlace,
    SetKey,
    check_count,
    check_key,
    check_page,
    check_rows,
    cut_page,
)

INDEXES = (
    MongoIndex(
        "result_rows",
        [("set", 1), ("scene_path", 1), ("image_path", 1)],
        {"name": "by_paths", "unique": True},
    ),
    MongoIndex("result_rows", [("set", 1), ("sequence", 1)], {"name": "by_sequence"}),
)
ORDERS = {
    "json": ([("sequence", 1)], "by_sequence"),
    "sql": ([("scene_path", 1), ("image_path", 1)], "by_paths"),
}
"""How the rows of a kind are sorted, and the index that gives this order."""


class MongoResultSets:
    """``ResultSetStore`` on the database that the catalog's stores share.

    Rows can be sharded by ``set``, which is the kind, a colon and the name.
    """

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def put_rows(self, key: SetKey, rows: Sequence[ResultRow]) -> int:
        """See ``ResultSetStore``."""
        check_key(key)
        kept = check_rows(rows)
        return await self._database.change(lambda session: self._put(session, key, kept))

    async def list_rows(self, key: SetKey, size: int, after: RowPlace | None = None) -> RowPage:
        """See ``ResultSetStore``."""
        check_page(key, size, after)

        async def read() -> RowPage:
            known = await self._find(None, key)
            found: list[dict[str, Any]] = []
            order, index = ORDERS[key.kind]
            for condition in page_conditions(key, after):
                cursor = self._database.collection("result_rows").find(condition).sort(order)
                found += await cursor.hint(index).limit(size + 1 - len(found)).to_list(None)
                if len(found) > size:
                    break
            return cut_page(key, [_row(document) for document in found], size, known["row_count"])

        return await self._database.run(read)

    async def count_rows(self, key: SetKey) -> int:
        """See ``ResultSetStore``."""
        check_key(key)
        count: int = (await self._database.run(lambda: self._find(None, key)))["row_count"]
        return count

    async def has_set(self, key: SetKey) -> bool:
        """See ``ResultSetStore``."""
        return await self.count_rows(key) > 0

    async def _find(self, session: Session, key: SetKey) -> dict[str, Any]:
        known = await self._database.collection("result_sets").find_one({"_id": _id(key)}, session=session)
        return known or {"next_sequence": 1, "row_count": 0}

    async def _put(self, session: Session, key: SetKey, rows: Sequence[ResultRow]) -> int:
        known = await self._find(session, key)
        changes = [
            UpdateOne(
                {"set": _id(key), "scene_path": row.scene_path, "image_path": row.image_path},
                {
                    "$set": {
                        "description": row.description,
                        "objects": list(row.objects),
                        "time_us": row.time_us,
                    },
                    "$setOnInsert": {"sequence": sequence},
                },
                upsert=True,
            )
            for sequence, row in enumerate(rows, known["next_sequence"])
        ]
        stored = await self._database.collection("result_rows").bulk_write(
            changes, ordered=False, session=session
        )
        new: int = stored.upserted_count
        check_count(known["row_count"] + new)
        await self._database.collection("result_sets").update_one(
            {"_id": _id(key)},
            {"$inc": {"row_count": new}, "$set": {"next_sequence": known["next_sequence"] + len(rows)}},
            upsert=True,
            session=session,
        )
        return new


def page_conditions(key: SetKey, after: RowPlace | None) -> list[dict[str, Any]]:
    """The walks of a page, one after the other, each in the order of the set."""
    condition: dict[str, Any] = {"set": _id(key)}
    if after is None:
        return [condition]
    if isinstance(after, int):
        return [{**condition, "sequence": {"$gt": after}}]
    scene_path, image_path = after
    return [
        {**condition, "scene_path": scene_path, "image_path": {"$gt": image_path}},
        {**condition, "scene_path": {"$gt": scene_path}},
    ]


def _id(key: SetKey) -> str:
    return f"{key.kind}:{key.name}"


def _row(document: dict[str, Any]) -> tuple[int, ResultRow]:
    return document["sequence"], ResultRow(
        document["scene_path"],
        document["image_path"],
        document["description"],
        tuple(document["objects"]),
        document["time_us"],
    )
