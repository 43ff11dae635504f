"""Callers who want the same thing at the same time share one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

# With less time than that on top, another call would fail for lack of it as well.
MORE_TIME_S = 1.5
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    task: asyncio.Task[V]
    deadline: float
    waiting: int = 0


class SingleFlight(Generic[K, V]):
    """``lacked_time`` says whether an error may be due to the short deadline of the call that met it."""

    def __init__(self, lacked_time: Callable[[Exception], bool]) -> None:
        self._lacked_time = lacked_time
        self._flights: dict[K, _Flight[V]] = {}

    async def share(self, key: K, deadline: float, call: Callable[[], Awaitable[V]]) -> tuple[V, bool]:
        """The result of the call in flight for ``key``, else of ``call``; and whether it was this one.

        ``deadline`` is loop time; ``call`` keeps to it by itself. Raises what the call raised, TimeoutError
        when a call of a longer deadline did not end in time. Nobody inherits a shorter deadline: who has
        MORE_TIME_S more than the call that failed for lack of it starts anew. The call is cancelled when the
        last one who waits for it is.
        """
        while True:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._started(key, deadline, call)
            try:
                return await self._landing(key, flight, deadline), leads
            except Exception as error:
                has_more_time = deadline - flight.deadline >= MORE_TIME_S
                if leads or not has_more_time or not self._lacked_time(error):
                    raise

    def _started(self, key: K, deadline: float, call: Callable[[], Awaitable[V]]) -> _Flight[V]:
        flight = _Flight(asyncio.create_task(_awaited(call)), deadline)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._landed(key, flight, task))
        return flight

    async def _landing(self, key: K, flight: _Flight[V], deadline: float) -> V:
        flight.waiting += 1
        try:
            async with asyncio.timeout_at(deadline if deadline < flight.deadline else None):
                await asyncio.wait({flight.task})
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
        return flight.task.result()

    def _landed(self, key: K, flight: _Flight[V], task: asyncio.Task[V]) -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # Looked at, so that nobody is told of an error that no one waits for any more.

    def _forget(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


async def _awaited(call: Callable[[], Awaitable[V]]) -> V:
    return await call()
