"""Single calls that join."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.ingest.micro_batch import MicroBatch


class Store:
    """Answers when it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = asyncio.Event()
        self.problem: Exception | None = None

    async def get(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.calls.append(list(keys))
        await self.go.wait()
        if self.problem:
            raise self.problem
        return {key: key.upper() for key in keys if key != "missing"}


async def asked(batch: MicroBatch[str], *keys: str) -> list[asyncio.Task[str | None]]:
    tasks = [asyncio.create_task(batch.get(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_calls_that_come_meanwhile_join_the_next_one() -> None:
    store = Store()
    batch: MicroBatch[str] = MicroBatch(store.get, 100)
    first = await asked(batch, "a")
    rest = await asked(batch, "b", "c", "missing", "b")
    assert store.calls == [["a"]]
    store.go.set()
    assert await asyncio.gather(*first, *rest) == ["A", "B", "C", None, "B"]
    assert store.calls == [["a"], ["b", "c", "missing"]], "a key that two ask for is asked once"


async def test_no_call_is_larger_than_allowed() -> None:
    store = Store()
    batch: MicroBatch[str] = MicroBatch(store.get, 2)
    tasks = await asked(batch, "a", "b", "c", "d", "e")
    store.go.set()
    assert list(await asyncio.gather(*tasks)) == list("ABCDE")
    assert [len(keys) for keys in store.calls] == [2, 2, 1]


async def test_an_error_is_that_of_its_call_alone() -> None:
    store = Store()
    store.problem = ConnectionError("away")
    batch: MicroBatch[str] = MicroBatch(store.get, 2)
    tasks = await asked(batch, "a", "b")
    store.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, ConnectionError) for result in results)
    store.problem = None
    assert await batch.get("c") == "C", "the next call is made"


async def test_who_goes_away_takes_nobody_along() -> None:
    store = Store()
    batch: MicroBatch[str] = MicroBatch(store.get, 100)
    gone, stays, later = await asked(batch, "a", "a", "b")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    store.go.set()
    assert list(await asyncio.gather(stays, later)) == ["A", "B"]


async def test_who_goes_away_before_the_call_hurts_nobody() -> None:
    store = Store()
    store.problem = ConnectionError("away")
    batch: MicroBatch[str] = MicroBatch(store.get, 100)
    (first,) = await asked(batch, "a")
    gone, stays = await asked(batch, "b", "c")
    gone.cancel()
    store.go.set()
    with pytest.raises(ConnectionError):
        await first
    with pytest.raises(ConnectionError):
        await stays
