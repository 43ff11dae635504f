"""The lives of batches and items: every verb from every state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import pytest

from services.catalog.ledger import states
from services.catalog.ledger.states import BatchState, ItemState, Verdict
from services.runtime.errors import FailedPreconditionError, Reason
from sightmill.v1 import batches_pb2

S = BatchState
FAILED, CANCELLED = frozenset({ItemState.FAILED}), frozenset({ItemState.FAILED, ItemState.CANCELLED})

# Rows: a verb with five items of which so many are open and have failed. Columns: what it makes of CREATED,
# QUEUED, RUNNING, PAUSED, COMPLETED, FAILED and CANCELLED; a dash where it is refused.
TABLE: dict[str, tuple[Callable[[BatchState], BatchState], str]] = {
    "start": (lambda state: states.started(state, 5), "QUEUED - - - - - -"),
    "start without items": (lambda state: states.started(state, 0), "- - - - - - -"),
    "pause": (states.paused, "- PAUSED PAUSED - - - -"),
    "resume": (lambda state: states.resumed(state, 5, 0, 5), "- - - QUEUED - - -"),
    "resume, all ended": (lambda state: states.resumed(state, 5, 4, 0), "- - - COMPLETED - - -"),
    "resume, all failed": (lambda state: states.resumed(state, 5, 5, 0), "- - - FAILED - - -"),
    "cancel": (states.cancelled, "CANCELLED CANCELLED CANCELLED CANCELLED - CANCELLED -"),
    "retry": (lambda state: retry(state, FAILED), "- QUEUED RUNNING PAUSED QUEUED QUEUED -"),
    "retry, cancelled too": (
        lambda state: retry(state, CANCELLED),
        "- QUEUED RUNNING PAUSED QUEUED QUEUED QUEUED",
    ),
    "results": (
        lambda state: states.advanced(state, 5, 1, 2),
        "CREATED RUNNING RUNNING PAUSED COMPLETED FAILED CANCELLED",
    ),
    "last results": (
        lambda state: states.advanced(state, 5, 4, 0),
        "CREATED COMPLETED COMPLETED PAUSED COMPLETED FAILED CANCELLED",
    ),
    "last of failures": (
        lambda state: states.advanced(state, 5, 5, 0),
        "CREATED FAILED FAILED PAUSED COMPLETED FAILED CANCELLED",
    ),
}


def retry(state: BatchState, kinds: frozenset[ItemState]) -> BatchState:
    states.check_retry(state, kinds)
    return states.retried(state)


@pytest.mark.parametrize("state", list(BatchState))
@pytest.mark.parametrize("verb", list(TABLE))
def test_every_verb_from_every_state(verb: str, state: BatchState) -> None:
    move, row = TABLE[verb]
    expected = row.split()[state - 1]
    if expected == "-":
        with pytest.raises(FailedPreconditionError) as refusal:
            move(state)
        assert refusal.value.reason == Reason.WRONG_STATE
        assert refusal.value.metadata == {"state": state.name}
        assert state.name in refusal.value.message
    else:
        assert move(state) is BatchState[expected]


def test_states_are_those_of_the_contract() -> None:
    for mine, theirs in (
        (BatchState, batches_pb2.Batch.State),
        (ItemState, batches_pb2.BatchItem.State),
    ):
        assert {state.name: state.value for state in mine} == {
            name: number for name, number in theirs.items() if number
        }


def test_what_is_final_and_what_is_active() -> None:
    assert [state for state in S if state.is_final] == [S.COMPLETED, S.FAILED, S.CANCELLED]
    assert [state for state in S if state.is_active] == [S.QUEUED, S.RUNNING]


@pytest.mark.parametrize("state", list(BatchState))
def test_results_of_a_chunk_are_judged_by_its_run(state: BatchState) -> None:
    fresh = {
        S.CREATED: Verdict.STALE,
        S.COMPLETED: Verdict.CANCELLED,
        S.FAILED: Verdict.CANCELLED,
        S.CANCELLED: Verdict.CANCELLED,
    }.get(state, Verdict.APPLIED)
    assert states.judge(state, same_run=True, done=False) is fresh
    known = Verdict.STALE if state is S.CREATED else Verdict.DUPLICATE
    assert states.judge(state, same_run=True, done=True) is known
    for done in (False, True):
        assert states.judge(state, same_run=False, done=done) is Verdict.STALE


@pytest.mark.parametrize("batch", list(BatchState))
@pytest.mark.parametrize("item", list(ItemState))
def test_open_items_of_a_cancelled_batch_are_shown_as_cancelled(item: ItemState, batch: BatchState) -> None:
    hidden = batch is S.CANCELLED and item in {ItemState.PENDING, ItemState.RETRYING}
    assert states.shown(item, batch) is (ItemState.CANCELLED if hidden else item)
    # Asking for what is shown finds what is stored.
    if item in states.stored(frozenset(ItemState), batch):
        assert item in states.stored(frozenset({states.shown(item, batch)}), batch)


def test_states_that_are_never_stored_find_nothing() -> None:
    assert states.stored(frozenset({ItemState.RUNNING}), S.RUNNING) == ()
    assert states.stored(frozenset({ItemState.CANCELLED}), S.RUNNING) == ()
    assert states.stored(frozenset({ItemState.PENDING}), S.CANCELLED) == ()


PAIRS = {
    "CREATED QUEUED": "QUEUED", "CREATED RUNNING": "RUNNING", "CREATED PAUSED": "PAUSED",
    "CREATED COMPLETED": "QUEUED", "CREATED FAILED": "QUEUED", "CREATED CANCELLED": "QUEUED",
    "QUEUED RUNNING": "RUNNING", "QUEUED PAUSED": "QUEUED", "QUEUED COMPLETED": "QUEUED",
    "QUEUED FAILED": "QUEUED", "QUEUED CANCELLED": "QUEUED", "RUNNING PAUSED": "RUNNING",
    "RUNNING COMPLETED": "RUNNING", "RUNNING FAILED": "RUNNING", "RUNNING CANCELLED": "RUNNING",
    "PAUSED COMPLETED": "PAUSED", "PAUSED FAILED": "PAUSED", "PAUSED CANCELLED": "PAUSED",
    "COMPLETED FAILED": "COMPLETED", "COMPLETED CANCELLED": "CANCELLED", "FAILED CANCELLED": "CANCELLED",
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(combinations_with_replacement(BatchState, 2)))
def test_a_parent_is_in_the_state_of_its_parts(one: BatchState, other: BatchState) -> None:
    expected = BatchState[PAIRS.get(f"{one.name} {other.name}", one.name)]
    for parts in ([one, other], [other, one, other]):
        assert states.whole(parts, has_results=False) is expected
    if one is not other:
        begun = S.RUNNING if S.QUEUED in {one, other} else expected
        assert states.whole([one, other], has_results=True) is begun
