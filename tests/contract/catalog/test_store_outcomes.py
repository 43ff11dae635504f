"""Workers starting images and storing what they found, on every store."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from services.catalog.conditions import EVERYTHING
from services.catalog.model import AnalysisRecord, PageOrder, SearchWords
from services.catalog.states import ImageState
from services.catalog.store import STARTED_ANALYSES_PER_ANALYZER, CatalogStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import (
    START_US,
    Clock,
    analysis,
    caption,
    insights,
    new_image,
    outcome,
    write_outcome,
)

PENDING, PROCESSING, PROCESSED, FAILED, STORED = ImageState


async def found(store: CatalogStore, word: str) -> list[int]:
    page = await store.search_images(SearchWords(words=(word,)), EVERYTHING, 10, None)
    return [hit.image.number for hit in page.hits]


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
        await write_outcome(store, outcome(1, state=state))
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
        await write_outcome(store, outcome(1, found))
    await write_outcome(store, outcome(None, analysis("sea", "caption")))
    sea, sky = await store.start_images([2, 3])
    assert [(entry.analyzer, entry.version) for entry in sea.analyses] == [
        *(("insights", str(version)) for version in (6, 5, 4, 3)[:STARTED_ANALYSES_PER_ANALYZER]),
        ("caption", "1"),
    ]
    assert sky.analyses == ()


async def test_an_outcome_is_stored_whole(store: CatalogStore, clock: Clock) -> None:
    await store.create_image(new_image(), "")
    found, said = analysis(), analysis(analyzer="caption")
    await write_outcome(store, outcome(1, found, said, state=PROCESSED))
    image = await store.get_image(1, with_results=True)
    assert (image.insights, image.caption) == (found.result, said.result)
    assert image.image.state is PROCESSED
    assert image.process_time_us == image.update_time_us == clock.now_us
    page = await store.list_analyses(1, PageOrder(10))
    assert set(page.analyses) == {found, said}
    stats = await store.read_stats()
    assert (stats.states, stats.analysis_count) == ({PROCESSED: 1}, 2)


async def test_results_are_left_out_where_not_asked_for(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(store, outcome(1, analysis(result=insights("insights"))))
    image = await store.get_image(1, with_results=False)
    assert (image.insights, image.caption) == (None, None)


async def test_a_replay_changes_nothing(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    item = outcome(1, analysis(), analysis(analyzer="caption"), state=PROCESSED)
    await write_outcome(store, item)
    before, stats = await store.get_image(1, with_results=True), await store.read_stats()
    await asyncio.gather(*(write_outcome(store, item) for _ in range(20)))
    assert await store.get_image(1, with_results=True) == before
    assert await store.read_stats() == stats


async def test_a_replay_without_a_time_changes_nothing(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    item = outcome(1, analysis(create_time_us=0))
    await write_outcome(store, item)
    before = await store.get_image(1, with_results=True)
    page = await store.list_analyses(1, PageOrder(10))
    await write_outcome(store, item)
    assert await store.get_image(1, with_results=True) == before
    assert await store.list_analyses(1, PageOrder(10)) == page


@pytest.mark.parametrize("turned", [False, True])
async def test_of_two_results_with_one_key_the_later_stays(store: CatalogStore, turned: bool) -> None:
    await store.create_image(new_image(), "")
    earlier = analysis(result=insights("degraded"), create_time_us=START_US - 2)
    later = analysis(result=insights("whole"), create_time_us=START_US - 1)
    for found in (later, earlier) if turned else (earlier, later):
        await write_outcome(store, outcome(1, found))
    assert (await store.get_image(1, with_results=True)).insights == insights("whole")
    assert (await store.list_analyses(1, PageOrder(10))).analyses == (later,)


async def test_a_result_from_the_future_does_not_keep_later_ones_out(
    store: CatalogStore, clock: Clock
) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(
        store, outcome(1, analysis(result=insights("first"), create_time_us=clock.now_us + 10**12))
    )
    clock.now_us += 1_000
    await write_outcome(store, outcome(1, analysis(result=insights("second"), create_time_us=clock.now_us)))
    assert (await store.get_image(1, with_results=True)).insights == insights("second")


async def test_an_image_shows_what_was_written_for_it(store: CatalogStore) -> None:
    for _ in range(3):
        await store.create_image(new_image(), "")
    few = analysis(settings="few", result=insights("few"), create_time_us=START_US - 5)
    many = analysis(settings="many", result=insights("many"), create_time_us=START_US - 4)
    await write_outcome(store, outcome(1, few))
    await write_outcome(store, outcome(2, many))
    shown = [(await store.get_image(number, with_results=True)).insights for number in (1, 2, 3)]
    # The third has the same bytes, but nothing was written for it, and it is not done.
    assert shown == [insights("few"), insights("many"), None]
    await write_outcome(store, outcome(2, few))
    assert (await store.get_image(2, with_results=True)).insights == insights("few")


async def test_what_ends_without_an_analysis_of_its_own_keeps_the_newest_of_its_bytes(
    store: CatalogStore,
) -> None:
    for _ in range(2):
        await store.create_image(new_image(), "")
    early = analysis(version="1", result=insights("early"), create_time_us=START_US - 5)
    late = analysis(version="2", result=insights("late"), create_time_us=START_US - 4)
    own = analysis(analyzer="caption", result=caption("own"))
    await write_outcome(store, outcome(None, early, late))
    image = await store.get_image(1, with_results=True)
    assert (image.insights, image.image.state) == (None, PENDING)
    await write_outcome(store, outcome(1, own, state=PROCESSED))
    await write_outcome(store, outcome(2, state=FAILED))
    stored, _ = await store.create_image(new_image(state=STORED), "")
    for number in (1, 2, stored.number):
        assert (await store.get_image(number, with_results=True)).insights == insights("late")
    # What comes later is not for these images.
    await write_outcome(store, outcome(None, analysis(version="3", create_time_us=START_US - 3)))
    assert (await store.get_image(1, with_results=True)).insights == insights("late")


async def test_a_replaced_result_is_found_by_every_image_that_shows_it(store: CatalogStore) -> None:
    for _ in range(3):
        await store.create_image(new_image(), "")
    degraded = analysis(analyzer="caption", result=caption(tags=["blur"]), create_time_us=START_US - 5)
    whole = analysis(analyzer="caption", result=caption(tags=["boat"]), create_time_us=START_US - 4)
    for number in (1, 2):
        await write_outcome(store, outcome(number, degraded, state=PROCESSED))
    await write_outcome(store, outcome(3, whole, state=PROCESSED))
    assert (await store.list_facets("tag", "", 10, None)).counts == (("boat", 3),)
    assert await found(store, "boat") == [3, 2, 1]
    assert await found(store, "blur") == []


async def test_analyses_of_bytes_that_no_image_has_are_refused(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    with pytest.raises(ServiceError) as refusal:
        await write_outcome(store, outcome(None, analysis("sea"), analysis("sky")))
    assert refusal.value.reason == Reason.IMAGE_NOT_FOUND
    assert (await store.read_stats()).analysis_count == 0


async def test_an_analysis_of_other_bytes_is_refused_and_nothing_of_it_stays(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    await store.create_image(new_image("sky"), "")
    with pytest.raises(ServiceError) as refusal:
        await write_outcome(store, outcome(1, analysis("sea"), analysis("sky"), state=PROCESSED))
    assert refusal.value.reason == Reason.INVALID_FIELD
    stats = await store.read_stats()
    assert (stats.analysis_count, stats.states) == (0, {PENDING: 2})


async def test_a_failure_is_kept_with_its_error_until_it_is_analysed_again(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(store, outcome(1, state=FAILED, error=b"\x08\x03"))
    failed = await store.get_image(1, with_results=False)
    assert (failed.image.state, failed.error) == (FAILED, b"\x08\x03")
    await write_outcome(store, outcome(1, analysis(), state=PROCESSED))
    processed = await store.get_image(1, with_results=False)
    assert (processed.image.state, processed.error) == (PROCESSED, b"")
    assert (await store.read_stats()).states == {PROCESSED: 1}


async def test_a_late_failure_takes_no_result_away(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(store, outcome(1, analysis(), state=PROCESSED))
    before = await store.get_image(1, with_results=True)
    with pytest.raises(ServiceError) as refusal:
        await write_outcome(store, outcome(1, analysis(version="2"), state=FAILED, error=b"\x08\x03"))
    assert refusal.value.reason == Reason.WRONG_STATE
    assert refusal.value.metadata["state"] == "PROCESSED"
    assert await store.get_image(1, with_results=True) == before
    assert (await store.read_stats()).analysis_count == 1


async def test_a_hidden_image_takes_its_results(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.hide_image(1)
    await write_outcome(store, outcome(1, analysis(result=insights("paid for")), state=PROCESSED))
    assert (await store.read_stats()).states == {}
    await store.restore_image(1)
    image = await store.get_image(1, with_results=True)
    assert (image.image.state, image.insights) == (PROCESSED, insights("paid for"))
    assert (await store.read_stats()).states == {PROCESSED: 1}


async def test_a_refused_item_of_a_batch_leaves_nothing_and_disturbs_no_other(store: CatalogStore) -> None:
    for content in ("sea", "sky", "sun"):
        await store.create_image(new_image(content), "")
    refusals = await store.write_outcomes(
        [
            outcome(1, analysis("sea", "caption", result=caption(tags=["a"])), state=PROCESSED),
            outcome(2, analysis("sky"), analysis("sea", version="9"), state=PROCESSED),
            outcome(7, state=PROCESSED),
            outcome(1, analysis("sea", "caption", version="2"), state=FAILED),
            outcome(None, analysis("sun"), analysis("nowhere")),
            outcome(2, state=PENDING),
            outcome(3, analysis("sun", "caption", result=caption(tags=["a", "b"])), state=PROCESSED),
        ]
    )
    assert [refusal and refusal.reason for refusal in refusals] == [
        None,
        Reason.INVALID_FIELD,
        Reason.IMAGE_NOT_FOUND,
        Reason.WRONG_STATE,
        Reason.IMAGE_NOT_FOUND,
        Reason.WRONG_STATE,
        None,
    ]
    stats = await store.read_stats()
    assert (stats.states, stats.analysis_count) == ({PENDING: 1, PROCESSED: 2}, 2)
    assert (await store.list_facets("tag", "", 10, None)).counts == (("a", 2), ("b", 1))


async def test_one_batch_may_speak_of_an_image_and_of_its_bytes_many_times(store: CatalogStore) -> None:
    for _ in range(2):
        await store.create_image(new_image(), "")
    later = analysis(result=insights("later"), create_time_us=START_US - 1)
    earlier = analysis(result=insights("earlier"), create_time_us=START_US - 2)
    name = (await store.get_image(1, with_results=False)).uuid
    refusals = await store.write_outcomes(
        [
            outcome(1, state=FAILED, error=b"\x08\x03"),
            outcome(name, earlier, state=PROCESSED),
            outcome(2, later, state=PROCESSED),
            outcome(None, earlier),
            outcome(1, earlier, state=PROCESSED),
        ]
    )
    assert refusals == [None] * 5
    for number in (1, 2):
        image = await store.get_image(number, with_results=True)
        assert (image.insights, image.image.state, image.error) == (insights("later"), PROCESSED, b"")
        assert image.process_time_us is not None
    stats = await store.read_stats()
    assert (stats.states, stats.analysis_count) == ({PROCESSED: 2}, 1)
    assert (await store.list_facets("state", "", 10, None)).counts == (("3", 2),)


async def test_an_empty_batch_is_nothing(store: CatalogStore) -> None:
    assert await store.write_outcomes([]) == []


async def test_a_result_that_cannot_be_read_disturbs_no_other_item(store: CatalogStore) -> None:
    for content in ("sea", "sky"):
        await store.create_image(new_image(content), "")
    refusals = await store.write_outcomes(
        [
            outcome(1, analysis("sea", result=b"\xff"), state=PROCESSED),
            outcome(2, analysis("sky"), state=PROCESSED),
        ]
    )
    assert [refusal and refusal.reason for refusal in refusals] == [Reason.DATA_DAMAGED, None]
    stats = await store.read_stats()
    assert (stats.states, stats.analysis_count) == ({PENDING: 1, PROCESSED: 1}, 1)


async def test_items_at_the_same_time_are_each_applied_once(store: CatalogStore) -> None:
    for index in range(20):
        await store.create_image(new_image(f"{index}"), "")
    items = [outcome(number, state=PROCESSED) for number in range(1, 41)]
    batches = await asyncio.gather(
        *(store.write_outcomes(items[start : start + 8]) for start in range(0, 40, 8))
    )
    refusals = [refusal for batch in batches for refusal in batch]
    assert refusals[:20] == [None] * 20
    assert all(isinstance(refusal, ServiceError) for refusal in refusals[20:])
    assert (await store.read_stats()).states == {PROCESSED: 20}


async def test_analyses_are_listed_newest_first_in_pages(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    written: list[AnalysisRecord] = []
    for index in range(7):
        # Two at a time share their microsecond.
        written.append(analysis(version=str(index), create_time_us=START_US - 50 + index // 2))
        await write_outcome(store, outcome(1, written[-1]))
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
