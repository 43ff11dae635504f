"""Records of captions in MongoDB. The port's docstrings are the spec."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pymongo import ReplaceOne, UpdateOne

from services.catalog.captions.books import SpendBook, outdated_usage
from services.catalog.captions.model import (
    MAX_TIME_US,
    Call,
    CallState,
    CaptionToKeep,
    Limit,
    Reservation,
    Settlement,
    Spend,
    TotalKey,
    Usage,
    UsageKey,
    UsagePage,
    UsageQuery,
    UsageRow,
    cut_usage,
    day_of,
    month_of,
)
from services.catalog.mongo.database import MongoDatabase, MongoIndex, Session
from services.catalog.mongo.documents import Document

OLDEST_FIRST = [("time_us", 1), ("_id", 1)]
INDEXES = (
    MongoIndex("caption_cache", [("sha256", 1)], {"name": "by_image"}),
    MongoIndex("caption_cache", OLDEST_FIRST, {"name": "by_time"}),
    MongoIndex("caption_calls", [("state", 1), ("due_us", 1)], {"name": "by_state"}),
    MongoIndex("caption_totals", [("period", 1), ("provider", 1)], {"name": "by_period"}),
    MongoIndex("caption_usage", [("batch", 1), ("_id", 1)], {"name": "by_batch"}),
)
_SPEND = Spend.__slots__
_USAGE = Usage.__slots__
T = TypeVar("T")


class MongoCaptionRecords:
    """``CaptionRecordStore`` on the database that the catalog's stores share."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        # Sums are changed by everybody: changes of one process would only get into each other's way.
        self._turn = asyncio.Lock()

    async def look_up_captions(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``CaptionRecordStore``."""

        async def read() -> list[bytes | None]:
            cursor = self._database.collection("caption_cache").find(
                {"_id": {"$in": sorted(set(keys))}}, {"result": 1}
            )
            found = {kept["_id"]: kept["result"] for kept in await cursor.to_list(None)}
            return [found.get(key) for key in keys]

        return await self._database.run(read)

    async def keep_captions(self, captions: Sequence[CaptionToKeep]) -> None:
        """See ``CaptionRecordStore``."""
        now_us = self._database.now_us()

        async def keep(session: Session) -> None:
            digests = {kept.sha256.hex() for kept in captions}
            gone = await _find_blobs(self._database, session, digests, {"$gt": 0})
            writes = [
                ReplaceOne(
                    {"_id": kept.key},
                    {"sha256": kept.sha256, "time_us": now_us, "result": kept.caption},
                    upsert=True,
                )
                for kept in {kept.key: kept for kept in captions}.values()
                if kept.sha256.hex() not in gone
            ]
            if writes:
                await self._database.collection("caption_cache").bulk_write(
                    writes, ordered=False, session=session
                )

        await self._database.change(keep)

    async def drop_captions(self, before_us: int, most_kept: int, most: int) -> int:
        """See ``CaptionRecordStore``."""
        cache = self._database.collection("caption_cache")
        # The server's own count, which costs nothing; after a crash of the server it may be a little off.
        kept = await self._database.run(cache.estimated_document_count)

        async def drop(session: Session) -> int:
            doomed: list[Document] = []
            for time_us, limit in (
                (before_us, most),
                (MAX_TIME_US, min(most, max(0, kept - most_kept))),
            ):
                if limit:
                    condition = {"time_us": {"$lt": time_us}}
                    cursor = cache.find(condition, {"_id": 1}, session=session).sort(OLDEST_FIRST)
                    # Both are the first of one order.
                    doomed = max(doomed, await cursor.limit(limit).to_list(None), key=len)
            if doomed:
                ids = [document["_id"] for document in doomed]
                await cache.delete_many({"_id": {"$in": ids}}, session=session)
            return len(doomed)

        return await self._database.change(drop)

    async def reserve_spend(
        self, reservations: Sequence[Reservation], limits: Sequence[Limit]
    ) -> list[Limit | None]:
        """See ``CaptionRecordStore``."""

        async def reserve(session: Session) -> list[Limit | None]:
            now_us = self._database.now_us()
            stored = await self._read_totals(session, day_of(now_us)) if limits else {}
            book = SpendBook(now_us, await self._read_calls(session, reservations), stored)
            decisions = [book.reserve(wanted, limits) for wanted in reservations]
            await self._write(session, book)
            return decisions

        return await self._change(reserve)

    async def settle_spend(self, settlements: Sequence[Settlement]) -> None:
        """See ``CaptionRecordStore``."""

        async def settle(session: Session) -> None:
            book = SpendBook(self._database.now_us(), await self._read_calls(session, settlements), {})
            for settled in settlements:
                book.settle(settled)
            await self._write(session, book)

        await self._change(settle)

    async def expire_calls(self, most: int) -> int:
        """See ``CaptionRecordStore``."""

        async def expire(session: Session) -> int:
            now_us = self._database.now_us()
            calls = await self._read_due(session, CallState.HELD, now_us, most)
            book = SpendBook(now_us, calls, {})
            book.expire()
            await self._write(session, book)
            return len(calls)

        return await self._change(expire)

    async def forget_calls(self, most: int) -> int:
        """See ``CaptionRecordStore``."""

        async def forget(session: Session) -> int:
            now_us = self._database.now_us()
            calls: list[object] = []
            for state in (CallState.EXPIRED, CallState.SETTLED):
                calls += [call.id for call in await self._read_due(session, state, now_us, most)]
            rows = await self._read_usage(session, outdated_usage(now_us), most, "")
            for name, ids in (("caption_calls", calls), ("caption_usage", [row.key.place for row in rows])):
                if ids:
                    await self._database.collection(name).delete_many({"_id": {"$in": ids}}, session=session)
            return len(calls) + len(rows)

        return await self._change(forget)

    async def read_totals(self) -> Mapping[TotalKey, Spend]:
        """See ``CaptionRecordStore``."""
        day = day_of(self._database.now_us())
        return await self._database.run(lambda: self._read_totals(None, day))

    async def list_usage(self, query: UsageQuery, size: int, after: str = "") -> UsagePage:
        """See ``CaptionRecordStore``."""
        found = await self._database.run(lambda: self._read_usage(None, query, size + 1, after))
        return cut_usage(found, size)

    async def _change(self, work: Callable[[Session], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._database.timeout_s):
            await self._turn.acquire()
        try:
            return await self._database.change(work)
        finally:
            self._turn.release()

    async def _read_calls(
        self, session: Session, wanted: Sequence[Reservation] | Sequence[Settlement]
    ) -> list[Call]:
        ids = sorted({call.id for call in wanted})
        cursor = self._database.collection("caption_calls").find({"_id": {"$in": ids}}, session=session)
        return [_call(document) for document in await cursor.to_list(None)]

    async def _read_due(self, session: Session, state: CallState, now_us: int, most: int) -> list[Call]:
        cursor = self._database.collection("caption_calls").find(
            due_condition(state, now_us), session=session
        )
        return [_call(document) for document in await cursor.sort([("due_us", 1)]).limit(most).to_list(None)]

    async def _read_totals(self, session: Session, day: str) -> dict[TotalKey, Spend]:
        cursor = self._database.collection("caption_totals").find(
            {"period": {"$in": [day, month_of(day)]}}, session=session
        )
        return {
            TotalKey(total["period"], total["provider"]): Spend(*(total[field] for field in _SPEND))
            for total in await cursor.to_list(None)
        }

    async def _read_usage(self, session: Session, query: UsageQuery, most: int, after: str) -> list[UsageRow]:
        cursor = self._database.collection("caption_usage").find(
            usage_condition(query, after), session=session
        )
        return [
            UsageRow(
                UsageKey(row["day"], row["provider"], row["batch"], by_batch=row["_id"][0] == "1"),
                Usage(*(row[field] for field in _USAGE)),
            )
            for row in await cursor.sort([("_id", 1)]).limit(most).to_list(None)
        ]

    async def _write(self, session: Session, book: SpendBook) -> None:
        calls: list[Any] = [
            ReplaceOne({"_id": call.id}, _call_document(call), upsert=True) for call in book.calls.values()
        ]
        totals = [
            _more(total_id(key.period, key.provider), asdict(key), asdict(change))
            for key, change in book.totals.items()
        ]
        usage = [
            _more(
                key.place,
                {"day": key.day, "provider": key.provider, "batch": key.batch},
                asdict(change),
            )
            for key, change in book.usage.items()
        ]
        for name, writes in (("totals", totals), ("usage", usage), ("calls", calls)):
            if writes:
                await self._database.collection(f"caption_{name}").bulk_write(writes, session=session)


async def forget_captions(database: MongoDatabase, session: Session, digests: Sequence[str]) -> None:
    """Deletes the captions of bytes, unless these live."""
    alive = await _find_blobs(database, session, set(digests), 0)
    gone = [bytes.fromhex(digest) for digest in sorted(set(digests) - alive)]
    if gone:
        await database.collection("caption_cache").delete_many({"sha256": {"$in": gone}}, session=session)


async def _find_blobs(database: MongoDatabase, session: Session, digests: set[str], fate: object) -> set[str]:
    condition = {"_id": {"$in": sorted(digests)}, "fate": fate}
    cursor = database.collection("blobs").find(condition, {"_id": 1}, session=session)
    return {blob["_id"] for blob in await cursor.to_list(None)}


def due_condition(state: CallState, now_us: int) -> Document:
    """Calls in a state whose time is over; a walk of ``by_state``."""
    return {"state": state.value, "due_us": {"$lte": now_us}}


def usage_condition(query: UsageQuery, after: str) -> Document:
    """Rows beyond a place; a walk of their keys, or of ``by_batch``."""
    place = {"_id": {"$gt": max(query.start, after), "$lt": query.end}}
    return {"batch": query.batch, **place} if query.batch else place


def total_id(period: str, provider: str) -> str:
    """The key of a sum."""
    return f"{period} {provider}"


def _more(key: str, fields: Document, change: Mapping[str, int]) -> UpdateOne:
    return UpdateOne({"_id": key}, {"$setOnInsert": fields, "$inc": change}, upsert=True)


def _call_document(call: Call) -> Document:
    document = asdict(call)
    del document["id"]
    return {**document, "state": call.state.value}


def _call(document: Document) -> Call:
    return Call(
        document["_id"],
        CallState(document["state"]),
        document["due_us"],
        document["day"],
        document["provider"],
        document["batch"],
        document["micros"],
        document["tokens"],
    )
