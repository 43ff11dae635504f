"""The index of looks against the store that it follows."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.looks.look_index import LookIndex
from services.catalog.model import LookRow
from services.runtime.errors import Reason, UnavailableError
from tests.unit.catalog.looks import StoredLooks, look

STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "drop", "read"]), st.integers(1, 30), st.integers(0, 2**64 - 1)),
    max_size=60,
)


def seen(index: LookIndex) -> dict[int, tuple[int, int, bytes]]:
    looks = index.looks
    return {
        int(number): (
            int(looks.sequences[slot]),
            int(looks.phashes[slot]),
            looks.signatures[:, slot].tobytes(),
        )
        for slot, number in enumerate(looks.numbers)
        if number
    }


@settings(deadline=None)
@given(STEPS)
def test_it_says_what_the_store_says(steps: list[tuple[str, int, int]]) -> None:
    async def follow() -> None:
        store = StoredLooks()
        index = LookIndex(store)
        sequence = 0
        for step, number, phash in steps:
            if step == "put":
                sequence += 1
                signature = phash.to_bytes(8, "big") * 6
                store.rows[number] = LookRow(sequence, number, look(phash, signature=signature))
            elif step == "drop" and number in store.rows:
                position = index.position
                del store.rows[number]
                index.forget([number], position)
            else:
                await index.refresh()
        await index.refresh()
        # What is gone and was never noticed may stay; everything else is as the store says.
        assert {
            number: (row.sequence, row.look.phash, row.look.signature) for number, row in store.rows.items()
        }.items() <= seen(index).items()
        assert index.count == len(seen(index))

    asyncio.run(follow())


async def test_it_grows_and_keeps_what_it_has() -> None:
    store = StoredLooks()
    for number in range(1, 5_001):
        store.put(number, look(number))
    index = LookIndex(store)
    await index.refresh()
    assert index.count == 5_000
    assert {number: phash for number, (_, phash, _) in seen(index).items()} == {n: n for n in range(1, 5_001)}


async def test_a_later_row_replaces_the_earlier_one() -> None:
    store = StoredLooks()
    store.put(7, look(1))
    index = LookIndex(store)
    await index.refresh()
    store.put(7, look(2))
    await index.refresh()
    assert seen(index) == {7: (2, 2, look().signature)}


async def test_what_came_back_is_not_forgotten() -> None:
    store = StoredLooks()
    store.put(7, look(1))
    index = LookIndex(store)
    await index.refresh()
    before = index.position
    store.put(7, look(1))
    await index.refresh()
    index.forget([7], before)
    assert index.count == 1
    index.forget([7], index.position)
    assert index.count == 0
    assert index.slots_of(np.array([7, 8, 10**12, -1])).tolist() == [-1, -1, -1, -1]


async def test_who_waits_too_long_is_told_to_come_back() -> None:
    class Slow(StoredLooks):
        async def read_looks(self, *_: object) -> list[LookRow]:
            await asyncio.Event().wait()
            return []

    with pytest.raises(UnavailableError) as refusal:
        await LookIndex(Slow(), patience_s=0.01).refresh()
    assert refusal.value.reason == Reason.STORE_UNAVAILABLE
    assert refusal.value.retry_after_s


async def test_it_follows_the_store_in_the_background() -> None:
    class Failing(StoredLooks):
        async def read_looks(self, after: int, most: int) -> list[LookRow]:
            if not self.reads:
                self.reads += 1
                raise UnavailableError(Reason.STORE_UNAVAILABLE, "Not now.")
            stopping.set()
            return await StoredLooks.read_looks(self, after, most)

    stopping = asyncio.Event()
    store = Failing()
    store.put(1, look(1))
    index = LookIndex(store, interval_s=0.01)
    await asyncio.wait_for(index.follow(stopping), 20)
    assert index.count == 1
