"""The lives of batches, chunks and items, without any store.

A batch is moved by people (start, pause, resume, cancel, retry) and by its results (the first, the last). An
item that is still open when its batch is cancelled counts as cancelled; its stored state stays, so that it
can go on from there if the batch is brought back.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum, auto

from services.runtime.errors import FailedPreconditionError, Reason


class BatchState(IntEnum):
    """Where a batch is; the numbers are those of ``Batch.State``."""

    CREATED = 1
    QUEUED = 2
    RUNNING = 3
    PAUSED = 4
    COMPLETED = 5
    FAILED = 6
    CANCELLED = 7

    @property
    def is_final(self) -> bool:
        """True when nothing more happens by itself."""
        return self in {BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED}

    @property
    def is_active(self) -> bool:
        """True when workers may take up its chunks."""
        return self in {BatchState.QUEUED, BatchState.RUNNING}


class ItemState(IntEnum):
    """Where an item is; the numbers are those of ``BatchItem.State``.

    RUNNING is never stored, as a ledger hears of work by its results alone. CANCELLED is never stored either:
    it is how open items of a cancelled batch are shown.
    """

    PENDING = 1
    RUNNING = 2
    RETRYING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6


OPEN_ITEMS = frozenset({ItemState.PENDING, ItemState.RETRYING})
OUTCOMES = frozenset({ItemState.SUCCEEDED, ItemState.FAILED, ItemState.RETRYING})
RETRIABLE_ITEMS = frozenset({ItemState.SUCCEEDED, ItemState.FAILED, ItemState.CANCELLED})


class Verdict(Enum):
    """What became of the results of a chunk."""

    APPLIED = auto()
    DUPLICATE = auto()
    """They were applied before; nothing changed."""
    STALE = auto()
    """They are of a run, a chunk or a batch that is no more; dropped."""
    CANCELLED = auto()
    """Their batch was cancelled first; dropped."""


def started(state: BatchState, total: int) -> BatchState:
    """The state once a person starts a batch of ``total`` items.

    All functions of this kind raise ``FailedPreconditionError(WRONG_STATE)`` where the move is not allowed.
    """
    if state is not BatchState.CREATED:
        raise refusal(
            "start", state, "Only a batch that was never started can be; resume, or retry, this one."
        )
    if not total:
        raise refusal("start", state, "It has no items; append some first.")
    return BatchState.QUEUED


def paused(state: BatchState) -> BatchState:
    """The state once a person holds a batch."""
    if not state.is_active:
        raise refusal("pause", state, "Only a batch that is QUEUED or RUNNING can be held.")
    return BatchState.PAUSED


def resumed(state: BatchState, total: int, failed: int, open_count: int) -> BatchState:
    """The state once a held batch goes on; final when what ran at the time of the pause was the last."""
    if state is not BatchState.PAUSED:
        raise refusal("resume", state, "Only a batch that is PAUSED can go on.")
    return BatchState.QUEUED if open_count else _ended(total, failed)


def cancelled(state: BatchState) -> BatchState:
    """The state once a person ends a batch."""
    if state in {BatchState.COMPLETED, BatchState.CANCELLED}:
        raise refusal("cancel", state, "It has ended already.")
    return BatchState.CANCELLED


def check_retry(state: BatchState, kinds: frozenset[ItemState]) -> None:
    """Refuses to run the items of some final states again where that makes no sense."""
    if state is BatchState.CREATED:
        raise refusal("retry", state, "It never ran; start it.")
    if state is BatchState.CANCELLED and ItemState.CANCELLED not in kinds:
        raise refusal("retry", state, "A cancelled batch runs again only together with its cancelled items.")


def retried(state: BatchState) -> BatchState:
    """The state once items run again; a batch that is held stays held."""
    return BatchState.QUEUED if state.is_final else state


def advanced(state: BatchState, total: int, failed: int, open_count: int) -> BatchState:
    """The state after results came in; a batch that is held stays held, even by its last result."""
    if not state.is_active:
        return state
    return BatchState.RUNNING if open_count else _ended(total, failed)


def whole(parts: Iterable[BatchState], *, has_results: bool) -> BatchState:
    """The state of a batch whose parts are in these states, at least one."""
    states = set(parts)
    if len(states) == 1:
        return next(iter(states))
    if BatchState.RUNNING in states:
        return BatchState.RUNNING
    if BatchState.QUEUED in states:
        return BatchState.RUNNING if has_results else BatchState.QUEUED
    for state in (BatchState.PAUSED, BatchState.CREATED, BatchState.CANCELLED):
        if state in states:
            return BatchState.QUEUED if state is BatchState.CREATED else state
    return BatchState.COMPLETED


def judge(state: BatchState, *, same_run: bool, done: bool) -> Verdict:
    """What to do with the results of a chunk of a batch in ``state``.

    ``same_run``: they are of the run that the chunk is in now; ``done``: that run has its results.
    """
    if not same_run or state is BatchState.CREATED:
        return Verdict.STALE
    if done:
        return Verdict.DUPLICATE
    return Verdict.CANCELLED if state.is_final else Verdict.APPLIED


def shown(state: ItemState, batch: BatchState) -> ItemState:
    """An item's state as people see it."""
    return ItemState.CANCELLED if batch is BatchState.CANCELLED and state in OPEN_ITEMS else state


def stored(states: frozenset[ItemState], batch: BatchState) -> tuple[ItemState, ...]:
    """The stored states that are shown as one of ``states``, in the order of their numbers."""
    known = OPEN_ITEMS | {ItemState.SUCCEEDED, ItemState.FAILED}
    return tuple(sorted(state for state in known if shown(state, batch) in states))


def refusal(verb: str, state: BatchState, rule: str) -> FailedPreconditionError:
    """The answer to a verb that the state does not allow."""
    return FailedPreconditionError(
        Reason.WRONG_STATE, f"Cannot {verb} a batch that is {state.name}. {rule}", state=state.name
    )


def _ended(total: int, failed: int) -> BatchState:
    return BatchState.FAILED if failed == total else BatchState.COMPLETED
