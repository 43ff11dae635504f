"""The MongoDB database that all stores of a catalog share: concerns, transactions, faults.

Every write waits for a majority of the replica set and its journal, every read sees what a majority has: an
acknowledged write survives the loss of any minority, and nothing is read that could be rolled back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pymongo
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from services.catalog.mongo.client import open_client, settle
from services.catalog.mongo.faults import is_duplicate, may_repeat, typed_fault
from services.catalog.mongo.schema import MongoIndex, prepare_database
from services.runtime.errors import Reason, ResourceExhaustedError

__all__ = ["Clock", "MongoDatabase", "MongoIndex", "MongoOptions", "Session", "open_mongo_database"]

T = TypeVar("T")
Clock = Callable[[], int]
Session = Any
"""A client session; the drivers have no common type for it."""

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.2
# A key that somebody else took meanwhile is seen by the next attempt; one that is taken for good is a fault.
_MOST_DUPLICATES = 8


@dataclass(frozen=True, slots=True)
class MongoOptions:
    """Where the database is. ``url`` may hold a password. ``driver`` is "motor" or "pymongo"."""

    url: str
    database: str = "sightmill"
    driver: str = "motor"
    timeout_s: float = 10.0
    max_waiting: int = 4_096

    def __repr__(self) -> str:
        # Without the URL, so that its password gets into no log.
        return f"MongoOptions(database={self.database!r}, driver={self.driver!r}, timeout_s={self.timeout_s})"


def wall_clock_us() -> int:
    """Now."""
    return time.time_ns() // 1_000


@asynccontextmanager
async def open_mongo_database(
    options: MongoOptions, indexes: Sequence[MongoIndex], now_us: Clock = wall_clock_us
) -> AsyncIterator[MongoDatabase]:
    """The database with its indexes. Raises ``UnavailableError(STORE_UNAVAILABLE)`` when it does not answer,
    ``FailedPreconditionError(WRONG_STATE)`` when it is no replica set or was used by a later version."""
    client = open_client(options.url, options.driver, options.timeout_s)
    opened = MongoDatabase(client, client[options.database], options, now_us)
    try:
        try:
            opened.version = await prepare_database(client, client[options.database], indexes)
        except PyMongoError as fault:
            raise typed_fault(fault) or fault from fault
        yield opened
    finally:
        await opened.close()


class MongoDatabase:
    """Collections with the right concerns, and transactions; ``now_us`` is the clock of all stores."""

    def __init__(self, client: Any, database: Any, options: MongoOptions, now_us: Clock) -> None:
        self._client = client
        self._database = database
        self._options = options
        self._calls: set[asyncio.Task[Any]] = set()
        self.now_us = now_us
        self.timeout_s = options.timeout_s
        self.version = ""

    def collection(self, name: str) -> Any:
        """A collection that reads and writes with majority, journaled."""
        return self._database[name]

    async def change(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Runs ``work`` in a transaction, again where the server asks for it; returns once it is durable.

        ``work`` passes the session on to every call. Driver errors become the errors of the port.
        """
        return await self._call(self._change(work))

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs reads or single-document writes with a deadline; driver errors become those of the port."""
        return await self._call(self._run(work))

    async def aggregate(
        self, name: str, stages: Sequence[Mapping[str, Any]], session: Session = None, **options: Any
    ) -> list[dict[str, Any]]:
        """All documents that an aggregation gives, within ``run`` or ``change``."""
        cursor = await settle(self._database[name].aggregate(stages, session=session, **options))
        return await cursor.to_list(None)  # type: ignore[no-any-return]  # the drivers have no common type

    async def drain(self) -> None:
        """Waits for what is under way, which has a deadline."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def close(self) -> None:
        """Ends what is under way, then lets go of the connections."""
        await self.drain()
        await settle(self._client.close())

    async def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """A caller that leaves must not tear a transaction: a thread of the driver may still be at it."""
        if len(self._calls) >= self._options.max_waiting:
            work.close()
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._options.max_waiting} calls wait for the database already; come back in a moment.",
                retry_after_s=1.0,
                limit=self._options.max_waiting,
            )
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # heard, in case that nobody waits any more

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            with pymongo.timeout(self._options.timeout_s):
                return await work()
        except (PyMongoError, TimeoutError) as fault:
            raise typed_fault(fault) or fault from fault

    async def _change(self, work: Callable[[Session], Awaitable[T]]) -> T:
        try:
            async with await settle(self._client.start_session()) as session:
                return await self._attempts(session, work)
        except (PyMongoError, TimeoutError) as fault:
            raise typed_fault(fault) or fault from fault

    async def _attempts(self, session: Session, work: Callable[[Session], Awaitable[T]]) -> T:
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + self._options.timeout_s
        pause_s, duplicates = _FIRST_PAUSE_S, 0
        while True:
            try:
                return await self._attempt(session, work, deadline_s - now_s())
            except PyMongoError as fault:
                duplicates += is_duplicate(fault)
                again = may_repeat(fault) or (is_duplicate(fault) and duplicates < _MOST_DUPLICATES)
                if not again or now_s() + pause_s > deadline_s:
                    raise
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311  no secret
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _attempt(
        self, session: Session, work: Callable[[Session], Awaitable[T]], timeout_s: float
    ) -> T:
        await settle(session.start_transaction(read_concern=ReadConcern("snapshot")))
        try:
            with pymongo.timeout(timeout_s):
                answer = await work(session)
        except BaseException:
            # With a deadline of its own: what is left open would be in everybody's way for a minute.
            await session.abort_transaction()
            raise
        with pymongo.timeout(timeout_s):
            await _commit(session)
        return answer


async def _commit(session: Session) -> None:
    """Commits, again while it is not known whether that was done, until the deadline of the caller."""
    while True:
        try:
            return await session.commit_transaction()  # type: ignore[no-any-return]  # it gives None
        except PyMongoError as fault:
            if fault.timeout or not fault.has_error_label("UnknownTransactionCommitResult"):
                raise
