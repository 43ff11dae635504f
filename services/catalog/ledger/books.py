"""The book-keeping of the ledger without any store: what a batch record is after something happened to it.

Every store reads a record, asks here for the next one, and writes that with the difference of the counters
added to the parent, all in one transaction: so counters cannot drift.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from services.catalog.ledger.model import (
    BatchChange,
    BatchRecord,
    ChunkRecord,
    ItemOutcome,
    NewBatch,
    Progress,
    split_rows,
    sum_usage,
)
from services.catalog.ledger.states import (
    BatchState,
    ItemState,
    Verdict,
    advanced,
    cancelled,
    check_retry,
    judge,
    paused,
    refusal,
    resumed,
    retried,
    started,
    whole,
)
from services.catalog.refusals import invalid_field
from services.runtime.errors import FailedPreconditionError

Move = tuple[BatchRecord, BatchRecord]
"""A record before and after a step."""
Verb = Callable[[BatchRecord], BatchRecord]
"""Gives the record after a person did something; raises ``FailedPreconditionError`` where it may not be."""


def start(record: BatchRecord) -> BatchRecord:
    """See ``LedgerStore.start_batch``."""
    return replace(record, state=started(record.state, record.progress.total))


def pause(record: BatchRecord) -> BatchRecord:
    """See ``LedgerStore.pause_batch``."""
    return replace(record, state=paused(record.state))


def resume(record: BatchRecord) -> BatchRecord:
    """See ``LedgerStore.resume_batch``."""
    progress = record.progress
    return replace(record, state=resumed(record.state, progress.total, progress.failed, progress.open_count))


def cancel(record: BatchRecord) -> BatchRecord:
    """See ``LedgerStore.cancel_batch``."""
    open_count = record.progress.open_count
    progress = replace(record.progress, retrying=0, cancelled=record.progress.cancelled + open_count)
    return replace(record, state=cancelled(record.state), progress=progress)


def move_parts(parent: BatchRecord, parts: Iterable[BatchRecord], verb: Verb) -> list[Move]:
    """Those parts that the verb applies to, before and after; refuses when there is none."""
    moves: list[Move] = []
    for part in parts:
        with contextlib.suppress(FailedPreconditionError):
            moves.append((part, verb(part)))
    if not moves:
        verb(parent)
        raise refusal("move", parent.state, "None of its parts allows it.")
    return moves


def check_delete(record: BatchRecord) -> None:
    """Refuses to delete a batch that workers may be at."""
    if record.state.is_active and not record.batch.part_count:
        raise refusal("delete", record.state, "Cancel it first.")


def judge_chunk(record: BatchRecord, chunk: ChunkRecord | None, generation: int) -> Verdict:
    """What to do with results of a chunk of some generation."""
    same_run = chunk is not None and chunk.generation == generation
    return judge(record.state, same_run=same_run, done=chunk is not None and chunk.done_time_us is not None)


def stamp(before: BatchRecord, after: BatchRecord, now_us: int) -> BatchRecord:
    """``after`` with its times, and a new revision where the state moved."""
    start_time_us = after.start_time_us or (now_us if after.progress.has_results else None)
    after = replace(after, update_time_us=now_us, start_time_us=start_time_us)
    if before.state is after.state:
        return after
    return replace(after, revision=before.revision + 1, end_time_us=now_us if after.state.is_final else None)


def open_batch(new: NewBatch, request_id: str, name: uuid.UUID, now_us: int) -> BatchRecord:
    """A batch that just was created."""
    return BatchRecord(name, new, BatchState.CREATED, Progress(), now_us, now_us, request_id=request_id)


def edit(record: BatchRecord, change: BatchChange) -> BatchRecord:
    """A batch that people changed."""
    batch = record.batch
    batch = replace(
        batch,
        display_name=batch.display_name if change.display_name is None else change.display_name,
        labels=batch.labels if change.labels is None else change.labels,
        weight=batch.weight if change.weight is None else change.weight,
    )
    return replace(record, batch=batch, revision=record.revision + 1)


def grow(record: BatchRecord, items: int, chunks: int) -> BatchRecord:
    """A batch with more items; ``chunks``: the number of its last chunk now."""
    return replace(record, progress=record.progress.plus(Progress(items)), chunk_count=chunks)


def add_outcomes(
    record: BatchRecord, chunk: ChunkRecord, outcomes: Sequence[ItemOutcome], now_us: int
) -> tuple[BatchRecord, ChunkRecord | None]:
    """The batch with the results of a chunk, and the chunk of the items that must be tried again."""
    counts = Counter(outcome.state for outcome in outcomes)
    usage = sum_usage(outcome.usage for outcome in outcomes)
    again = tuple(outcome.row for outcome in outcomes if outcome.state is ItemState.RETRYING)
    waited = len(outcomes) if chunk.attempt > 1 else 0
    succeeded, failed = counts[ItemState.SUCCEEDED], counts[ItemState.FAILED]
    progress = record.progress.plus(Progress(0, succeeded, failed, len(again) - waited, 0, usage))
    errors = (outcome.error for outcome in outcomes if outcome.state is ItemState.FAILED)
    after = replace(
        record,
        progress=progress,
        state=advanced(record.state, progress.total, progress.failed, progress.open_count),
        error=next(errors, record.error),
        chunk_count=record.chunk_count + bool(again),
    )
    if not again:
        return after, None
    return after, ChunkRecord(after.chunk_count, 1, chunk.attempt + 1, again, now_us)


@dataclass(frozen=True, slots=True)
class Again:
    """A retry: the batch after it, the new chunks, and how many items run again."""

    record: BatchRecord
    chunks: tuple[ChunkRecord, ...]
    count: int


def run_again(
    record: BatchRecord, ended: Mapping[ItemState, Sequence[int]], revived_retrying: int, now_us: int
) -> Again:
    """The batch once ended items wait again: their rows by the state that they were in.

    ``revived_retrying``: items that were RETRYING when the batch was cancelled, if it is brought back.
    """
    rows = sorted(row for of_state in ended.values() for row in of_state)
    chunks = tuple(
        ChunkRecord(number, 1, 2, cut, now_us)
        for number, cut in enumerate(split_rows(rows), record.chunk_count + 1)
    )
    progress = record.progress
    waiting = replace(
        progress,
        succeeded=progress.succeeded - len(ended.get(ItemState.SUCCEEDED, ())),
        failed=progress.failed - len(ended.get(ItemState.FAILED, ())),
        retrying=progress.retrying + len(rows) + revived_retrying,
        cancelled=0,
    )
    after = replace(
        record,
        state=retried(record.state),
        progress=waiting,
        chunk_count=record.chunk_count + len(chunks),
    )
    return Again(after, chunks, len(rows) + progress.cancelled)


def parts_to_retry(
    parent: BatchRecord, parts: Iterable[BatchRecord], rows: Sequence[int], kinds: frozenset[ItemState]
) -> list[BatchRecord]:
    """The parts that may run items again; refuses as for the parent when there is none."""
    if rows:
        raise invalid_field("items", "The batch has parts; name the items of one of these.")
    allowed = []
    for part in parts:
        with contextlib.suppress(FailedPreconditionError):
            check_retry(part.state, kinds)
            allowed.append(part)
    if not allowed:
        check_retry(parent.state, kinds)
    return allowed


def moves_parent(parent: BatchRecord, change: Progress, *, moved: bool) -> bool:
    """Whether the state of a parent may be another: a part moved, or these are the first results of all."""
    return moved or (change.has_results and not parent.progress.has_results)


def add_part(
    parent: BatchRecord, change: Progress, states: Sequence[BatchState], error: bytes
) -> BatchRecord:
    """A parent after parts changed: by how much their counters did, and the states of all parts now.

    No ``states`` where ``moves_parent`` says no; ``error`` is the newest failure in the parts, if any.
    """
    progress = parent.progress.plus(change)
    state = whole(states, has_results=progress.has_results) if states else parent.state
    return replace(parent, progress=progress, state=state, error=error or parent.error)


def lose_part(parent: BatchRecord) -> BatchRecord:
    """A parent that waits for one part less."""
    return replace(parent, batch=replace(parent.batch, part_count=parent.batch.part_count - 1))
