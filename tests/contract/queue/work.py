"""Messages and lanes for the tests of the queue."""

from __future__ import annotations

import asyncio

from services.runtime.queue.port import Lane, LaneClass, LaneState, Lease, Message, Puller, WorkQueue
from tests.servers.waiting import until

SLACK_S = 2.0
"""How much later than asked a delivery may come."""


def lane(name: str = "a", *, class_: LaneClass = "std", weight: int = 3, **bounds: float) -> Lane:
    wait_s = bounds.get("ack_wait_s", 60.0)
    return Lane(
        class_,
        name,
        weight,
        int(bounds.get("max_in_flight", 64)),
        wait_s,
        int(bounds.get("max_deliveries", 10)),
    )


def messages(count: int, prefix: str = "m") -> list[Message]:
    return [Message(f"{prefix}{n}".encode(), f"{prefix}{n}") for n in range(count)]


async def take(puller: Puller, timeout_s: float = 5.0) -> Lease:
    """The next lease."""
    async with asyncio.timeout(timeout_s):
        return await anext(puller)


async def comes_nothing(puller: Puller, within_s: float) -> bool:
    """True when no lease comes in the time."""
    try:
        await take(puller, within_s)
    except TimeoutError:
        return True
    return False


async def drain(queue: WorkQueue, lane: Lane) -> list[str]:
    """Takes and settles until the lane is empty; the ids in the order in which they came."""
    ids: list[str] = []

    async def work() -> None:
        async for lease in puller:
            ids.append(lease.message_id)
            await lease.done()

    async def is_empty() -> bool:
        return await state(queue, lane) == LaneState(0, 0, 0, paused=False)

    async with queue.lease([lane], 64) as puller:
        workers = [asyncio.create_task(work()) for _ in range(64)]
        await until(is_empty, "the lane is empty", 30.0)
        await puller.stop()
        await asyncio.gather(*workers)
    return ids


async def state(queue: WorkQueue, lane: Lane) -> LaneState:
    found = await queue.lane_state(lane)
    assert found
    return found
