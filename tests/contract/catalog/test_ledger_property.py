"""Random histories of batches: every store and a few dictionaries must look the same from outside."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.catalog.ledger.model import BatchQuery, NewBatch
from services.catalog.ledger.states import ItemState
from services.catalog.ledger.store import LedgerStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.ledger_adapters import KINDS, items, letters_of, open_ledger, outcomes
from tests.contract.catalog.ledger_twin import VERBS, TwinBatch

T = TypeVar("T")
PICKS = st.integers(0, 1_000)
ENDED = {"s": ItemState.SUCCEEDED, "f": ItemState.FAILED, "c": ItemState.CANCELLED}
HISTORIES = {"sqlite": (40, 40), "mongo": (4, 20)}
LATE_US = 2**62


class LedgerHistory(RuleBasedStateMachine):
    """One history; ``kind`` is set by the test."""

    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sightmill-ledger-"))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.batches: list[TwinBatch] = []
        self.touched: list[TwinBatch] = []
        self.stack = AsyncExitStack()
        opening = self.stack.enter_async_context(open_ledger(type(self).kind, self.folder, self.clock))
        self.ledger: LedgerStore = self.run(opening)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def pick(self, number: int, *, with_items: bool = False) -> TwinBatch | None:
        """A batch; nothing if there is none."""
        chosen = [batch for batch in self.batches if batch.parts is None or not with_items]
        if not chosen:
            return None
        batch = chosen[number % len(chosen)]
        self.touched = [batch, *(batch.parts or ()), *([batch.parent] if batch.parent else [])]
        return batch

    def refused(self, call: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(ServiceError) as refusal:
            self.run(call)
        assert refusal.value.reason == Reason.WRONG_STATE

    def add(self, new: NewBatch, parent: TwinBatch | None = None) -> TwinBatch:
        record, _ = self.run(self.ledger.create_batch(new, ""))
        batch = TwinBatch(record.uuid, [] if new.part_count else None, parent)
        self.batches.append(batch)
        return batch

    @precondition(lambda self: len(self.batches) < 6)
    @rule(count=st.sampled_from([0, 1, 3, 101]), start=st.booleans())
    def create(self, count: int, start: bool) -> None:
        batch = self.add(NewBatch())
        if count:
            self.run(self.ledger.append_items(batch.uuid, items(count)))
            assert batch.append(count)
        if count and start:
            self.run(self.ledger.start_batch(batch.uuid))
            assert batch.move("start")
        self.touched = [batch]

    @precondition(lambda self: len(self.batches) < 6)
    @rule(counts=st.lists(st.integers(1, 3), min_size=2, max_size=2))
    def create_parts(self, counts: list[int]) -> None:
        parent = self.add(NewBatch(part_count=len(counts)))
        assert parent.parts is not None
        for number, count in enumerate(counts, 1):
            part = self.add(NewBatch(parent=parent.uuid, part_number=number), parent)
            self.run(self.ledger.append_items(part.uuid, items(count)))
            part.append(count)
            parent.parts.append(part)
        self.touched = [parent, *parent.parts]

    @rule(number=PICKS, count=st.sampled_from([1, 2, 99]))
    def append(self, number: int, count: int) -> None:
        if (batch := self.pick(number)) is None:
            return
        call = self.ledger.append_items(batch.uuid, items(count))
        if batch.append(count):
            self.run(call)
        else:
            self.refused(call)

    @rule(number=PICKS, verb=st.sampled_from(VERBS))
    def move(self, number: int, verb: str) -> None:
        if (batch := self.pick(number)) is None:
            return
        call = getattr(self.ledger, f"{verb}_batch")(batch.uuid)
        if batch.move(verb):
            assert self.run(call).state is batch.state
        else:
            self.refused(call)

    @rule(number=PICKS, chunk=PICKS, late=st.booleans(), likely=st.sampled_from("sfr"), data=st.data())
    def apply(self, number: int, chunk: int, late: bool, likely: str, data: st.DataObject) -> None:
        batch = self.pick(number, with_items=True)
        if batch is None or not batch.chunks:
            return
        # Rather a chunk that is not done, so that histories get on.
        waiting = [index for index, known in enumerate(batch.chunks, 1) if not known.done]
        pick = waiting if waiting and chunk % 4 else list(range(1, len(batch.chunks) + 1))
        place = pick[chunk % len(pick)]
        known = batch.chunks[place - 1]
        few = data.draw(st.text(st.sampled_from("sfr"), min_size=0, max_size=min(4, len(known.rows))))
        letters = few + likely * (len(known.rows) - len(few))
        generation = known.generation - (late and chunk % 5 == 0)
        results = outcomes(letters, known.rows)
        answer = self.run(self.ledger.apply_chunk(batch.uuid, place, generation, results))
        assert answer.verdict is batch.apply(place, generation, letters)
        successor = answer.successor.number if answer.successor else 0
        if answer.verdict.name in {"APPLIED", "DUPLICATE"}:
            wanted = known.successor if known.successor and not batch.chunks[known.successor - 1].done else 0
            assert successor == wanted

    @rule(number=PICKS, kinds=st.sampled_from(["f", "f", "s", "c", "fc", "sfc"]))
    def retry(self, number: int, kinds: str) -> None:
        if (batch := self.pick(number)) is None:
            return
        call = self.ledger.retry_batch(batch.uuid, (), frozenset(ENDED[kind] for kind in kinds))
        count = batch.retry(kinds)
        if count is None:
            self.refused(call)
        else:
            assert self.run(call)[1] == count

    @invariant()
    def what_was_touched_looks_as_it_should(self) -> None:
        for batch in self.touched:
            self.run(self.compare(batch))
        self.touched = []

    async def compare(self, batch: TwinBatch) -> None:
        record = await self.ledger.get_batch(batch.uuid)
        progress = record.progress
        counts = (
            progress.total,
            progress.succeeded,
            progress.failed,
            progress.retrying,
            progress.cancelled,
        )
        assert (record.state, counts) == (batch.state, batch.counts)
        assert progress.usage.cost_micros == batch.cost
        assert (record.end_time_us is not None) == record.state.is_final
        if batch.parts is None:
            assert await letters_of(self.ledger, batch.uuid) == batch.letters
            missing = await self.ledger.list_missing_chunks(batch.uuid, LATE_US, 1_000)
            assert [
                (chunk.number, chunk.generation, chunk.attempt, list(chunk.rows)) for chunk in missing
            ] == [
                (number, chunk.generation, chunk.attempt, chunk.rows)
                for number, chunk in enumerate(batch.chunks, 1)
                if not chunk.done and batch.state.is_active
            ]

    def teardown(self) -> None:
        try:
            self.touched = self.batches
            self.what_was_touched_looks_as_it_should()
            listed = self.run(self.ledger.list_batches(BatchQuery(), 100)).batches
            assert [record.uuid for record in listed] == [batch.uuid for batch in reversed(self.batches)]
        finally:
            self.run(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_random_histories_look_like_those_of_the_twin(kind: str) -> None:
    examples, steps = HISTORIES[kind]
    history = type("History", (LedgerHistory,), {"kind": kind})
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
