"""The search for near duplicates, against comparing each with each."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.duplicates import MOST_PARTNERS, DuplicateSweep, find_copies
from services.catalog.looks.look_index import LookIndex
from services.catalog.model import Look, LookPair, LookRow
from services.runtime.errors import Reason, UnavailableError
from tests.unit.catalog.looks import StoredLooks, bits, look

DARK = bytes((20, 128, 128)) * 16
# Hashes near to each other and far from each other, so that all branches of the rule are met.
HASHES = st.builds(bits, st.integers(0, 20), st.sampled_from([0, 2, 40]))
LOOKS = st.builds(Look, HASHES, HASHES, st.sampled_from([look().signature, DARK, b""]))


def rate(one: Look, other: Look) -> int | None:
    """The measured rule, one pair at a time."""
    phash, dhash = (one.phash ^ other.phash).bit_count(), (one.dhash ^ other.dhash).bit_count()
    if phash <= 10:
        return phash
    like = one.signature == other.signature != b""
    return max(11, min(phash, dhash)) if min(phash, dhash) <= 14 and like else None


def all_pairs(store: StoredLooks) -> dict[tuple[int, int], int]:
    """The nearest earlier partners of each image."""
    pairs = {}
    for row in store.rows.values():
        rated = [
            (found, other.number)
            for other in store.rows.values()
            if other.sequence < row.sequence and (found := rate(row.look, other.look)) is not None
        ]
        pairs.update({(row.number, number): found for found, number in sorted(rated)[:MOST_PARTNERS]})
    return pairs


def stored(store: StoredLooks) -> dict[tuple[int, int], int]:
    return {key: pair.distance for key, pair in store.pairs.items()}


def store_row(number: int, phash: int, dhash: int) -> LookRow:
    return LookRow(number, number, look(phash, dhash, b""))


async def sweep_all(store: StoredLooks, block: int = 5) -> None:
    index = LookIndex(store)
    sweep = DuplicateSweep(store, index, DuplicatePairs(store, index))
    while await sweep.compare_next(block):
        pass


@settings(deadline=None)
@given(st.lists(LOOKS, max_size=40))
def test_it_finds_what_comparing_each_with_each_finds(looks: list[Look]) -> None:
    store = StoredLooks()
    for number, one in enumerate(looks, 1):
        store.put(number, one)
    asyncio.run(sweep_all(store))
    assert stored(store) == all_pairs(store)
    assert store.mark == len(looks)


@settings(deadline=None)
@given(st.lists(LOOKS, min_size=1, max_size=20), st.lists(st.tuples(st.integers(1, 25), LOOKS), max_size=20))
def test_the_order_of_changes_counts_not_that_of_images(
    first: list[Look], then: list[tuple[int, Look]]
) -> None:
    async def follow() -> None:
        store = StoredLooks()
        for number, one in enumerate(first, 1):
            store.put(number, one)
        index = LookIndex(store)
        await index.refresh()
        for number, one in then:
            store.put(number, one)
        sweep = DuplicateSweep(store, index, DuplicatePairs(store, index))
        while await sweep.compare_next(3):
            pass
        assert stored(store) == all_pairs(store)

    asyncio.run(follow())


async def test_it_finds_copies_across_a_large_catalog() -> None:
    random = np.random.default_rng(11)
    store = StoredLooks()
    for number, (phash, dhash) in enumerate(random.integers(0, 2**64, (70_000, 2), dtype=np.uint64), 1):
        store.rows[number] = store_row(number, int(phash), int(dhash))
    for copy, original in ((70_001, 5), (70_002, 40_000), (70_003, 69_999)):
        phash = store.rows[original].look.phash ^ 0b101
        store.rows[copy] = store_row(copy, phash, int(random.integers(2**63)))
    index = LookIndex(store)
    await index.refresh()
    ones, others, rates = find_copies(index.looks, np.arange(70_000, 70_003))
    found = zip(index.looks.numbers[ones].tolist(), index.looks.numbers[others].tolist(), rates, strict=True)
    assert list(found) == [(70_001, 5, 2), (70_002, 40_000, 2), (70_003, 69_999, 2)]


async def test_an_image_that_is_analysed_again_is_compared_again() -> None:
    store = StoredLooks()
    store.put(1, look(0))
    store.put(2, look(bits(30), bits(30)))
    await sweep_all(store)
    assert stored(store) == {}
    store.put(1, look(bits(31), 0))
    await sweep_all(store)
    assert stored(store) == {(1, 2): 1}


async def test_a_restart_goes_on_where_it_stood() -> None:
    store = StoredLooks()
    for number in range(1, 8):
        store.put(number, look(0))
    index = LookIndex(store)
    assert await DuplicateSweep(store, index, DuplicatePairs(store, index)).compare_next(3) == 3
    assert store.mark == 3
    before = dict(store.pairs)
    store.pairs.clear()
    await sweep_all(store)
    assert set(store.pairs).isdisjoint(before)
    assert {number for number, _ in store.pairs} == {4, 5, 6, 7}


async def test_a_crash_before_the_pairs_are_written_repeats_the_block() -> None:
    class Crashing(StoredLooks):
        async def write_pairs(self, *_: object) -> None:
            raise UnavailableError(Reason.STORE_UNAVAILABLE, "Gone.")

    store = StoredLooks()
    for number in range(1, 6):
        store.put(number, look(number))
    crashing = Crashing(store.rows)
    with pytest.raises(UnavailableError):
        await sweep_all(crashing)
    assert crashing.mark == 0
    await sweep_all(store)
    assert stored(store) == all_pairs(store)


async def test_it_works_in_the_background_through_failures_until_it_is_stopped() -> None:
    class Flaky(StoredLooks):
        async def compared_through(self) -> int:
            self.reads += 1
            if self.reads == 3:
                raise UnavailableError(Reason.STORE_UNAVAILABLE, "Not now.")
            if self.mark == 3:
                stopping.set()
            return self.mark

    stopping = asyncio.Event()
    store = Flaky(pairs={(2, 1): LookPair(2, 1, 1)}, mark=2)
    for number in range(1, 4):
        store.put(number, look(number))
    index = LookIndex(store)
    pairs = DuplicatePairs(store, index)
    await asyncio.wait_for(DuplicateSweep(store, index, pairs, interval_s=0.01).run(stopping), 20)
    assert set(store.pairs) == {(2, 1), (3, 1), (3, 2)}
    assert index.looks.numbers[pairs.slots].T.tolist() == [[2, 1], [3, 1], [3, 2]]


async def test_pairs_are_read_anew_when_another_process_went_on() -> None:
    store = StoredLooks()
    for number in range(1, 4):
        store.put(number, look(0))
    index = LookIndex(store)
    await index.refresh()
    pairs = DuplicatePairs(store, index)
    assert await pairs.refresh() == 0
    sweep = DuplicateSweep(store, index, pairs)
    assert await sweep.compare_next(2) == 2
    assert index.looks.numbers[pairs.slots].tolist() == [[2], [1]]
    await sweep_all(store)
    assert await pairs.refresh() == 3
    assert sorted(map(tuple, index.looks.numbers[pairs.slots].T.tolist())) == [(2, 1), (3, 1), (3, 2)]


async def test_a_sweep_that_goes_on_from_another_does_not_hide_its_pairs() -> None:
    store = StoredLooks()
    for number in range(1, 4):
        store.put(number, look(0))
    index = LookIndex(store)
    assert await DuplicateSweep(store, index, DuplicatePairs(store, index)).compare_next(2) == 2
    pairs = DuplicatePairs(store, index)
    assert await DuplicateSweep(store, index, pairs).compare_next() == 1
    await pairs.refresh()
    assert sorted(map(tuple, index.looks.numbers[pairs.slots].T.tolist())) == [(2, 1), (3, 1), (3, 2)]


async def test_pairs_beyond_the_bound_are_left_out() -> None:
    store = StoredLooks()
    for number in range(1, 6):
        store.put(number, look(0))
    store.pairs = {(5, other): LookPair(5, other, 0) for other in (1, 2, 3, 4)}
    store.mark = 5
    index = LookIndex(store)
    pairs = DuplicatePairs(store, index, most=3)
    await pairs.refresh()
    assert pairs.slots.shape == (2, 3)
