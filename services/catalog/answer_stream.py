"""Answers to a stream of requests, each as soon as it is ready, with a bound on those in hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from services.runtime.errors import Reason, UnavailableError

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


async def answer_stream(
    requests: AsyncIterator[Asked],
    answer: Callable[[Asked], Awaitable[Answered]],
    window: int,
    stopping: asyncio.Event,
) -> AsyncIterator[Answered]:
    """Answers in the order of completion; at most ``window`` requests are read ahead of their answers.

    Once ``stopping`` is set no more requests are begun: those in hand are answered, then
    ``UnavailableError(DRAINING)`` says that others were not.
    """
    room = asyncio.Semaphore(window)
    in_hand: set[asyncio.Future[Answered]] = set()
    # An answer, or None when reading or serving has ended.
    events: asyncio.Queue[asyncio.Future[Answered] | None] = asyncio.Queue()

    async def read() -> None:
        async for request in requests:
            await room.acquire()
            if stopping.is_set():
                return
            task = asyncio.ensure_future(answer(request))
            in_hand.add(task)
            task.add_done_callback(events.put_nowait)

    reading = asyncio.create_task(read())
    halting = asyncio.create_task(stopping.wait())
    for ending in (reading, halting):
        ending.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while in_hand or not (reading.done() or halting.done()):
            answered = await events.get()
            if answered is not None:
                in_hand.discard(answered)
                room.release()
                yield answered.result()
        if reading.done():
            reading.result()
        if stopping.is_set():
            raise UnavailableError(
                Reason.DRAINING,
                "This process is shutting down; send again to another one what has no answer.",
                retry_after_s=1.0,
            )
    finally:
        unfinished: list[asyncio.Future[Any]] = [reading, halting, *in_hand]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
