"""The one writer: a thread that takes everything that waits into one transaction.

A disk sync costs as much for one change as for hundreds, so changes that arrive while the disk is busy share
the next one. Each change stands behind a savepoint: one that fails takes nothing else with it.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import structlog

from services.catalog.sqlite.faults import typed_fault
from services.catalog.sqlite.schema import close_database
from services.runtime.errors import (
    DataLossError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]
# Large batches do not all wait for the last of them.
_GROUP_TIME_S = 0.25


class _Job:
    __slots__ = ("abandoned", "answer", "change", "done", "fault")

    def __init__(self, change: Change[Any], done: asyncio.Future[Any]) -> None:
        self.change = change
        self.done = done
        self.answer: Any = None
        self.fault: Exception | None = None
        # Set by the event loop when nobody waits any more; read by the thread before it begins.
        self.abandoned = False


class SqliteWriter:
    """Applies changes in the order they come, in groups of at most ``max_group``.

    ``max_waiting`` bounds the queue. The writer owns ``connection`` and closes it at the end.
    """

    def __init__(self, connection: sqlite3.Connection, max_waiting: int, max_group: int) -> None:
        self._connection = connection
        self._max_waiting = max_waiting
        self._max_group = max_group
        self._waiting: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._damage: DataLossError | None = None
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger("catalog.writer")
        self._thread = threading.Thread(target=self._live, name="catalog-writer", daemon=True)
        self._thread.start()

    async def run(self, change: Change[T], timeout_s: float) -> T:
        """Applies a change; returns what it gives once that is on disk.

        Raises what the change raises, ``TimeoutError``, ``ResourceExhaustedError`` (OVERLOADED,
        STORAGE_FULL), ``UnavailableError(STORE_UNAVAILABLE)`` or ``DataLossError(DATA_DAMAGED)``.
        """
        job = _Job(change, self._loop.create_future())
        self._enqueue(job)
        try:
            async with asyncio.timeout(timeout_s):
                return await job.done  # type: ignore[no-any-return]  # a job forgets the type of its change
        finally:
            job.abandoned = True

    def refuse_all(self, damage: DataLossError) -> None:
        """Writes nothing any more: on damaged ground every change may make things worse."""
        self._damage = damage

    async def close(self) -> None:
        """Applies what waits, then ends."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _enqueue(self, job: _Job) -> None:
        with self._wake:
            if self._damage:
                raise self._damage
            if self._closing or not self._thread.is_alive():
                raise UnavailableError(
                    Reason.STORE_UNAVAILABLE, "The catalog's store is closed; try again.", retry_after_s=1.0
                )
            if len(self._waiting) >= self._max_waiting:
                raise ResourceExhaustedError(
                    Reason.OVERLOADED,
                    f"{self._max_waiting} changes wait for the disk already; come back in a moment.",
                    retry_after_s=1.0,
                    limit=self._max_waiting,
                )
            self._waiting.append(job)
            self._wake.notify()

    def _live(self) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it everybody who waits
            while (jobs := self._take()) is not None:
                while jobs:
                    with _no_collections():
                        group = self._commit(jobs)
                    self._loop.call_soon_threadsafe(_answer, group)
                    jobs = [job for job in jobs[len(group) :] if not job.abandoned]
        close_database(self._connection, sound=self._damage is None)

    def _take(self) -> list[_Job] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            count = min(len(self._waiting), self._max_group)
            jobs = [self._waiting.popleft() for _ in range(count)]
        return [job for job in jobs if not job.abandoned]

    def _commit(self, jobs: list[_Job]) -> list[_Job]:
        """Applies as many as fit into the time of a group, at least one; gives those that have an answer."""
        group: list[_Job] = []
        try:
            self._begin()
            ends_s = time.monotonic() + _GROUP_TIME_S
            for job in jobs:
                group.append(job)
                self._apply(job)
                if time.monotonic() > ends_s:
                    break
            self._connection.execute("COMMIT")
        except Exception as fault:  # noqa: BLE001  whoever waits must hear of it, whatever it is
            self._roll_back()
            typed = typed_fault(fault)
            if isinstance(typed, DataLossError):
                self.refuse_all(typed)
            group = group or jobs
            self._log.error("group not stored", changes=len(group), problem=repr(fault))
            for job in group:
                job.fault = job.fault or typed or fault
        return group

    def _begin(self) -> None:
        if self._damage:
            raise self._damage
        self._connection.execute("BEGIN IMMEDIATE")

    def _apply(self, job: _Job) -> None:
        self._connection.execute("SAVEPOINT item")
        try:
            job.answer = job.change(self._connection)
        except Exception as fault:
            if not isinstance(fault, ServiceError) and typed_fault(fault):
                raise
            self._connection.execute("ROLLBACK TO item")
            job.fault = fault
        self._connection.execute("RELEASE item")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as fault:
            self._log.error("not rolled back", problem=repr(fault))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keeps Python from looking for cycles: a group makes very many objects, none of them in a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.done.done():
            continue
        if job.fault is not None:
            job.done.set_exception(job.fault)
        else:
            job.done.set_result(job.answer)
