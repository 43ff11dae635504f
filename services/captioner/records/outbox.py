"""What must reach another service in the end: sent again until it does, within bounds."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog
from prometheus_client import Counter

from services.runtime.errors import InvalidArgumentError, ServiceError

T = TypeVar("T")
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
_log = structlog.get_logger("captioner")


class Outbox(Generic[T]):
    """Sends up to ``most`` items at once, in order; holds ``capacity``, beyond which the oldest is dropped.

    ``send`` must bear the same items twice. It raises InvalidArgumentError for items that will never be
    taken: these are found one by one, and dropped. ``lost`` counts what was dropped, by ``name``.
    """

    def __init__(
        self, name: str, send: Callable[[list[T]], Awaitable[None]], most: int, capacity: int, lost: Counter
    ) -> None:
        self._name = name
        self._send = send
        self._most = most
        self._capacity = capacity
        self._lost = lost.labels(name)
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._suspects = 0
        self._is_overflowing = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Takes an item; never waits."""
        self._items.append(item)
        self._trim()
        self._filled.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Sends what is there, and what comes, until ``stopping``."""
        tasks = {asyncio.create_task(self._send_all()), asyncio.create_task(stopping.wait())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def flush(self, timeout_s: float) -> None:
        """Sends the rest; what is still here after ``timeout_s`` is lost, with a warning."""
        sender = asyncio.create_task(self._send_all(until_empty=True))
        await asyncio.wait({sender}, timeout=timeout_s)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        if self._items:
            self._drop(len(self._items), "the end of the process")
            self._items.clear()

    async def _send_all(self, *, until_empty: bool = False) -> None:
        pause_s = FIRST_PAUSE_S
        while self._items or not until_empty:
            await self._filled.wait()
            try:
                await self._send_some()
            except ServiceError:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter is no secret
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S

    async def _send_some(self) -> None:
        count = min(1 if self._suspects else self._most, len(self._items))
        batch = [self._items.popleft() for _ in range(count)]
        try:
            await self._send(batch)
        except InvalidArgumentError as error:
            if count == 1:
                self._drop(1, error.message)
            else:
                self._put_back(batch)
                self._suspects = count
                return
        except BaseException:
            self._put_back(batch)
            raise
        self._suspects = max(0, self._suspects - count)
        if not self._items:
            self._filled.clear()
            self._is_overflowing = False

    def _put_back(self, batch: list[T]) -> None:
        self._items.extendleft(reversed(batch))
        self._trim()

    def _trim(self) -> None:
        while len(self._items) > self._capacity:
            self._items.popleft()
            if self._is_overflowing:
                self._lost.inc()
            else:
                self._is_overflowing = True
                self._drop(1, f"{self._capacity} wait already; the oldest go")

    def _drop(self, count: int, problem: str) -> None:
        self._lost.inc(count)
        _log.warning("records lost", kind=self._name, count=count, problem=problem)
