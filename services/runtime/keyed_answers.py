"""The server's side of a stream of keyed items: a bounded number in work, answered as they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from services.runtime.errors import InvalidArgumentError, Reason, UnavailableError

MAX_KEY_CHARS = 128
LOOK_INTERVAL_S = 0.05


class Keyed(Protocol):
    """An item that names itself."""

    @property
    def key(self) -> str:
        """Unique among the items in work."""


Item = TypeVar("Item", bound=Keyed)
Answer = TypeVar("Answer")


async def keyed_answers(
    requests: AsyncIterator[Item],
    work: Callable[[Item], Coroutine[Any, Any, Answer]],
    limit: int,
    stopping: asyncio.Event,
    is_roomy: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[Answer, None]:
    """Yields answers in the order of completion; leaving the generator cancels what is in work.

    At most ``limit`` items are read and not yet answered: beyond that nothing is read, and flow control holds
    the sender back; while not ``is_roomy`` the limit is one. ``work`` turns the failure of an item into an
    answer; what it raises ends the stream.

    Raises InvalidArgumentError (INVALID_STREAM) for a missing or doubled key, and UnavailableError (DRAINING)
    once the process stops and the items in work are answered.
    """
    room = _Room(limit, is_roomy)
    in_work: dict[asyncio.Task[Answer], str] = {}
    # A finished item, or None when reading or serving has ended.
    events: asyncio.Queue[asyncio.Task[Answer] | None] = asyncio.Queue()

    async def read() -> bool:
        """True when the sender is done, False when this process is."""
        while True:
            await room.enter()
            request = await anext(requests, None)
            if request is None:
                return True
            if stopping.is_set():
                return False
            _check_key(request.key, in_work.values())
            task = asyncio.create_task(work(request))
            in_work[task] = request.key
            # It may be large, and the next one may be long in coming.
            del request
            task.add_done_callback(events.put_nowait)

    reading = asyncio.create_task(read())
    halting = asyncio.create_task(stopping.wait())
    for ending in (reading, halting):
        ending.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while in_work or not (reading.done() or halting.done()):
            finished = await events.get()
            if finished is None:
                if reading.done():
                    reading.result()  # a broken stream ends at once, whatever is in work
            else:
                del in_work[finished]
                yield finished.result()
                room.leave()
        if not (reading.done() and reading.result()):
            raise UnavailableError(
                Reason.DRAINING,
                "This process is shutting down; send what is not answered to another one.",
                retry_after_s=1.0,
            )
    finally:
        await _cancel(reading, halting, *in_work)


class _Room:
    """Room for ``limit`` items, or for one while not ``is_roomy``."""

    def __init__(self, limit: int, is_roomy: Callable[[], bool]) -> None:
        self._limit = limit
        self._is_roomy = is_roomy
        self._taken = 0
        self._left = asyncio.Event()

    async def enter(self) -> None:
        while True:
            is_roomy = self._is_roomy()
            if self._taken < (self._limit if is_roomy else 1):
                break
            self._left.clear()
            # Room that is made elsewhere is not announced here.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if is_roomy else LOOK_INTERVAL_S):
                    await self._left.wait()
        self._taken += 1

    def leave(self) -> None:
        self._taken -= 1
        self._left.set()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _check_key(key: str, in_work: Collection[str]) -> None:
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise InvalidArgumentError(
            Reason.INVALID_STREAM, f"Each item of a stream has a key of 1 to {MAX_KEY_CHARS} characters."
        )
    if key in in_work:
        raise InvalidArgumentError(
            Reason.INVALID_STREAM, f"Key {key!r} is still in work; wait for its answer, or use another key."
        )
