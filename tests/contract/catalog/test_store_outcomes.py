"""Workers starting images and storing what they found, on every store."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from services.catalog.model import AnalysisRecord, PageOrder
from services.catalog.states import ImageState
from services.catalog.store import STARTED_ANALYSES_PER_ANALYZER, CatalogStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import START_US, Clock, analysis, new_image, outcome

PENDING, PROCESSING, PROCESSED, FAILED, STORED = ImageState


async def state_of(store: CatalogStore, number: int) -> ImageState:
    return (await store.get_image(number, with_results=False)).image.state


async def test_starting_marks_pending_images_and_keeps_the_order(store: CatalogStore) -> None:
    made = [(await store.create_image(new_image(content), ""))[0] for content in "abc"]
    started = await store.start_images([made[2].uuid, uuid.UUID(int=1), made[0].number])
    assert [entry.image.number for entry in started] == [3, 1]
    assert [entry.image.image.state for entry in started] == [PROCESSING, PROCESSING]
    assert await state_of(store, 2) is PENDING
    assert (await store.read_stats()).states == {PENDING: 1, PROCESSING: 2}


@pytest.mark.parametrize("state", [PROCESSED, FAILED, STORED])
async def test_starting_keeps_a_final_state(store: CatalogStore, state: ImageState) -> None:
    await store.create_image(new_image(state=STORED), "")
    if state is not STORED:
        await store.write_outcome(outcome(1, state=state))
    before = await store.get_image(1, with_results=False)
    (started,) = await store.start_images([1])
    assert started.image == before
    assert before.image.state is state


async def test_starting_gives_the_newest_analyses_of_the_bytes(store: CatalogStore, clock: Clock) -> None:
    await store.create_image(new_image("sea"), "")
    await store.create_image(new_image("sea"), "")
    await store.create_image(new_image("sky"), "")
    for version in range(7):
        found = analysis("sea", version=str(version), create_time_us=START_US - 100 + version)
        await store.write_outcome(outcome(1, found))
    await store.write_outcome(outcome(None, analysis("sea", "caption")))
    sea, sky = await store.start_images([2, 3])
    assert [(entry.analyzer, entry.version) for entry in sea.analyses] == [
        *(("insights", str(version)) for version in (6, 5, 4, 3)[:STARTED_ANALYSES_PER_ANALYZER]),
        ("caption", "1"),
    ]
    assert sky.analyses == ()


async def test_an_outcome_is_stored_whole(store: CatalogStore, clock: Clock) -> None:
    await store.create_image(new_image(), "")
    insights, caption = analysis(result=b"insights"), analysis(analyzer="caption", result=b"caption")
    await store.write_outcome(outcome(1, insights, caption, state=PROCESSED))
    image = await store.get_image(1, with_results=True)
    assert (image.insights, image.caption) == (b"insights", b"caption")
    assert image.image.state is PROCESSED
    assert image.process_time_us == image.update_time_us == clock.now_us
    page = await store.list_analyses(1, PageOrder(10))
    assert set(page.analyses) == {insights, caption}
    stats = await store.read_stats()
    assert (stats.states, stats.analysis_count) == ({PROCESSED: 1}, 2)


async def test_results_are_left_out_where_not_asked_for(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.write_outcome(outcome(1, analysis(result=b"insights")))
    image = await store.get_image(1, with_results=False)
    assert (image.insights, image.caption) == (None, None)


async def test_a_replay_changes_nothing(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    item = outcome(1, analysis(), analysis(analyzer="caption"), state=PROCESSED)
    await store.write_outcome(item)
    before, stats = await store.get_image(1, with_results=True), await store.read_stats()
    await asyncio.gather(*(store.write_outcome(item) for _ in range(20)))
    assert await store.get_image(1, with_results=True) == before
    assert await store.read_stats() == stats


async def test_a_replay_without_a_time_changes_nothing(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    item = outcome(1, analysis(create_time_us=0))
    await store.write_outcome(item)
    before = await store.get_image(1, with_results=True)
    page = await store.list_analyses(1, PageOrder(10))
    await store.write_outcome(item)
    assert await store.get_image(1, with_results=True) == before
    assert await store.list_analyses(1, PageOrder(10)) == page


@pytest.mark.parametrize("turned", [False, True])
async def test_of_two_results_with_one_key_the_later_stays(store: CatalogStore, turned: bool) -> None:
    await store.create_image(new_image(), "")
    earlier = analysis(result=b"degraded", create_time_us=START_US - 2)
    later = analysis(result=b"whole", create_time_us=START_US - 1)
    for found in (later, earlier) if turned else (earlier, later):
        await store.write_outcome(outcome(1, found))
    assert (await store.get_image(1, with_results=True)).insights == b"whole"
    assert (await store.list_analyses(1, PageOrder(10))).analyses == (later,)


async def test_a_result_from_the_future_does_not_keep_later_ones_out(
    store: CatalogStore, clock: Clock
) -> None:
    await store.create_image(new_image(), "")
    await store.write_outcome(outcome(1, analysis(result=b"first", create_time_us=clock.now_us + 10**12)))
    clock.now_us += 1_000
    await store.write_outcome(outcome(1, analysis(result=b"second", create_time_us=clock.now_us)))
    assert (await store.get_image(1, with_results=True)).insights == b"second"


async def test_an_image_shows_what_was_written_for_it(store: CatalogStore) -> None:
    for _ in range(3):
        await store.create_image(new_image(), "")
    few = analysis(settings="few", result=b"few", create_time_us=START_US - 5)
    many = analysis(settings="many", result=b"many", create_time_us=START_US - 4)
    await store.write_outcome(outcome(1, few))
    await store.write_outcome(outcome(2, many))
    shown = [(await store.get_image(number, with_results=True)).insights for number in (1, 2, 3)]
    # The third has the same bytes, but nothing was written for it: it shows the newest.
    assert shown == [b"few", b"many", b"many"]
    await store.write_outcome(outcome(2, few))
    assert (await store.get_image(2, with_results=True)).insights == b"few"


async def test_analyses_may_come_without_an_image(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.write_outcome(outcome(None, analysis(result=b"early")))
    image = await store.get_image(1, with_results=True)
    assert (image.insights, image.image.state) == (b"early", PENDING)


async def test_analyses_of_bytes_that_no_image_has_are_refused(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    with pytest.raises(ServiceError) as refusal:
        await store.write_outcome(outcome(None, analysis("sea"), analysis("sky")))
    assert refusal.value.reason == Reason.IMAGE_NOT_FOUND
    assert (await store.read_stats()).analysis_count == 0


async def test_an_analysis_of_other_bytes_is_refused_and_nothing_of_it_stays(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    await store.create_image(new_image("sky"), "")
    with pytest.raises(ServiceError) as refusal:
        await store.write_outcome(outcome(1, analysis("sea"), analysis("sky"), state=PROCESSED))
    assert refusal.value.reason == Reason.INVALID_FIELD
    stats = await store.read_stats()
    assert (stats.analysis_count, stats.states) == (0, {PENDING: 2})


async def test_a_failure_is_kept_with_its_error_until_it_is_analysed_again(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.write_outcome(outcome(1, state=FAILED, error=b"\x08\x03"))
    failed = await store.get_image(1, with_results=False)
    assert (failed.image.state, failed.error) == (FAILED, b"\x08\x03")
    await store.write_outcome(outcome(1, analysis(), state=PROCESSED))
    processed = await store.get_image(1, with_results=False)
    assert (processed.image.state, processed.error) == (PROCESSED, b"")
    assert (await store.read_stats()).states == {PROCESSED: 1}


async def test_a_late_failure_takes_no_result_away(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.write_outcome(outcome(1, analysis(), state=PROCESSED))
    before = await store.get_image(1, with_results=True)
    with pytest.raises(ServiceError) as refusal:
        await store.write_outcome(outcome(1, analysis(version="2"), state=FAILED, error=b"\x08\x03"))
    assert refusal.value.reason == Reason.WRONG_STATE
    assert refusal.value.metadata["state"] == "PROCESSED"
    assert await store.get_image(1, with_results=True) == before
    assert (await store.read_stats()).analysis_count == 1


async def test_a_hidden_image_takes_its_results(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.hide_image(1)
    await store.write_outcome(outcome(1, analysis(result=b"paid for"), state=PROCESSED))
    assert (await store.read_stats()).states == {}
    await store.restore_image(1)
    image = await store.get_image(1, with_results=True)
    assert (image.image.state, image.insights) == (PROCESSED, b"paid for")
    assert (await store.read_stats()).states == {PROCESSED: 1}


async def test_one_item_that_fails_takes_no_other_with_it(store: CatalogStore) -> None:
    for index in range(50):
        await store.create_image(new_image(f"{index}"), "")
    items = [outcome(number, state=PROCESSED) for number in range(1, 101)]
    answers = await asyncio.gather(*(store.write_outcome(item) for item in items), return_exceptions=True)
    assert answers[:50] == [None] * 50
    assert all(isinstance(answer, ServiceError) for answer in answers[50:])
    assert (await store.read_stats()).states == {PROCESSED: 50}


async def test_analyses_are_listed_newest_first_in_pages(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    written: list[AnalysisRecord] = []
    for index in range(7):
        # Two at a time share their microsecond.
        written.append(analysis(version=str(index), create_time_us=START_US - 50 + index // 2))
        await store.write_outcome(outcome(1, written[-1]))
    listed: list[AnalysisRecord] = []
    order = PageOrder(3)
    while True:
        page = await store.list_analyses(1, order)
        assert len(page.analyses) == min(3, 7 - len(listed))
        listed += page.analyses
        if page.next is None:
            break
        order = PageOrder(3, page.next)
    assert listed == written[::-1]
