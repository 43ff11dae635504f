"""A bidirectional stream of keyed items: some in work at once, answered in the order of completion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from services.runtime.errors import InvalidArgumentError, Reason, UnavailableError

MAX_KEY_CHARS = 128


class Keyed(Protocol):
    """An item that names itself."""

    @property
    def key(self) -> str:
        """Unique among the items in work."""


Q = TypeVar("Q", bound=Keyed)
A = TypeVar("A")


class KeyedStream(Generic[Q, A]):
    """One stream: at most ``limit`` items are read and not yet answered.

    While that many are, nothing is read, so that flow control holds the sender back. ``work`` must turn
    failures of an item into an answer; whatever it raises ends the stream.
    """

    def __init__(
        self,
        requests: AsyncIterator[Q],
        work: Callable[[Q], Coroutine[Any, Any, A]],
        limit: int,
        stopping: asyncio.Event,
    ) -> None:
        self._requests = requests
        self._work = work
        self._limit = limit
        self._stopping = stopping
        self._running: dict[asyncio.Future[A], str] = {}
        self._reading: asyncio.Future[Q | None] | None = None

    async def answers(self) -> AsyncGenerator[A, None]:
        """Answers as they become ready; leaving the generator cancels what is in work.

        Raises InvalidArgumentError (INVALID_STREAM) for a bad key, and UnavailableError (DRAINING) once
        the process stops and the items in work are answered.
        """
        stopped = asyncio.ensure_future(self._stopping.wait())
        ended = False
        try:
            while not ended or self._running:
                await self._wait(stopped, reads=not ended and len(self._running) < self._limit)
                ended = ended or self._take_request()
                for task in [task for task in self._running if task.done()]:
                    del self._running[task]
                    yield task.result()
                if stopped.done() and not ended and not self._running:
                    raise UnavailableError(
                        Reason.DRAINING,
                        "This process is shutting down; send what is not answered to another one.",
                        retry_after_s=1.0,
                    )
        finally:
            await self._give_up(stopped)

    async def _wait(self, stopped: asyncio.Future[Any], *, reads: bool) -> None:
        waits: set[asyncio.Future[Any]] = {*self._running}
        if reads and not stopped.done():
            self._reading = self._reading or asyncio.ensure_future(_next(self._requests))
            waits |= {self._reading, stopped}
        if waits:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    def _take_request(self) -> bool:
        """Starts work on a request that arrived; True when the sender is done."""
        if not self._reading or not self._reading.done():
            return False
        request = self._reading.result()
        self._reading = None
        if request is None:
            return True
        _check_key(request.key, self._running.values())
        self._running[asyncio.ensure_future(self._work(request))] = request.key
        return False

    async def _give_up(self, stopped: asyncio.Future[Any]) -> None:
        pending: list[asyncio.Future[Any]] = [
            stopped,
            *self._running,
            *([self._reading] if self._reading else []),
        ]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _check_key(key: str, in_work: Collection[str]) -> None:
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidArgumentError(
            Reason.INVALID_STREAM, f"Each item of a stream needs a key of 1 to {MAX_KEY_CHARS} characters."
        )
    if key in in_work:
        raise InvalidArgumentError(
            Reason.INVALID_STREAM,
            f"Key {key!r} is still in work; wait for its answer, or use another key.",
            key=key,
        )


async def _next(requests: AsyncIterator[Q]) -> Q | None:
    return await anext(requests, None)
