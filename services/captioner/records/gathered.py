"""Calls in flight at the same time share one RPC."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_Waiting = tuple[T, "asyncio.Future[R]"]


class CrowdedError(Exception):
    """More calls wait than there is room for."""


class Gathered(Generic[T, R]):
    """One RPC is in flight; whatever arrives meanwhile goes together with the next one.

    ``call`` takes 1 to ``most`` items and gives one result for each, in order. Nobody waits while it is idle.
    """

    def __init__(
        self, call: Callable[[list[T]], Awaitable[Sequence[R]]], most: int, max_waiting: int
    ) -> None:
        self._call = call
        self._most = most
        self._max_waiting = max_waiting
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def one(self, item: T) -> R:
        """The result of one item; raises what its RPC raised, or CrowdedError.

        Who is cancelled leaves the others alone; an item that is on its way already still arrives.
        """
        if len(self._waiting) >= self._max_waiting:
            raise CrowdedError(f"{self._max_waiting} calls wait already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._sender is None:
            # Outside of any request: the RPC is not that of the caller who happened to be the first.
            self._sender = loop.create_task(self._send_all(), context=contextvars.Context())
        return await future

    async def _send_all(self) -> None:
        batch: list[_Waiting[T, R]] = []
        try:
            while batch := self._next_batch():
                await self._send(batch)
        finally:
            self._sender = None
            for _, future in [*batch, *self._waiting]:
                future.cancel()

    def _next_batch(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch

    async def _send(self, batch: Sequence[_Waiting[T, R]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
            pairs = list(zip(batch, results, strict=True))
        except Exception as error:  # noqa: BLE001  it belongs to those who wait for it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in pairs:
            if not future.done():
                future.set_result(result)
