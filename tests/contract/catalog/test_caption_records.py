"""Caption records: what every store must do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.catalog.captions.model import Limit, Outcome, Spend, TotalKey, Usage, UsageQuery, day_of
from services.catalog.captions.upkeep import CaptionUpkeep
from services.catalog.model import StrayBlob
from services.catalog.mongo import caption_records as mongo_caption_records
from services.catalog.mongo.caption_records import MongoCaptionRecords
from tests.contract.catalog.adapters import Clock, digest_of, new_image
from tests.contract.catalog.caption_adapters import (
    BATCH,
    DAY_US,
    HOUR_US,
    KINDS,
    World,
    kept,
    limit,
    open_world,
    reservation,
    settlement,
)
from tests.contract.catalog.mongo_adapter import mongo_database

DAY, MONTH = "2023-11-14", "2023-11"  # of the clock's start
SEA = bytes.fromhex(digest_of("sea"))


@pytest.fixture(params=KINDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with open_world(request.param, tmp_path, clock) as opened:
        yield opened


def set_time(clock: Clock, text: str) -> None:
    clock.now_us = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


async def kept_keys(world: World, *keys: int) -> list[int]:
    """Which of these captions are there."""
    found = await world.records.look_up_captions([kept(key).key for key in keys])
    return [key for key, caption in zip(keys, found, strict=True) if caption is not None]


async def test_captions_are_found_in_the_order_of_the_keys(world: World) -> None:
    captions = [kept(number, caption=b"%d" % number) for number in range(256)]
    await world.records.keep_captions(captions[:255])
    found = await world.records.look_up_captions([caption.key for caption in captions[::-1]])
    assert found == [None, *(caption.caption for caption in captions[:255][::-1])]
    assert await world.records.look_up_captions([captions[3].key] * 2) == [b"3", b"3"]


async def test_a_caption_replaces_one_of_the_same_key(world: World, clock: Clock) -> None:
    await world.records.keep_captions([kept(1, caption=b"first"), kept(1, SEA, b"second"), kept(2)])
    assert await world.records.look_up_captions([kept(1).key]) == [b"second"]
    late_us = clock.now_us + 1
    await world.records.keep_captions([kept(1, SEA, bytes(64 * 1024))])
    assert await world.records.look_up_captions([kept(1).key]) == [bytes(64 * 1024)]
    # It counts once, and as old as its replacement.
    assert await world.records.drop_captions(0, 2, 10) == 0
    assert await world.records.drop_captions(late_us, 2, 10) == 1
    assert await kept_keys(world, 1, 2) == [1]


async def test_the_oldest_captions_are_dropped_in_bounded_steps(world: World, clock: Clock) -> None:
    times = []
    for key in range(10):
        await world.records.keep_captions([kept(key)])
        times.append(clock.now_us)
    assert await world.records.drop_captions(0, 10, 100) == 0
    assert await world.records.drop_captions(0, 4, 5) == 5
    assert await world.records.drop_captions(0, 4, 5) == 1
    assert await world.records.drop_captions(0, 4, 5) == 0
    assert await kept_keys(world, *range(10)) == [6, 7, 8, 9]
    # Too old and too many are the same ones.
    assert await world.records.drop_captions(times[7] + 1, 3, 100) == 2
    assert await kept_keys(world, *range(10)) == [8, 9]
    assert await world.records.drop_captions(0, 0, 100) == 2
    assert await world.records.drop_captions(2**62, 0, 100) == 0


async def test_captions_go_with_the_bytes_of_their_image(world: World) -> None:
    await world.records.keep_captions([kept(1, SEA), kept(2, SEA), kept(3)])
    image, _ = await world.images.create_image(new_image(), "")
    # Bytes that live are not forgotten.
    await world.images.forget_blobs([digest_of("sea")])
    assert await kept_keys(world, 1, 2, 3) == [1, 2, 3]
    await world.images.delete_image(image.uuid)
    await world.images.condemn_blobs(2**62, 10)
    await world.images.forget_blobs([digest_of("sea")])
    assert await kept_keys(world, 1, 2, 3) == [3]
    # The count of them follows.
    assert await world.records.drop_captions(0, 1, 10) == 0
    assert await world.records.drop_captions(0, 0, 10) == 1


async def test_no_caption_is_kept_of_bytes_that_are_condemned_or_gone(world: World) -> None:
    """One that was asked for before the image was deleted comes late."""
    await world.images.adopt_blobs([StrayBlob(digest_of("sea"), new_image().blob_key, 1_000)])
    await world.images.condemn_blobs(2**62, 10)
    await world.records.keep_captions([kept(1, SEA), kept(2)])
    assert await kept_keys(world, 1, 2) == [2]
    await world.images.forget_blobs([digest_of("sea")])
    await world.records.keep_captions([kept(1, SEA)])
    assert await kept_keys(world, 1) == []
    await world.images.create_image(new_image(), "", 1)
    await world.records.keep_captions([kept(1, SEA)])
    assert await kept_keys(world, 1) == [1]


async def test_captions_of_bytes_that_no_image_has_are_forgotten_too(world: World) -> None:
    await world.records.keep_captions([kept(1, SEA)])
    await world.images.forget_blobs([digest_of("sea")])
    assert await kept_keys(world, 1) == []


async def test_what_is_reserved_and_settled_adds_up(world: World) -> None:
    await world.records.reserve_spend([reservation(1, 10, 100), reservation(2, 1, 2, "openai")], [])
    for period in (DAY, MONTH):
        totals = await world.totals()
        assert totals[f"{period} mistral"] == Spend(0, 0, 10, 100)
        assert totals[f"{period} openai"] == Spend(0, 0, 1, 2)
        assert totals[f"{period} "] == Spend(0, 0, 11, 102)
    assert await world.usage() == {}
    await world.records.settle_spend([settlement(1, micros=7, tokens=(60, 5))])
    totals = await world.totals()
    assert totals[f"{DAY} mistral"] == totals[f"{MONTH} mistral"] == Spend(7, 65)
    assert totals[f"{DAY} "] == totals[f"{MONTH} "] == Spend(7, 65, 1, 2)
    assert len(totals) == 6
    assert await world.usage() == {f"{DAY} mistral": Usage(1, 0, 0, 60, 5, 7)}


async def test_large_numbers_add_up(world: World) -> None:
    for number in range(3):
        await world.records.reserve_spend([reservation(number, 10**15, 10**15)], [])
    assert (await world.totals())[f"{DAY} "] == Spend(0, 0, 3 * 10**15, 3 * 10**15)
    await world.records.settle_spend(
        [settlement(number, micros=10**15, tokens=(10**15, 1)) for number in range(3)]
    )
    assert (await world.totals())[f"{DAY} "] == Spend(3 * 10**15, 3 * 10**15 + 3)


async def test_each_outcome_counts_as_it_should(world: World) -> None:
    for number, outcome in enumerate(Outcome):
        await world.records.reserve_spend([reservation(number)], [])
        await world.records.settle_spend([settlement(number, outcome, 1 + 10**outcome, (2, 3))])
    counted = Usage(1, 1, 1, 6, 9, 3 + 10**1 + 10**4 + 10**5)
    assert await world.usage() == {f"{DAY} mistral": counted}
    assert (await world.totals())[f"{DAY} mistral"] == Spend(counted.micros, 15)


async def test_without_a_reservation_it_counts_today(world: World) -> None:
    await world.records.settle_spend([settlement(1), settlement(2, Outcome.RELEASED)])
    assert await world.usage() == {f"{DAY} mistral": Usage(1, 0, 0, 60, 5, 7)}
    assert (await world.totals())[f"{DAY} "] == Spend(7, 65)


async def test_a_reservation_that_comes_after_its_release_sets_nothing_aside(world: World) -> None:
    await world.records.settle_spend([settlement(2, Outcome.RELEASED)])
    # Its caller has given up waiting, and will not say so again.
    assert await world.records.reserve_spend([reservation(2)], []) == [None]
    assert await world.totals() == {}


async def test_repeating_changes_nothing(world: World) -> None:
    limits = [limit(micros=10)]
    for _ in range(2):
        assert await world.records.reserve_spend([reservation(1), reservation(1)], limits) == [None, None]
    assert (await world.totals())[f"{DAY} "] == Spend(0, 0, 10, 100)
    for outcome in Outcome:
        await world.records.settle_spend([settlement(1), settlement(1, outcome, 50)])
    # Settled as it is, it is let through.
    assert await world.records.reserve_spend([reservation(1, 10**9)], limits) == [None]
    assert (await world.totals())[f"{DAY} "] == Spend(7, 65)
    assert await world.usage() == {f"{DAY} mistral": Usage(1, 0, 0, 60, 5, 7)}


async def test_a_settlement_counts_for_the_provider_and_the_batch_of_its_reservation(world: World) -> None:
    await world.records.reserve_spend([reservation(1, batch=BATCH)], [])
    await world.records.settle_spend([settlement(1, provider="openai", batch="batches/x")])
    assert list(await world.usage(by_batch=True)) == [f"{DAY} mistral {BATCH}"]
    assert (await world.totals())[f"{DAY} mistral"] == Spend(7, 65)


@pytest.mark.parametrize(
    ("bound", "passes"),
    [
        (limit(micros=30), "yyyn"),
        (limit(micros=29), "yynn"),
        (limit(tokens=200), "yynn"),
        (limit(micros=0), "nnnn"),
        (limit(20, 1_000, "mistral"), "yynn"),
        (limit(20, 1_000, "mistral", monthly=True), "yynn"),
        (limit(0, 0, "openai"), "yyyy"),
        (limit(), "yyyy"),
    ],
)
async def test_each_reservation_is_decided_alone_and_in_order(
    world: World, bound: Limit, passes: str
) -> None:
    decisions = await world.records.reserve_spend([reservation(number) for number in range(4)], [bound])
    assert decisions == [None if letter == "y" else bound for letter in passes]
    reserved = 10 * passes.count("y")
    assert (await world.totals()).get(f"{DAY} ", Spend()).reserved_micros == reserved


async def test_a_smaller_one_passes_after_one_that_does_not_fit(world: World) -> None:
    limits = [limit(tokens=10**6), limit(100), limit(100, provider="mistral", monthly=True)]
    wanted = [reservation(number, micros) for number, micros in enumerate((60, 50, 41, 40))]
    assert await world.records.reserve_spend(wanted, limits) == [None, limits[1], limits[1], None]
    await world.records.settle_spend([settlement(0, Outcome.RELEASED)])
    assert await world.records.reserve_spend([reservation(9, 60)], limits) == [None]


async def test_limits_of_a_day_and_a_month_end_with_them(world: World, clock: Clock) -> None:
    daily, monthly = limit(10), limit(20, monthly=True)
    set_time(clock, "2024-02-28T23:59:59")
    assert await world.records.reserve_spend([reservation(1), reservation(2)], [daily]) == [None, daily]
    set_time(clock, "2024-02-29T00:00:00")
    assert await world.records.reserve_spend([reservation(3), reservation(4)], [daily, monthly]) == [
        None,
        daily,
    ]
    assert await world.records.reserve_spend([reservation(5)], [monthly]) == [monthly]
    # What began yesterday counts yesterday, and gives back there.
    await world.records.settle_spend([settlement(1, micros=9)])
    assert set(await world.usage()) == {"2024-02-28 mistral"}
    totals = await world.totals()
    assert totals["2024-02-29 "] == Spend(0, 0, 10, 100)
    assert totals["2024-02 "] == Spend(9, 65, 10, 100)
    set_time(clock, "2024-03-01T00:00:00")
    assert await world.totals() == {}
    assert await world.records.reserve_spend([reservation(6)], [daily, monthly]) == [None]
    await world.records.settle_spend([settlement(3), settlement(6), settlement(7, batch=BATCH)])
    assert set(await world.totals()) == {"2024-03-01 ", "2024-03-01 mistral", "2024-03 ", "2024-03 mistral"}
    assert list(await world.usage()) == ["2024-03-01 mistral", "2024-02-29 mistral", "2024-02-28 mistral"]


async def test_what_expires_stays_reserved_until_it_counts_as_spent(world: World, clock: Clock) -> None:
    await world.records.reserve_spend([reservation(1, batch=BATCH), reservation(2, ttl_us=DAY_US)], [])
    assert await world.records.expire_calls(10) == 0
    clock.now_us += HOUR_US
    assert (await world.totals())[f"{DAY} "].reserved_micros == 20
    assert await world.records.reserve_spend([reservation(3)], [limit(29)]) == [limit(29)]
    assert await world.records.expire_calls(10) == 1
    assert await world.records.expire_calls(10) == 0
    assert (await world.totals())[f"{DAY} "] == Spend(10, 100, 10, 100)
    assert await world.usage(by_batch=True) == {f"{DAY} mistral {BATCH}": Usage(0, 0, 1, 100, 0, 10)}
    assert await world.records.reserve_spend([reservation(3)], [limit(29)]) == [limit(29)]
    assert await world.records.reserve_spend([reservation(1)], [limit(0)]) == [None]


@pytest.mark.parametrize("outcome", Outcome)
async def test_a_late_settlement_takes_the_place_of_the_estimate_once(
    world: World, clock: Clock, outcome: Outcome
) -> None:
    """Seen from outside as if it had come in time."""
    await world.records.reserve_spend([reservation(1), reservation(2)], [])
    await world.records.settle_spend([settlement(1, outcome)])
    in_time = await world.usage()
    totals = (await world.totals())[f"{MONTH} mistral"]
    clock.now_us += DAY_US - 1_000
    assert await world.records.expire_calls(10) == 1
    for _ in range(2):
        await world.records.settle_spend([settlement(2, outcome, 7)])
        (usage,) = (await world.usage()).values()
        once = next(iter(in_time.values()), Usage())
        assert usage == once.plus(once)
    assert (await world.totals())[f"{MONTH} mistral"] == Spend(2 * totals.micros, 2 * (totals.tokens), 0, 0)


async def test_what_expires_is_swept_in_bounded_steps_the_first_first(world: World, clock: Clock) -> None:
    for number in range(5):
        await world.records.reserve_spend(
            [reservation(number, 10**number, ttl_us=(9 - number) * HOUR_US)], []
        )
    clock.now_us += 2 * DAY_US
    assert [await world.records.expire_calls(2) for _ in range(4)] == [2, 2, 1, 0]
    (usage,) = (await world.usage()).values()
    assert (usage.unsettled, usage.micros) == (5, 11_111)


async def test_what_is_settled_is_remembered_for_a_day(world: World, clock: Clock) -> None:
    await world.records.reserve_spend([reservation(1), reservation(2)], [])
    await world.records.settle_spend([settlement(1), settlement(3)])
    clock.now_us += DAY_US - 1_000
    assert await world.records.forget_calls(10) == 0
    await world.records.settle_spend([settlement(1)])
    clock.now_us += 1_000
    # What is held is never forgotten.
    assert [await world.records.forget_calls(1) for _ in range(3)] == [1, 1, 0]
    assert (await world.usage())[f"{DAY} mistral"].images == 2
    assert await world.records.expire_calls(10) == 1
    clock.now_us += DAY_US
    assert await world.records.forget_calls(10) == 1
    await world.records.settle_spend([settlement(1), settlement(2)])
    assert (await world.usage())["2023-11-16 mistral"].images == 2


async def test_usage_by_batch_is_kept_for_400_days_and_all_together_stays(world: World, clock: Clock) -> None:
    await world.records.settle_spend([settlement(1, batch=BATCH), settlement(2)])
    clock.now_us += 399 * DAY_US
    await world.records.settle_spend([settlement(3, batch=BATCH)])
    while await world.records.forget_calls(1):
        pass
    assert len(await world.usage(by_batch=True)) == 3
    clock.now_us += DAY_US
    # Two rows, and what was settled the day before.
    assert [await world.records.forget_calls(10) for _ in range(2)] == [3, 0]
    assert list(await world.usage(by_batch=True)) == [f"2024-12-17 mistral {BATCH}"]
    assert list(await world.usage(batch=BATCH)) == [f"2024-12-17 mistral {BATCH}"]
    assert (await world.usage())[f"{DAY} mistral"].images == 2


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_usage_is_listed_newest_first_then_by_provider_and_batch(
    world: World, clock: Clock, size: int
) -> None:
    batches, providers = (
        ["", "batches/1", "batches/10", "batches/2", "batches/Z", "batches/_"],
        ["a", "a-b", "a1"],
    )
    number = 0
    for _ in range(2):
        for provider in providers[::-1]:
            for batch in batches[::-1]:
                number += 1
                await world.records.settle_spend([settlement(number, provider=provider, batch=batch)])
        clock.now_us += DAY_US
    days = ["2023-11-15", DAY]
    assert list(await world.usage(size=size)) == [f"{day} {name}" for day in days for name in providers]
    assert list(await world.usage(by_batch=True, size=size)) == [
        " ".join(filter(None, (day, name, batch))) for day in days for name in providers for batch in batches
    ]
    for by_batch in (True, False):
        one = await world.usage(batch="batches/1", by_batch=by_batch, size=size)
        assert list(one) == [f"{day} {name} batches/1" for day in days for name in providers]
        assert {usage.images for usage in one.values()} == {1}
    assert {usage.images for usage in (await world.usage()).values()} == {6}
    assert await world.usage(batch="batches/unknown") == {}


async def test_usage_is_of_the_days_that_are_asked_for(world: World, clock: Clock) -> None:
    for number, day in enumerate(("0999-12-31", "2023-12-31", "2024-01-01", "2024-01-02")):
        if day > "1970":
            set_time(clock, day)
            await world.records.settle_spend([settlement(number)])
    for first, last, days in (
        ("2023-12-31", "2024-01-02", ["2024-01-02", "2024-01-01", "2023-12-31"]),
        ("2024-01-01", "2024-01-01", ["2024-01-01"]),
        ("0001-01-01", "2023-12-31", ["2023-12-31"]),
        ("2024-01-03", "9999-12-31", []),
        ("2024-01-02", "9999-12-31", ["2024-01-02"]),
    ):
        page = await world.records.list_usage(UsageQuery(first, last), 100)
        assert [row.key.day for row in page.rows] == days


async def test_at_the_same_time_exactly_as_many_pass_as_fit(world: World) -> None:
    calls = [
        world.records.reserve_spend([reservation(number)], [limit(370), limit(tokens=3_700, monthly=True)])
        for number in range(100)
    ]
    decisions = [decision for answer in await asyncio.gather(*calls) for decision in answer]
    assert decisions.count(None) == 37
    assert (await world.totals())[f"{DAY} "] == Spend(0, 0, 370, 3_700)


async def test_several_catalogs_on_one_database_hold_a_limit_together(clock: Clock) -> None:
    async with mongo_database(clock, mongo_caption_records.INDEXES) as database:
        catalogs = [MongoCaptionRecords(database) for _ in range(4)]
        for turn in range(4):
            clock.now_us += DAY_US
            decisions = await asyncio.gather(
                *(
                    catalogs[number % 4].reserve_spend([reservation(10 * turn + number)], [limit(30)])
                    for number in range(8)
                )
            )
            assert decisions.count([None]) == 3
            await asyncio.gather(*(catalog.settle_spend([settlement(10 * turn + 9)]) for catalog in catalogs))
            totals = await catalogs[0].read_totals()
            assert totals[TotalKey(day_of(clock.now_us), "")] == Spend(7, 65, 30, 300)


async def test_the_same_call_at_the_same_time_counts_once(world: World) -> None:
    await asyncio.gather(*(world.records.reserve_spend([reservation(1)], []) for _ in range(20)))
    assert (await world.totals())[f"{DAY} "] == Spend(0, 0, 10, 100)
    await asyncio.gather(*(world.records.settle_spend([settlement(1), settlement(2)]) for _ in range(20)))
    assert (await world.totals())[f"{DAY} "] == Spend(14, 130)
    assert (await world.usage())[f"{DAY} mistral"].images == 2


async def test_settling_and_sweeping_at_the_same_time_counts_each_call_once(
    world: World, clock: Clock
) -> None:
    await world.records.reserve_spend([reservation(number) for number in range(20)], [])
    clock.now_us += DAY_US
    await asyncio.gather(
        *(world.records.settle_spend([settlement(number)]) for number in range(10)),
        *(world.records.expire_calls(3) for _ in range(10)),
    )
    (usage,) = (await world.usage()).values()
    assert (usage.images, usage.unsettled, usage.micros) == (10, 10, 170)
    assert (await world.totals())[f"{MONTH} "] == Spend(170, 10 * 165)


async def test_upkeep_does_all_that_is_due(world: World, clock: Clock) -> None:
    await world.records.keep_captions([kept(key) for key in range(3)])
    await world.records.reserve_spend([reservation(number) for number in range(256)], [])
    await world.records.reserve_spend([reservation(number) for number in range(256, 300)], [])
    clock.now_us += HOUR_US
    await CaptionUpkeep(world.records, 2, 10.0**9).tend(asyncio.Event())
    assert len(await kept_keys(world, 0, 1, 2)) == 2
    (usage,) = (await world.usage()).values()
    assert usage.unsettled == 300
    # Kept long ago by the clock of the wall.
    await CaptionUpkeep(world.records, 2, 1.0).tend(asyncio.Event())
    assert await kept_keys(world, 0, 1, 2) == []
