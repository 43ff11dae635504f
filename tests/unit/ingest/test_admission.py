"""Two gates: wait while few wait, refuse at once when many do."""

from __future__ import annotations

import asyncio

import pytest

from services.ingest.admission import Admission
from services.runtime.errors import Reason, ResourceExhaustedError


class Visitor:
    """Holds a slot until it is told to go."""

    def __init__(self, admission: Admission) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(admission))

    async def _visit(self, admission: Admission) -> None:
        async with admission.slot():
            self.inside.set()
            await self.leave.wait()


async def visitors(admission: Admission, count: int) -> list[Visitor]:
    came = [Visitor(admission) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return came


async def leave(*came: Visitor) -> None:
    for visitor in came:
        visitor.leave.set()
    await asyncio.gather(*(visitor.task for visitor in came), return_exceptions=True)


async def test_some_come_in_some_wait_and_the_rest_is_refused() -> None:
    admission = Admission(max_receiving=2, max_waiting=1)
    first, second, third, fourth = await visitors(admission, 4)
    assert first.inside.is_set()
    assert second.inside.is_set()
    assert not third.inside.is_set()
    with pytest.raises(ResourceExhaustedError) as caught:
        await fourth.task
    assert caught.value.reason == Reason.OVERLOADED
    assert caught.value.retry_after_s
    await leave(first)
    await asyncio.wait_for(third.inside.wait(), 1)
    await leave(second, third)


async def test_with_nobody_allowed_to_wait_free_slots_are_still_given() -> None:
    admission = Admission(max_receiving=1, max_waiting=0)
    (first,) = await visitors(admission, 1)
    assert first.inside.is_set()
    (refused,) = await visitors(admission, 1)
    with pytest.raises(ResourceExhaustedError):
        await refused.task
    await leave(first)
    (again,) = await visitors(admission, 1)
    assert again.inside.is_set()
    await leave(again)


async def test_who_gives_up_waiting_leaves_the_place_to_others() -> None:
    admission = Admission(max_receiving=1, max_waiting=1)
    first, waiting = await visitors(admission, 2)
    waiting.task.cancel()
    await asyncio.gather(waiting.task, return_exceptions=True)
    (second,) = await visitors(admission, 1)
    assert not second.task.done(), "the place in the queue is free again"
    await leave(first)
    await asyncio.wait_for(second.inside.wait(), 1)
    await leave(second)


async def test_a_slot_is_given_back_after_an_error() -> None:
    admission = Admission(max_receiving=1, max_waiting=0)
    for _ in range(3):
        with pytest.raises(KeyError):
            async with admission.slot():
                raise KeyError
