"""The background work on caption records: bounded steps, and no bad moment ends it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from services.catalog.captions.upkeep import CaptionUpkeep
from services.runtime.errors import Reason, UnavailableError

BAD_MOMENT = UnavailableError(Reason.STORE_UNAVAILABLE, "The store is away.")


class Steps:
    """Answers the steps with what is left to do, and stops the work after some of them."""

    def __init__(self, stopping: asyncio.Event, stop_after: int, fault: Exception | None = None) -> None:
        self.left = {"expire_calls": 300, "forget_calls": 256, "drop_captions": 700}
        self.calls: Counter[str] = Counter()
        self.dropped: list[tuple[int, int]] = []
        self._stopping = stopping
        self._stop_after = stop_after
        self._fault = fault

    async def expire_calls(self, most: int) -> int:
        return self._step("expire_calls", most)

    async def forget_calls(self, most: int) -> int:
        return self._step("forget_calls", most)

    async def drop_captions(self, before_us: int, most_kept: int, most: int) -> int:
        self.dropped.append((before_us, most_kept))
        return self._step("drop_captions", most)

    def _step(self, name: str, most: int) -> int:
        self.calls[name] += 1
        if self.calls.total() >= self._stop_after:
            self._stopping.set()
        if self._fault and self.calls.total() == 1:
            raise self._fault
        done = min(most, self.left[name])
        self.left[name] -= done
        return done


def upkeep(steps: Any, most_kept: int = 5, interval_s: float = 0.001) -> CaptionUpkeep:
    return CaptionUpkeep(steps, most_kept, 60.0, interval_s)


async def test_all_that_is_due_is_done_in_bounded_steps() -> None:
    stopping = asyncio.Event()
    steps = Steps(stopping, 100)
    await upkeep(steps).tend(stopping)
    assert set(steps.left.values()) == {0}
    assert steps.calls == {"expire_calls": 3, "forget_calls": 2, "drop_captions": 4}


async def test_it_ends_between_two_steps() -> None:
    stopping = asyncio.Event()
    steps = Steps(stopping, 4)
    await upkeep(steps, interval_s=3_600.0).run(stopping)
    assert steps.calls.total() == 4


async def test_a_bad_moment_does_not_end_it() -> None:
    for fault in (BAD_MOMENT, TimeoutError()):
        stopping = asyncio.Event()
        steps = Steps(stopping, 20, fault)
        await upkeep(steps).run(stopping)
        assert set(steps.left.values()) == {0}


async def test_where_none_are_kept_all_go_whatever_their_age() -> None:
    stopping = asyncio.Event()
    for most_kept in (0, 5):
        steps = Steps(stopping, 100)
        await upkeep(steps, most_kept).tend(stopping)
        age_s = 60.0 if most_kept else 0.0
        before_us, kept = steps.dropped[0]
        later = Steps(stopping, 100)
        await upkeep(later, 0).tend(stopping)
        assert kept == most_kept
        assert 0 <= later.dropped[0][0] - before_us - age_s * 1_000_000 < 10_000_000
