"""Readers: a few threads, each read on a connection of its own that cannot write, each with a deadline."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.catalog.sqlite.faults import typed_fault
from services.catalog.sqlite.schema import open_reader
from services.runtime.errors import Reason, ResourceExhaustedError

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]
# Steps of SQLite's virtual machine between two looks at the clock, about a millisecond.
_STEPS_PER_LOOK = 20_000


@dataclass(slots=True)
class _Limit:
    deadline_s: float
    abandoned: bool = False

    def is_over(self) -> bool:
        return self.abandoned or time.monotonic() > self.deadline_s


class SqliteReaders:
    """At most ``count`` reads at a time, at most ``max_waiting`` reads in hand."""

    def __init__(self, path: Path, count: int, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._room = threading.BoundedSemaphore(max_waiting)
        self._all = [open_reader(path) for _ in range(count)]
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in self._all:
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="catalog-reader")

    async def run(self, read: Read[T], timeout_s: float) -> T:
        """Runs a read on one consistent view of the database.

        Raises what the read raises, ``TimeoutError`` or ``DeadlineError``, ``ResourceExhaustedError``
        (OVERLOADED), ``UnavailableError(STORE_UNAVAILABLE)`` or ``DataLossError(DATA_DAMAGED)``.
        """
        if not self._room.acquire(blocking=False):
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._max_waiting} reads wait already; come back in a moment.",
                retry_after_s=1.0,
                limit=self._max_waiting,
            )
        limit = _Limit(time.monotonic() + timeout_s)
        work = self._threads.submit(self._run, read, limit)
        # In a callback, because a read that nobody waits for any more still takes a place until it ends.
        work.add_done_callback(lambda _: self._room.release())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(work)
        finally:
            limit.abandoned = True

    async def close(self) -> None:
        """Ends after the reads in hand."""
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._all:
            connection.close()

    def _run(self, read: Read[T], limit: _Limit) -> T:
        connection = self._free.get_nowait()
        try:
            connection.set_progress_handler(limit.is_over, _STEPS_PER_LOOK)
            connection.execute("BEGIN")
            return read(connection)
        except sqlite3.Error as fault:
            raise typed_fault(fault) or fault from fault
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._free.put(connection)
