"""Random histories of what captions cost: every store and a list of calls must look the same from outside."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.catalog.captions.model import Limit, Outcome, Reservation, Settlement, Spend, Usage
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.caption_adapters import DAY_US, HOUR_US, KINDS, World, id_of, open_world

T = TypeVar("T")
HISTORIES = {"sqlite": (40, 40), "mongo": (3, 25)}
CALLS = st.builds(
    Reservation,
    st.integers(0, 12).map(id_of),
    st.sampled_from(["a", "b-1"]),
    st.sampled_from(["", "batches/1", "batches/2"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from([HOUR_US, 5 * HOUR_US, DAY_US]),
)
COSTS = st.builds(
    Settlement,
    st.integers(0, 12).map(id_of),
    st.sampled_from(["a", "b-1"]),
    st.sampled_from(["", "batches/1", "batches/2"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(Outcome),
)
BOUND = st.one_of(st.none(), st.integers(0, 40))
LIMITS = st.builds(Limit, st.sampled_from(["", "a"]), st.booleans(), BOUND, BOUND)


@dataclass(slots=True)
class TwinCall:
    """A call, and what it counts with: its estimate while it is held, or usage."""

    wanted: Reservation | None
    day: str
    provider: str
    batch: str
    due_us: int
    usage: Usage | None = None
    settled: bool = False

    @property
    def spend(self) -> Spend:
        if self.usage is not None:
            return Spend(self.usage.micros, self.usage.input_tokens + self.usage.output_tokens)
        assert self.wanted
        return Spend(0, 0, self.wanted.micros, self.wanted.tokens)


class SpendHistory(RuleBasedStateMachine):
    """One history; ``kind`` is set by the test."""

    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sightmill-spend-"))
        self.runner = asyncio.Runner()
        # Shortly before a month ends.
        self.clock = Clock(1_704_060_000_000_000, step_us=0)
        self.known: dict[bytes, TwinCall] = {}
        self.forgotten: list[TwinCall] = []
        self.stack = AsyncExitStack()
        self.world: World = self.run(
            self.stack.enter_async_context(open_world(type(self).kind, self.folder, self.clock))
        )

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    @property
    def day(self) -> str:
        return datetime.fromtimestamp(self.clock.now_us // 1_000_000, UTC).strftime("%Y-%m-%d")

    def calls(self) -> list[TwinCall]:
        return [*self.known.values(), *self.forgotten]

    def total(self, period: str, provider: str) -> Spend:
        total = Spend()
        for call in self.calls():
            if call.day.startswith(period) and provider in {"", call.provider}:
                total = total.plus(call.spend)
        return total

    @rule(wanted=st.lists(CALLS, min_size=1, max_size=4), limits=st.lists(LIMITS, max_size=3))
    def reserve(self, wanted: list[Reservation], limits: list[Limit]) -> None:
        decisions = self.run(self.world.records.reserve_spend(wanted, limits))
        assert decisions == [self.decide(call, limits) for call in wanted]

    def decide(self, call: Reservation, limits: list[Limit]) -> Limit | None:
        if call.id in self.known:
            return None
        for limit in limits:
            if limit.provider not in {"", call.provider}:
                continue
            total = self.total(self.day[:7] if limit.monthly else self.day, limit.provider)
            for most, used in (
                (limit.micros, total.micros + total.reserved_micros + call.micros),
                (limit.tokens, total.tokens + total.reserved_tokens + call.tokens),
            ):
                if most is not None and used > most:
                    return limit
        due_us = self.clock.now_us + call.ttl_us
        self.known[call.id] = TwinCall(call, self.day, call.provider, call.batch, due_us)
        return None

    @rule(costs=st.lists(COSTS, min_size=1, max_size=4))
    def settle(self, costs: list[Settlement]) -> None:
        self.run(self.world.records.settle_spend(costs))
        for cost in costs:
            if cost.id not in self.known:
                self.known[cost.id] = TwinCall(None, self.day, cost.provider, cost.batch, 0)
            call = self.known.get(cost.id)
            if call and not call.settled:
                call.usage, call.settled = usage_of(cost), True
                call.due_us = self.clock.now_us + DAY_US

    @rule(hours=st.sampled_from([1, 1, 4, 24, 60]), most=st.sampled_from([1, 100]))
    def sweep_later(self, hours: int, most: int) -> None:
        self.clock.now_us += hours * HOUR_US
        while self.run(self.world.records.expire_calls(most)):
            pass
        for call in self.known.values():
            if call.usage is None and call.due_us <= self.clock.now_us:
                assert call.wanted
                call.usage = Usage(unsettled=1, input_tokens=call.wanted.tokens, micros=call.wanted.micros)
                call.due_us = self.clock.now_us + DAY_US

    @rule(hours=st.sampled_from([1, 25]))
    def time_passes(self, hours: int) -> None:
        self.clock.now_us += hours * HOUR_US

    @rule()
    def forget(self) -> None:
        while self.run(self.world.records.forget_calls(2)):
            pass
        for key, call in list(self.known.items()):
            if call.usage is not None and call.due_us <= self.clock.now_us:
                self.forgotten.append(self.known.pop(key))

    @invariant()
    def sums_and_rows_are_those_of_the_calls(self) -> None:
        for name, spend in self.run(self.world.totals()).items():
            period, _, provider = name.partition(" ")
            assert spend == self.total(period, provider), name
        totals = self.run(self.world.totals())
        assert totals.get(f"{self.day} ", Spend()) == self.total(self.day, "")
        assert totals.get(f"{self.day[:7]} ", Spend()) == self.total(self.day[:7], "")
        for by_batch, batch in ((False, ""), (True, ""), (True, "batches/1")):
            rows = self.run(self.world.usage(by_batch=by_batch, batch=batch, size=3))
            assert {place: usage for place, usage in rows.items() if usage != Usage()} == {
                place: usage for place, usage in self.rows(by_batch, batch).items() if usage != Usage()
            }

    def rows(self, by_batch: bool, batch: str) -> dict[str, Usage]:
        rows: dict[str, Usage] = {}
        for call in self.calls():
            if batch in {"", call.batch} and call.usage is not None:
                place = " ".join(filter(None, (call.day, call.provider, call.batch if by_batch else "")))
                rows[place] = rows.get(place, Usage()).plus(call.usage)
        return rows

    def teardown(self) -> None:
        try:
            self.run(self.stack.aclose())
            self.runner.close()
        finally:
            shutil.rmtree(self.folder)


def usage_of(cost: Settlement) -> Usage:
    if cost.outcome in {Outcome.RELEASED, Outcome.CACHED}:
        return Usage(cached=int(cost.outcome is Outcome.CACHED))
    images = int(cost.outcome is Outcome.DESCRIBED)
    unsettled = int(cost.outcome is Outcome.UNSETTLED)
    return Usage(images, 0, unsettled, cost.input_tokens, cost.output_tokens, cost.micros)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_random_histories_add_up(kind: str) -> None:
    examples, steps = HISTORIES[kind]
    history = type("History", (SpendHistory,), {"kind": kind})
    run_state_machine_as_test(
        history,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )
