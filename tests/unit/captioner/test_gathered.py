"""Calls that share one RPC: none waits alone, none disturbs another."""

from __future__ import annotations

import asyncio

import pytest

from services.captioner.records.gathered import CrowdedError, Gathered
from services.runtime.context import current_request_id, entered


class Rpc:
    """Doubles numbers; each call waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.request_ids: list[str] = []
        self.gate = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.request_ids.append(current_request_id())
        await self.gate.acquire()
        if self.error:
            raise self.error
        return [2 * item for item in items]


def ask(gathered: Gathered[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(gathered.one(item)) for item in items]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_first_goes_at_once_and_the_rest_together() -> None:
    rpc = Rpc()
    gathered = Gathered(rpc, most=3, max_waiting=10)
    first = ask(gathered, 1)
    await settled()
    others = ask(gathered, 2, 3, 4, 5)
    await settled()
    assert rpc.batches == [[1]]
    for _ in range(3):
        rpc.gate.release()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert rpc.batches == [[1], [2, 3, 4], [5]]


async def test_it_works_again_after_it_was_idle() -> None:
    rpc = Rpc()
    gathered = Gathered(rpc, most=3, max_waiting=10)
    for item in (1, 2):
        rpc.gate.release()
        assert await gathered.one(item) == 2 * item
        await settled()


async def test_who_is_cancelled_disturbs_nobody() -> None:
    rpc = Rpc()
    gathered = Gathered(rpc, most=9, max_waiting=10)
    leader, follower = ask(gathered, 1, 2)
    await settled()
    waiting, gone = ask(gathered, 3, 4)
    await settled()
    leader.cancel()
    gone.cancel()
    await settled()
    rpc.gate.release()
    rpc.gate.release()
    assert [await follower, await waiting] == [4, 6]
    assert rpc.batches == [[1, 2], [3]]


async def test_an_error_goes_to_all_of_its_items_and_to_no_other() -> None:
    rpc = Rpc()
    gathered = Gathered(rpc, most=9, max_waiting=10)
    failing = ask(gathered, 1, 2)
    await settled()
    later = ask(gathered, 3)
    rpc.error = RuntimeError("no")
    rpc.gate.release()
    assert [str(each) for each in await asyncio.gather(*failing, return_exceptions=True)] == ["no", "no"]
    rpc.error = None
    rpc.gate.release()
    assert await later[0] == 6


async def test_an_answer_of_the_wrong_length_is_an_error() -> None:
    async def forgetful(items: list[int]) -> list[int]:
        return items[1:]

    with pytest.raises(ValueError, match="shorter"):
        await Gathered(forgetful, most=9, max_waiting=10).one(1)


async def test_the_line_is_bounded() -> None:
    rpc = Rpc()
    gathered = Gathered(rpc, most=1, max_waiting=2)
    tasks = ask(gathered, 1)
    await settled()
    tasks += ask(gathered, 2, 3)
    await settled()
    with pytest.raises(CrowdedError):
        await gathered.one(4)
    for _ in tasks:
        rpc.gate.release()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_the_rpc_belongs_to_no_request() -> None:
    rpc = Rpc()
    rpc.gate.release()
    with entered({"x-request-id": "somebody"}):
        await Gathered(rpc, most=1, max_waiting=2).one(1)
    assert rpc.request_ids == [""]
