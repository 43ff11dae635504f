"""Lossy events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.runtime.errors import UnavailableError
from services.runtime.queue.port import Event, WorkQueue
from tests.servers.nats_server import NatsServer


async def following(events: AsyncIterator[Event], timeout_s: float = 5.0) -> Event:
    async with asyncio.timeout(timeout_s):
        return await anext(events)


async def test_a_listener_hears_what_it_asked_for(queue: WorkQueue, other: WorkQueue) -> None:
    async with queue.listen("batch.*") as batches, queue.listen("image.>") as images:
        await other.announce("batch.b1", b"1")
        await other.announce("image.i1.changed", b"2")
        await other.announce("batch.b1.deep", b"3")
        await other.announce("batch.b2", b"4")
        assert await following(batches) == Event("batch.b1", b"1")
        assert await following(batches) == Event("batch.b2", b"4")
        assert await following(images) == Event("image.i1.changed", b"2")


async def test_a_listener_survives_a_restart_and_says_that_something_may_be_missing(
    queue: WorkQueue, other: WorkQueue, server: NatsServer
) -> None:
    async with queue.listen("batch.*") as events:
        await other.announce("batch.b1", b"before")
        assert (await following(events)).payload == b"before"
        await server.restart()
        start_s = time.monotonic()
        assert (await following(events)).is_gap
        assert time.monotonic() - start_s < 2.0
        await other.ping(5.0)
        await other.announce("batch.b1", b"after")
        assert (await following(events)).payload == b"after"


async def test_a_slow_listener_loses_the_oldest_and_is_told(queue: WorkQueue, other: WorkQueue) -> None:
    async with queue.listen("*") as events:
        for n in range(3000):
            await other.announce("n", str(n).encode())
        async with queue.listen("end") as end:
            await other.announce("end", b"")
            await following(end)
        heard = [await following(events)]
        while heard[-1].topic != "end":
            heard.append(await following(events))
        assert heard[0].is_gap
        assert 1000 < len(heard) <= 1024
        assert [event.payload for event in heard[-3:-1]] == [b"2998", b"2999"]


async def test_announcing_without_a_broker_is_quick_and_silent(queue: WorkQueue, server: NatsServer) -> None:
    server.kill()
    async with asyncio.timeout(1.0):
        for _ in range(100):
            await queue.announce("batch.b1", b"")


async def test_listening_without_a_broker_fails_by_its_deadline(queue: WorkQueue, server: NatsServer) -> None:
    server.kill()
    with pytest.raises(UnavailableError):
        async with queue.listen("batch.*", 0.3):
            pass


async def test_a_closed_queue_ends_the_iteration(queue: WorkQueue) -> None:
    async with queue.listen("batch.*") as events:
        waiting = asyncio.create_task(following(events))
        await queue.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 2.0)


@pytest.mark.parametrize("topic", ["", "a b", "a..b", ".a", "*", "a.>", "a\r\nPUB x 0"])
async def test_a_topic_that_could_mean_more_is_refused(queue: WorkQueue, topic: str) -> None:
    with pytest.raises(ValueError, match="Event"):
        await queue.announce(topic, b"")


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a b", "a*", "$JS.>"])
async def test_a_pattern_that_is_none_is_refused(queue: WorkQueue, pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        async with queue.listen(pattern):
            pass
