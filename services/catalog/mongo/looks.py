"""How images look, and which look alike, in MongoDB."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ReplaceOne

from services.catalog.model import Look, LookPair, LookRow
from services.catalog.mongo.database import MongoDatabase, MongoIndex
from services.catalog.mongo.indexes import BY_BYTES

# The rest is found by the keys, or by the indexes of the store of images.
INDEXES: tuple[MongoIndex, ...] = ()
_MARK = "compared_through"
_UNSIGNED = 2**64 - 1
_MOST_NUMBERS = 1_000
# Pairs are keyed by both numbers as bytes, which stand in the order of the numbers.
_PAIR = struct.Struct(">qq")


class MongoLooks:
    """See ``LookStore``. The collection of looks is written by the store of images."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def read_looks(self, after: int, most: int) -> list[LookRow]:
        """See the port."""
        found = await self._find(
            "looks", {"sequence": {"$gt": after}}, "sequence_1", (("sequence", 1),), most
        )
        return [_row(document) for document in found]

    async def look_of(self, number: int) -> LookRow | None:
        """See the port."""
        document = await self._database.run(
            lambda: self._database.collection("looks").find_one({"_id": number})
        )
        return None if document is None else _row(document)

    async def write_pairs(self, pairs: Sequence[LookPair], compared_through: int) -> None:
        """See the port."""
        writes = [
            ReplaceOne({"_id": key}, {"_id": key, "distance": pair.distance}, upsert=True)
            for pair in pairs
            for key in (_PAIR.pack(pair.number, pair.earlier),)
        ]

        async def write() -> None:
            # The mark comes last: when the pairs are there and it is not, they are found once more.
            if writes:
                await self._database.collection("look_pairs").bulk_write(writes, ordered=False)
            await self._database.collection("marks").update_one(
                {"_id": _MARK}, {"$max": {"value": compared_through}}, upsert=True
            )

        await self._database.run(write)

    async def read_pairs(self, after: tuple[int, int], most: int) -> list[LookPair]:
        """See the port."""
        beyond = {"_id": {"$gt": _PAIR.pack(*after)}}
        found = await self._find("look_pairs", beyond, "_id_", (("_id", 1),), most)
        return [_pair(pair) for pair in found]

    async def compared_through(self) -> int:
        """See the port."""
        mark = await self._database.run(lambda: self._database.collection("marks").find_one({"_id": _MARK}))
        return mark["value"] if mark else 0

    async def list_repeated(self, most: int, after: str) -> list[tuple[str, list[int]]]:
        """See the port."""
        beyond = {"repeated": True, "_id": {"$gt": after}}
        order = (("repeated", 1), ("_id", 1))
        blobs = await self._find("blobs", beyond, "repeated_1__id_1", order, most, ("live_count",))
        numbers: dict[str, list[int]] = {blob["_id"]: [] for blob in blobs}
        few = [blob["_id"] for blob in blobs if blob["live_count"] <= _MOST_NUMBERS]
        if few:
            await self._read_numbers({"$in": few}, numbers, _MOST_NUMBERS * most)
        for blob in blobs:
            if blob["live_count"] > _MOST_NUMBERS:
                await self._read_numbers(blob["_id"], numbers, _MOST_NUMBERS)
        return [(digest, sorted(found)[:_MOST_NUMBERS]) for digest, found in numbers.items()]

    async def _read_numbers(self, digest: object, numbers: dict[str, list[int]], most: int) -> None:
        order = (("visible", 1), ("sha256", 1), ("create_time_us", 1), ("_id", 1))
        query = {"visible": True, "sha256": digest}
        for image in await self._find("images", query, BY_BYTES, order, most, ("sha256",)):
            numbers[image["sha256"]].append(image["_id"])

    async def _find(
        self,
        name: str,
        query: Mapping[str, object],
        index: str,
        order: Sequence[tuple[str, int]],
        most: int,
        fields: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Documents along an index, with all fields if none are named."""

        async def find() -> list[dict[str, Any]]:
            cursor = self._database.collection(name).find(query, fields or None)
            found: list[dict[str, Any]] = await cursor.sort(list(order)).limit(most).hint(index).to_list(None)
            return found

        return await self._database.run(find)


def _row(document: Mapping[str, Any]) -> LookRow:
    look = Look(document["phash"] & _UNSIGNED, document["dhash"] & _UNSIGNED, document["signature"])
    return LookRow(document["sequence"], document["_id"], look)


def _pair(document: Mapping[str, Any]) -> LookPair:
    number, earlier = _PAIR.unpack(document["_id"])
    return LookPair(number, earlier, document["distance"])
