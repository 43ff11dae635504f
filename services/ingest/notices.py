"""Wakes calls that wait for an image when a worker announces a change.

Announcements are lossy, so a waiter also looks by itself now and then: the catalog is the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from services.runtime.errors import Reason, ResourceExhaustedError, UnavailableError
from services.runtime.queue.port import Event, WorkQueue

TOPICS = "images.*"
LOOK_INTERVAL_S = 2.0
CONNECT_S = 1.0


def topic_of(image_name: str) -> str:
    """The topic on which changes of an image are announced."""
    return "images." + image_name.rpartition("/")[2]


class Waiter:
    """One call that waits for one image."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Ends the current or the next wait."""
        self._changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns after a change, or when it is time to look anyway: after at most ``timeout_s``."""
        try:
            async with asyncio.timeout(min(timeout_s, LOOK_INTERVAL_S)):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self._changed.clear()


class Notices:
    """Who waits for which image. ``max_waiters`` bounds them."""

    def __init__(self, queue: WorkQueue, max_waiters: int) -> None:
        self._queue = queue
        self._max_waiters = max_waiters
        self._count = 0
        self._waiters: dict[str, set[Waiter]] = {}

    async def listen(self, stopping: asyncio.Event) -> None:
        """Hears announcements until ``stopping``; waits for a queue that is not there yet."""
        while not stopping.is_set():
            with suppress(UnavailableError):
                await self._hear(stopping)
        # Calls that wait must notice that this process is going away.
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.wake()

    async def _hear(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            async with self._queue.listen(TOPICS, CONNECT_S) as events:
                while not stop.done():
                    heard = asyncio.ensure_future(anext(events))
                    await asyncio.wait([heard, stop], return_when=asyncio.FIRST_COMPLETED)
                    if heard.done():
                        self._wake(heard.result())
                    else:
                        heard.cancel()
        finally:
            stop.cancel()

    @contextmanager
    def waiting(self, image_name: str) -> Iterator[Waiter]:
        """Registers a waiter. Begin before looking at the image, or a change in between is missed."""
        if self._count >= self._max_waiters:
            raise ResourceExhaustedError(
                Reason.OVERLOADED, "Too many calls wait for images; poll GetImage instead.", retry_after_s=2.0
            )
        topic, waiter = topic_of(image_name), Waiter()
        self._count += 1
        self._waiters.setdefault(topic, set()).add(waiter)
        try:
            yield waiter
        finally:
            self._count -= 1
            self._waiters[topic].discard(waiter)
            if not self._waiters[topic]:
                del self._waiters[topic]

    def _wake(self, event: Event) -> None:
        if event.is_gap:
            affected = [waiter for waiters in self._waiters.values() for waiter in waiters]
        else:
            affected = list(self._waiters.get(event.topic, ()))
        for waiter in affected:
            waiter.wake()
