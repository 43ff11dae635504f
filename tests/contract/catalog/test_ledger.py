"""The ledger of batches: what every store must do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.ledger.model import (
    BatchChange,
    BatchQuery,
    BatchRecord,
    ItemOutcome,
    NewBatch,
    NewItem,
    Progress,
    Usage,
)
from services.catalog.ledger.states import BatchState, ItemState, Verdict
from services.catalog.ledger.store import LedgerStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.ledger_adapters import (
    KINDS,
    apply,
    items,
    letters_of,
    new_batch,
    new_parts,
    open_ledger,
    outcomes,
)

NOBODY = uuid.UUID(int=7)
ALL_ENDED = frozenset({ItemState.SUCCEEDED, ItemState.FAILED, ItemState.CANCELLED})
LATE_US = 2**62


@pytest.fixture(params=KINDS)
async def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[LedgerStore]:
    async with open_ledger(request.param, tmp_path, clock) as opened:
        yield opened


def counts(record: BatchRecord) -> tuple[int, int, int, int, int]:
    progress = record.progress
    return progress.total, progress.succeeded, progress.failed, progress.retrying, progress.cancelled


def reason_of(refusal: pytest.ExceptionInfo[ServiceError]) -> int:
    return refusal.value.reason


async def test_a_batch_comes_back_as_it_was_made(ledger: LedgerStore) -> None:
    new = NewBatch("Läden", options=b"\x00\x01", weight=3, labels={"a.b": "$c", "ü": ""})
    made, created = await ledger.create_batch(new, "r1")
    assert created
    assert made == await ledger.get_batch(made.uuid)
    assert (made.batch, made.state, made.progress) == (new, BatchState.CREATED, Progress())
    assert made.uuid.version == 7
    again, created = await ledger.create_batch(NewBatch("other name", options=b"\x00\x01"), "r1")
    assert (again, created) == (made, False)
    with pytest.raises(ServiceError) as refusal:
        await ledger.create_batch(NewBatch(options=b"\x02"), "r1")
    assert reason_of(refusal) == Reason.REQUEST_ID_REUSED
    await ledger.delete_batch(made.uuid)
    assert (await ledger.create_batch(new, "r1"))[1]


async def test_the_same_request_at_the_same_time_makes_one_batch(ledger: LedgerStore) -> None:
    made = await asyncio.gather(*(ledger.create_batch(NewBatch("sea"), "r1") for _ in range(4)))
    assert len({record.uuid for record, _ in made}) == 1
    assert sum(created for _, created in made) == 1


async def test_items_come_back_in_order_and_fill_chunks(ledger: LedgerStore) -> None:
    batch, _ = await ledger.create_batch(NewBatch(), "")
    await ledger.append_items(batch.uuid, items(130))
    record = await ledger.append_items(batch.uuid, [NewItem("https://example.org/x?é", {"$a.b": "ü"})], 131)
    assert (counts(record), record.chunk_count) == ((131, 0, 0, 0, 0), 2)
    first, held = await ledger.get_chunk(batch.uuid, 1)
    last, rest = await ledger.get_chunk(batch.uuid, 2)
    assert (first.rows, last.rows) == (tuple(range(1, 101)), tuple(range(101, 132)))
    assert [item.row for item in held + rest] == list(range(1, 132))
    assert rest[-1].item == NewItem("https://example.org/x?é", {"$a.b": "ü"})
    page = await ledger.list_items(batch.uuid, frozenset(), 100)
    more = await ledger.list_items(batch.uuid, frozenset(), 100, page.next or 0)
    assert list(page.items) + list(more.items) == held + rest
    assert (page.next, more.next) == (100, None)
    assert await ledger.get_item(batch.uuid, 131) == rest[-1]


async def test_a_repeated_append_adds_nothing(ledger: LedgerStore) -> None:
    batch, _ = await ledger.create_batch(NewBatch(), "")
    await ledger.append_items(batch.uuid, items(5), 1)
    assert counts(await ledger.append_items(batch.uuid, items(5), 1)) == (5, 0, 0, 0, 0)
    for first_row in (4, 7):
        with pytest.raises(ServiceError) as refusal:
            await ledger.append_items(batch.uuid, items(5), first_row)
        assert reason_of(refusal) == Reason.ETAG_MISMATCH
    await ledger.start_batch(batch.uuid)
    await ledger.append_items(batch.uuid, items(5), 1)
    with pytest.raises(ServiceError) as refusal:
        await ledger.append_items(batch.uuid, items(5), 6)
    assert reason_of(refusal) == Reason.WRONG_STATE


async def test_appending_at_the_same_time_loses_nothing(ledger: LedgerStore) -> None:
    batch, _ = await ledger.create_batch(NewBatch(), "")
    await asyncio.gather(*(ledger.append_items(batch.uuid, items(7)) for _ in range(4)))
    assert await letters_of(ledger, batch.uuid) == "p" * 28
    assert counts(await ledger.get_batch(batch.uuid)) == (28, 0, 0, 0, 0)
    assert (await ledger.get_chunk(batch.uuid, 1))[0].rows == tuple(range(1, 29))


async def test_results_are_applied_once(ledger: LedgerStore, clock: Clock) -> None:
    batch = await new_batch(ledger, 3)
    assert (batch.state, batch.start_time_us) == (BatchState.QUEUED, None)
    answer = await apply(ledger, batch, "sfs")
    assert answer.verdict is Verdict.APPLIED
    assert answer.batch == await ledger.get_batch(batch.uuid)
    assert (answer.batch.state, counts(answer.batch)) == (BatchState.COMPLETED, (3, 2, 1, 0, 0))
    assert answer.batch.progress.usage == Usage(30, 6, 6)
    assert answer.batch.start_time_us is not None
    assert answer.batch.end_time_us == answer.batch.update_time_us
    again = await apply(ledger, batch, "fff")
    assert (again.verdict, again.batch, again.successor) == (Verdict.DUPLICATE, answer.batch, None)
    assert await letters_of(ledger, batch.uuid) == "sfs"
    done, failed = await ledger.get_item(batch.uuid, 1), await ledger.get_item(batch.uuid, 2)
    assert (done.image, done.error, done.attempt_count) == (uuid.UUID(int=1), b"", 1)
    assert (failed.image, failed.error, failed.attempt_count) == (None, b"f 2", 1)


async def test_the_same_results_at_the_same_time_count_once(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 5)
    answers = await asyncio.gather(*(apply(ledger, batch, "sssfr") for _ in range(4)))
    verdicts = sorted(answer.verdict.name for answer in answers)
    assert verdicts == ["APPLIED", "DUPLICATE", "DUPLICATE", "DUPLICATE"]
    assert counts(await ledger.get_batch(batch.uuid)) == (5, 3, 1, 1, 0)
    # Whoever comes late learns of the chunk that goes on.
    assert {answer.successor.rows for answer in answers if answer.successor} == {(5,)}
    assert all(answer.successor for answer in answers)


async def test_first_and_last_results_move_the_batch(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 201)
    first = await apply(ledger, batch, "s" * 100, 2)
    assert first.batch
    assert first.batch.state is BatchState.RUNNING
    await apply(ledger, batch, "f" * 100, 1)
    last = await apply(ledger, batch, "f", 3)
    assert last.batch
    assert (last.batch.state, last.batch.end_time_us) == (BatchState.COMPLETED, last.batch.update_time_us)


async def test_a_batch_of_failures_only_has_failed(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 2)
    answer = await apply(ledger, batch, "ff")
    assert answer.batch
    assert (answer.batch.state, answer.batch.error) == (BatchState.FAILED, b"f 1")
    again, count = await ledger.retry_batch(batch.uuid)
    assert (again.state, again.end_time_us, count) == (BatchState.QUEUED, None, 2)


async def test_items_to_be_tried_again_go_into_a_small_chunk(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 5)
    answer = await apply(ledger, batch, "srsrs")
    assert answer.successor
    assert (answer.successor.number, answer.successor.attempt, answer.successor.rows) == (2, 2, (2, 4))
    assert await letters_of(ledger, batch.uuid) == "srsrs"
    assert await ledger.list_missing_chunks(batch.uuid, LATE_US, 10) == [answer.successor]
    repeated = await apply(ledger, batch, "srsrs")
    assert repeated.successor == answer.successor
    second = await apply(ledger, batch, "rs", 2)
    assert second.successor
    assert (second.successor.number, second.successor.attempt, second.successor.rows) == (3, 3, (2,))
    assert second.batch
    assert counts(second.batch) == (5, 4, 0, 1, 0)
    last = await apply(ledger, batch, "s", 3)
    assert last.batch
    assert (last.batch.state, counts(last.batch)) == (BatchState.COMPLETED, (5, 5, 0, 0, 0))
    assert (await ledger.get_item(batch.uuid, 2)).attempt_count == 3
    assert (await apply(ledger, batch, "srsrs")).successor is None


async def test_results_must_be_those_of_the_chunk(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 3)
    for wrong in ([1, 2], [1, 2, 4], [1, 2, 3, 4], [1, 1, 2, 3]):
        with pytest.raises(ServiceError) as refusal:
            await ledger.apply_chunk(batch.uuid, 1, 1, outcomes("s" * len(wrong), wrong))
        assert reason_of(refusal) == Reason.INVALID_FIELD
    assert await letters_of(ledger, batch.uuid) == "ppp"
    assert await ledger.list_missing_chunks(batch.uuid, LATE_US, 10)


async def test_results_of_what_is_not_known_are_stale(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 1, start=False)
    results = outcomes("s", [1])
    assert (await ledger.apply_chunk(batch.uuid, 1, 1, results)).verdict is Verdict.STALE
    await ledger.start_batch(batch.uuid)
    for name, chunk, generation in (
        (NOBODY, 1, 1),
        (batch.uuid, 2, 1),
        (batch.uuid, 1, 2),
        (batch.uuid, 1, 0),
    ):
        answer = await ledger.apply_chunk(name, chunk, generation, results)
        assert (answer.verdict, answer.successor) == (Verdict.STALE, None)
    assert await letters_of(ledger, batch.uuid) == "p"


async def test_a_held_batch_takes_results_and_stays_held(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 101)
    await ledger.pause_batch(batch.uuid)
    assert await ledger.list_missing_chunks(batch.uuid, LATE_US, 10) == []
    await apply(ledger, batch, "s" * 100, 1)
    held = (await apply(ledger, batch, "s", 2)).batch
    assert held
    assert (held.state, held.progress.succeeded) == (BatchState.PAUSED, 101)
    assert (await ledger.resume_batch(batch.uuid)).state is BatchState.COMPLETED


async def test_a_resumed_batch_goes_on(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 2)
    await ledger.pause_batch(batch.uuid)
    assert (await ledger.resume_batch(batch.uuid)).state is BatchState.QUEUED
    assert [chunk.number for chunk in await ledger.list_missing_chunks(batch.uuid, LATE_US, 10)] == [1]


async def test_results_of_a_cancelled_batch_are_dropped(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 103)
    await apply(ledger, batch, "srf", 2)
    cancelled = await ledger.cancel_batch(batch.uuid)
    assert (cancelled.state, counts(cancelled)) == (BatchState.CANCELLED, (103, 1, 1, 0, 101))
    assert cancelled.end_time_us == cancelled.update_time_us
    assert (await apply(ledger, batch, "s" * 100, 1)).verdict is Verdict.CANCELLED
    assert await ledger.get_batch(batch.uuid) == cancelled
    assert await letters_of(ledger, batch.uuid) == "c" * 100 + "scf"
    page = await ledger.list_items(batch.uuid, frozenset({ItemState.CANCELLED}), 1_000)
    assert [item.row for item in page.items] == [*range(1, 101), 102]
    page = await ledger.list_items(batch.uuid, frozenset({ItemState.PENDING, ItemState.RETRYING}), 1_000)
    assert page.items == ()
    assert (await ledger.get_item(batch.uuid, 102)).state is ItemState.CANCELLED
    assert await ledger.list_missing_chunks(batch.uuid, LATE_US, 10) == []


async def test_a_cancelled_batch_is_brought_back_as_a_new_generation(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 103)
    await apply(ledger, batch, "srf", 2)
    await ledger.cancel_batch(batch.uuid)
    with pytest.raises(ServiceError) as refusal:
        await ledger.retry_batch(batch.uuid)
    assert reason_of(refusal) == Reason.WRONG_STATE
    again, count = await ledger.retry_batch(batch.uuid, kinds=frozenset({ItemState.CANCELLED}))
    assert (again.state, counts(again), count) == (BatchState.QUEUED, (103, 1, 1, 1, 0), 101)
    assert await letters_of(ledger, batch.uuid) == "p" * 100 + "srf"
    chunks = await ledger.list_missing_chunks(batch.uuid, LATE_US, 10)
    assert [(chunk.number, chunk.generation) for chunk in chunks] == [(1, 2), (3, 2)]
    assert (await apply(ledger, batch, "s" * 100, 1, 1)).verdict is Verdict.STALE
    assert (await apply(ledger, batch, "s" * 100, 1, 2)).verdict is Verdict.APPLIED
    last = (await apply(ledger, batch, "s", 3, 2)).batch
    assert last
    assert (last.state, counts(last)) == (BatchState.COMPLETED, (103, 102, 1, 0, 0))


async def test_failed_items_run_again_in_new_chunks(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 250)
    for chunk, letters in ((1, "f" * 100), (2, "sf" * 50), (3, "s" * 50)):
        await apply(ledger, batch, letters, chunk)
    again, count = await ledger.retry_batch(batch.uuid)
    assert (again.state, counts(again), count) == (BatchState.QUEUED, (250, 100, 0, 150, 0), 150)
    chunks = await ledger.list_missing_chunks(batch.uuid, LATE_US, 10)
    assert [(chunk.number, chunk.attempt, len(chunk.rows)) for chunk in chunks] == [(4, 2, 100), (5, 2, 50)]
    assert chunks[1].rows == tuple(range(102, 201, 2))
    assert (await apply(ledger, batch, "s" * 100, 1)).verdict is Verdict.DUPLICATE
    await apply(ledger, batch, "s" * 100, 4)
    last = (await apply(ledger, batch, "s" * 50, 5)).batch
    assert last
    assert (last.state, counts(last)) == (BatchState.COMPLETED, (250, 250, 0, 0, 0))
    assert await ledger.retry_batch(batch.uuid) == (last, 0)


async def test_only_some_items_run_again(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 4)
    await apply(ledger, batch, "sfff")
    again, count = await ledger.retry_batch(batch.uuid, [4, 1, 2, 2, 99])
    assert (count, counts(again)) == (2, (4, 1, 1, 2, 0))
    assert await letters_of(ledger, batch.uuid) == "srfr"
    again, count = await ledger.retry_batch(batch.uuid, kinds=ALL_ENDED)
    assert (count, counts(again)) == (2, (4, 0, 0, 4, 0))


async def test_verbs_are_refused_with_the_state(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 1)
    for verb in (ledger.start_batch, ledger.resume_batch, ledger.delete_batch):
        with pytest.raises(ServiceError) as refusal:
            await verb(batch.uuid)
        assert reason_of(refusal) == Reason.WRONG_STATE
        assert refusal.value.metadata["state"] == "QUEUED"
    empty, _ = await ledger.create_batch(NewBatch(), "")
    with pytest.raises(ServiceError) as refusal:
        await ledger.start_batch(empty.uuid)
    assert reason_of(refusal) == Reason.WRONG_STATE


async def test_what_is_not_there_is_not_found(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 1)
    for call in (
        ledger.get_batch(NOBODY),
        ledger.append_items(NOBODY, items(1)),
        ledger.start_batch(NOBODY),
        ledger.cancel_batch(NOBODY),
        ledger.retry_batch(NOBODY),
        ledger.delete_batch(NOBODY),
        ledger.change_batch(NOBODY, BatchChange("x"), None),
        ledger.list_items(NOBODY, frozenset(), 10),
        ledger.list_missing_chunks(NOBODY, LATE_US, 10),
        ledger.create_batch(NewBatch(parent=NOBODY, part_number=1), ""),
        ledger.get_item(batch.uuid, 2),
        ledger.get_item(batch.uuid, 2**32 + 1),
        ledger.get_item(batch.uuid, 2**70),
        ledger.get_chunk(batch.uuid, 2),
    ):
        with pytest.raises(ServiceError) as refusal:
            await call
        assert reason_of(refusal) == Reason.BATCH_NOT_FOUND


async def test_people_change_a_batch(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 1)
    changed = await ledger.change_batch(batch.uuid, BatchChange("bay", weight=10), batch.revision)
    assert (changed.batch.display_name, changed.batch.weight, changed.batch.labels) == ("bay", 10, {})
    assert changed.revision == batch.revision + 1
    with pytest.raises(ServiceError) as refusal:
        await ledger.change_batch(batch.uuid, BatchChange("cliff"), batch.revision)
    assert reason_of(refusal) == Reason.ETAG_MISMATCH
    labelled = await ledger.change_batch(batch.uuid, BatchChange(labels={"a": "b"}), None)
    assert (labelled.batch.display_name, labelled.batch.labels) == ("bay", {"a": "b"})
    # Results do not make the revision old, so that a person can rename what runs.
    await apply(ledger, batch, "s")
    assert (await ledger.get_batch(batch.uuid)).revision == labelled.revision + 1  # by its state


async def test_batches_are_listed_newest_first(ledger: LedgerStore) -> None:
    made = [await new_batch(ledger, 1, start=index % 2 == 0) for index in range(7)]
    names = [record.uuid for record in reversed(made)]
    page = await ledger.list_batches(BatchQuery(), 4)
    more = await ledger.list_batches(BatchQuery(), 4, page.next)
    assert [record.uuid for record in page.batches + more.batches] == names
    assert (page.next, more.next) == (names[3], None)
    queued = await ledger.list_batches(BatchQuery(frozenset({BatchState.QUEUED})), 10)
    assert [record.uuid for record in queued.batches] == names[::2]
    both = BatchQuery(frozenset({BatchState.QUEUED, BatchState.CREATED, BatchState.FAILED}))
    page = await ledger.list_batches(both, 7)
    assert ([record.uuid for record in page.batches], page.next) == (names, None)
    page = await ledger.list_batches(both, 2, names[1])
    assert ([record.uuid for record in page.batches], page.next) == (names[2:4], names[3])


async def test_items_are_listed_by_state(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 8)
    await apply(ledger, batch, "sfrsfrsf")
    kinds = frozenset({ItemState.FAILED, ItemState.RETRYING})
    page = await ledger.list_items(batch.uuid, kinds, 3)
    more = await ledger.list_items(batch.uuid, kinds, 3, page.next or 0)
    assert [item.row for item in page.items + more.items] == [2, 3, 5, 6, 8]
    assert (page.next, more.next) == (5, None)
    assert {item.error for item in page.items} == {b"f 2", b"r 3", b"f 5"}
    assert (await ledger.list_items(batch.uuid, frozenset({ItemState.RUNNING}), 3)).items == ()
    assert (await ledger.list_items(batch.uuid, kinds, 3, 2**70)).items == ()


async def test_missing_chunks_can_be_walked(ledger: LedgerStore, clock: Clock) -> None:
    batch = await new_batch(ledger, 450)
    await apply(ledger, batch, "s" * 100, 2)
    page = await ledger.list_missing_chunks(batch.uuid, LATE_US, 2)
    more = await ledger.list_missing_chunks(batch.uuid, LATE_US, 9, page[-1].number)
    assert [chunk.number for chunk in page + more] == [1, 3, 4, 5]
    before_us = clock()
    answer = await apply(ledger, batch, "r" + "s" * 99, 3)
    numbers = [chunk.number for chunk in await ledger.list_missing_chunks(batch.uuid, before_us, 9)]
    # A chunk that just was made is given time.
    assert (numbers, answer.successor and answer.successor.number) == ([1, 4, 5], 6)


async def test_a_parent_adds_up_its_parts(ledger: LedgerStore) -> None:
    parent, parts = await new_parts(ledger, 3, 2)
    assert (parent.state, counts(parent)) == (BatchState.CREATED, (5, 0, 0, 0, 0))
    parent = await ledger.start_batch(parent.uuid)
    assert parent.state is BatchState.QUEUED
    listed = await ledger.list_batches(BatchQuery(parent=parent.uuid), 10)
    assert [(part.uuid, part.state) for part in listed.batches] == [
        (part.uuid, BatchState.QUEUED) for part in reversed(parts)
    ]
    await apply(ledger, parts[0], "sfr")
    parent = await ledger.get_batch(parent.uuid)
    assert (parent.state, counts(parent)) == (BatchState.RUNNING, (5, 1, 1, 1, 0))
    assert parent.progress.usage == Usage(30, 6, 6)
    await apply(ledger, parts[1], "ss")
    await apply(ledger, parts[0], "s", 2)
    parent = await ledger.get_batch(parent.uuid)
    assert (parent.state, counts(parent)) == (BatchState.COMPLETED, (5, 4, 1, 0, 0))
    assert parent.end_time_us is not None
    again, count = await ledger.retry_batch(parent.uuid)
    assert (again.state, counts(again), count) == (BatchState.RUNNING, (5, 4, 0, 1, 0), 1)
    states = frozenset({BatchState.QUEUED})
    listed = await ledger.list_batches(BatchQuery(states, parent.uuid), 10)
    assert [part.uuid for part in listed.batches] == [parts[0].uuid]


async def test_verbs_on_a_parent_move_its_parts(ledger: LedgerStore) -> None:
    parent, parts = await new_parts(ledger, 2, 2)
    await ledger.start_batch(parts[0].uuid)
    assert (await ledger.get_batch(parent.uuid)).state is BatchState.QUEUED
    assert (await ledger.pause_batch(parent.uuid)).state is BatchState.PAUSED
    assert (await ledger.get_batch(parts[1].uuid)).state is BatchState.CREATED
    with pytest.raises(ServiceError) as refusal:
        await ledger.pause_batch(parent.uuid)
    assert reason_of(refusal) == Reason.WRONG_STATE
    await ledger.start_batch(parent.uuid)
    assert (await ledger.resume_batch(parent.uuid)).state is BatchState.QUEUED
    await apply(ledger, parts[0], "ss")
    cancelled = await ledger.cancel_batch(parent.uuid)
    assert (cancelled.state, counts(cancelled)) == (BatchState.CANCELLED, (4, 2, 0, 0, 2))
    assert (await ledger.get_batch(parts[0].uuid)).state is BatchState.COMPLETED
    again, count = await ledger.retry_batch(parent.uuid, kinds=ALL_ENDED)
    assert (again.state, counts(again), count) == (BatchState.QUEUED, (4, 0, 0, 2, 0), 4)


async def test_first_results_of_a_paused_part_set_the_parent_running(ledger: LedgerStore) -> None:
    parent, parts = await new_parts(ledger, 1, 1)
    await ledger.start_batch(parent.uuid)
    await ledger.pause_batch(parts[0].uuid)
    await apply(ledger, parts[0], "s")
    assert (await ledger.get_batch(parts[0].uuid)).state is BatchState.PAUSED
    assert (await ledger.get_batch(parent.uuid)).state is BatchState.RUNNING


async def test_a_parent_waits_for_the_parts_to_come(ledger: LedgerStore) -> None:
    parent, _ = await ledger.create_batch(NewBatch("whole", part_count=2), "")
    part, _ = await ledger.create_batch(NewBatch("1", parent.uuid, 1), "")
    await ledger.append_items(part.uuid, items(1))
    await ledger.start_batch(part.uuid)
    await apply(ledger, part, "s")
    assert (await ledger.get_batch(parent.uuid)).state is BatchState.QUEUED
    for wrong in (NewBatch("1", parent.uuid, 1), NewBatch("2", part.uuid, 1)):
        with pytest.raises(ServiceError) as refusal:
            await ledger.create_batch(wrong, "")
        assert reason_of(refusal) == Reason.INVALID_FIELD
    with pytest.raises(ServiceError) as refusal:
        await ledger.append_items(parent.uuid, items(1))
    assert reason_of(refusal) == Reason.WRONG_STATE
    await ledger.create_batch(NewBatch("2", parent.uuid, 2), "")
    with pytest.raises(ServiceError) as refusal:
        await ledger.create_batch(NewBatch("3", parent.uuid, 3), "")
    assert reason_of(refusal) == Reason.INVALID_FIELD


async def test_results_of_two_parts_at_the_same_time_add_up(ledger: LedgerStore) -> None:
    parent, parts = await new_parts(ledger, 2, 3, 4, 5)
    await ledger.start_batch(parent.uuid)
    answers = await asyncio.gather(*(apply(ledger, part, "s" * part.progress.total) for part in parts))
    assert {answer.verdict for answer in answers} == {Verdict.APPLIED}
    parent = await ledger.get_batch(parent.uuid)
    assert (parent.state, counts(parent)) == (BatchState.COMPLETED, (14, 14, 0, 0, 0))


async def test_a_deleted_batch_is_gone_with_its_items(ledger: LedgerStore) -> None:
    parent, parts = await new_parts(ledger, 2, 3)
    await ledger.start_batch(parts[0].uuid)
    with pytest.raises(ServiceError) as refusal:
        await ledger.delete_batch(parent.uuid)
    assert reason_of(refusal) == Reason.WRONG_STATE
    await apply(ledger, parts[0], "ss")
    await ledger.delete_batch(parts[1].uuid)
    parent = await ledger.get_batch(parent.uuid)
    assert (parent.state, counts(parent)) == (BatchState.COMPLETED, (2, 2, 0, 0, 0))
    await ledger.delete_batch(parent.uuid)
    assert (await ledger.list_batches(BatchQuery(), 10)).batches == ()
    results = outcomes("ss", [1, 2])
    assert (await ledger.apply_chunk(parts[0].uuid, 1, 1, results)).verdict is Verdict.STALE


async def test_values_out_of_bounds_are_refused(ledger: LedgerStore) -> None:
    batch = await new_batch(ledger, 1, start=False)
    parent, _ = await new_parts(ledger, 1)
    for call in (
        ledger.create_batch(NewBatch("x" * 256), ""),
        ledger.create_batch(NewBatch(), "x" * 129),
        ledger.create_batch(NewBatch(weight=11), ""),
        ledger.create_batch(NewBatch(part_count=10_001), ""),
        ledger.create_batch(NewBatch(part_number=1), ""),
        ledger.create_batch(NewBatch(parent=parent.uuid), ""),
        ledger.create_batch(NewBatch(labels={f"{index}": "" for index in range(65)}), ""),
        ledger.create_batch(NewBatch(options=b"x" * 65_537), ""),
        ledger.change_batch(batch.uuid, BatchChange(weight=0), None),
        ledger.append_items(batch.uuid, []),
        ledger.append_items(batch.uuid, items(1_001)),
        ledger.append_items(batch.uuid, [NewItem("")]),
        ledger.append_items(batch.uuid, [NewItem("x", {"y": "z" * 65_536})]),
        ledger.list_batches(BatchQuery(), 1_001),
        ledger.list_items(batch.uuid, frozenset(), 0),
        ledger.list_missing_chunks(batch.uuid, 1, 1_001),
        ledger.retry_batch(batch.uuid, kinds=frozenset({ItemState.PENDING})),
        ledger.apply_chunk(batch.uuid, 1, 1, [ItemOutcome(1, ItemState.SUCCEEDED, usage=Usage(-1))]),
        ledger.apply_chunk(batch.uuid, 1, 1, [ItemOutcome(1, ItemState.PENDING)]),
        ledger.apply_chunk(batch.uuid, 1, 1, [ItemOutcome(1, ItemState.FAILED, b"x" * 16_385)]),
        ledger.retry_batch(batch.uuid, range(1_001)),
        ledger.retry_batch(batch.uuid, [1], frozenset({ItemState.CANCELLED})),
        ledger.retry_batch(parent.uuid, [1]),
    ):
        with pytest.raises(ServiceError) as refusal:
            await call
        assert reason_of(refusal) == Reason.INVALID_FIELD
