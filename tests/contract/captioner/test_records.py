"""The captioner's records over real gRPC and the catalog's real books, whatever the catalog does."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.captioner.money.spending import NOTHING_SPENT, Limit, Outcome, Reservation, Settlement, Total
from services.captioner.provider import Tokens
from services.captioner.records import rest
from services.captioner.records.catalog_records import CatalogRecords
from services.captioner.records.port import RecordsAwayError
from services.runtime.errors import InvalidArgumentError
from sightmill.v1 import caption_records_pb2, captioner_pb2
from tests.contract.captioner.records_world import TIMEOUT_S, RecordsWorld, records_world
from tests.servers.waiting import until

SHA256 = hashlib.sha256(b"sea").hexdigest()
REST_S = 0.3


@pytest.fixture(autouse=True)
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REST_S", REST_S)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RecordsWorld]:
    async with records_world(tmp_path) as running:
        yield running


def key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def caption(text: str) -> captioner_pb2.Caption:
    return captioner_pb2.Caption(text=text, tags=["sea"], provider="mistral")


def claim(micros: int = 100, tokens: int = 10) -> Reservation:
    return Reservation(uuid.uuid4().bytes, "mistral", "batches/b", micros, tokens, 900)


def settlement(
    outcome: Outcome = Outcome.DESCRIBED, of: Reservation | None = None, batch: str = "batches/b"
) -> Settlement:
    return Settlement(of.id if of else uuid.uuid4().bytes, "mistral", batch, 7, Tokens(3, 2), outcome)


async def spent(records: CatalogRecords) -> Total:
    """Past the two seconds for which the client believes it knows; less than nothing when nobody answers."""
    records._totals_until = 0.0
    try:
        return (await records.spend()).get(("mistral", False), NOTHING_SPENT)
    except RecordsAwayError:
        return Total(micros=-1)


async def images(records: CatalogRecords) -> int:
    """Images that the report of today counts."""
    today = datetime.now(UTC).date().isoformat()
    query = caption_records_pb2.ListSpendRequest(start_day=today, end_day=today)
    return sum(row.image_count for row in (await records.list_spend(query)).rows)


async def test_what_one_captioner_keeps_another_one_finds(world: RecordsWorld) -> None:
    async with world.running_client() as first, world.client() as second:
        assert await first.look_up(key("a")) is None
        first.keep(key("a"), SHA256, caption("A dog."))
        # The one who keeps it knows it from now on, whether the catalog has it yet or not.
        assert await first.look_up(key("a")) == caption("A dog.")

        async def arrived() -> bool:
            return await second.look_up(key("a")) == caption("A dog.")

        await until(arrived, "the caption is in the catalog")
        assert not first._unsent
        first.keep(key("a"), SHA256, caption("A cat."))
        assert (await first.look_up(key("a"))) == caption("A cat.")


async def test_a_caption_that_is_too_large_is_not_kept(world: RecordsWorld) -> None:
    async with world.client() as records:
        records.keep(key("a"), SHA256, caption("x" * 64 * 1024))
    async with world.client() as records:
        assert await records.look_up(key("a")) is None
    assert not world.faults.calls["KeepCaptions"]


async def test_calls_at_the_same_time_share_messages(world: RecordsWorld) -> None:
    async with world.client() as records:
        await asyncio.gather(*(records.look_up(key(str(each))) for each in range(600)))
        assert world.faults.calls["LookUpCaptions"] <= 4


@pytest.mark.parametrize(
    ("limit", "affordable"),
    [
        (Limit("mistral", False, micros=357 * 100 + 99), 357),
        (Limit("", True, tokens=1_234 * 10), 1_000),
        (Limit("", False, tokens=9), 0),
        (Limit("openai", False, micros=0), 1_000),
    ],
)
async def test_of_a_thousand_at_once_as_many_pass_as_there_is_room_for(
    world: RecordsWorld, limit: Limit, affordable: int
) -> None:
    async with world.client([limit]) as one, world.client([limit]) as other:
        decisions = await asyncio.gather(*((one, other)[turn % 2].reserve(claim()) for turn in range(1_000)))
        assert decisions.count(None) == affordable
        assert set(decisions) <= {None, limit}
        assert (await spent(one)).reserved_micros == affordable * 100
        assert world.faults.calls["ReserveSpend"] <= 8


async def test_what_it_cost_takes_the_place_of_what_was_set_aside(world: RecordsWorld) -> None:
    async with world.running_client([Limit("", False, micros=10_000)]) as records:
        claims = [claim() for _ in range(3)]
        for each in claims:
            assert await records.reserve(each) is None
        assert await spent(records) == Total(0, 0, 300, 30)
        records.settle(settlement(of=claims[0]))
        records.settle(settlement(Outcome.RELEASED, of=claims[1]))
        records.settle(settlement(Outcome.CACHED))

        async def settled() -> bool:
            return await spent(records) == Total(7, 5, 100, 10)

        await until(settled, "both are settled")
        assert await images(records) == 1


async def test_nothing_is_lost_while_the_catalog_is_away_and_nothing_counted_twice(
    world: RecordsWorld,
) -> None:
    async with world.running_client() as records:
        for _ in range(50):
            records.settle(settlement())

        async def counted() -> bool:
            return (await spent(records)).micros == 350

        await until(counted, "the first are counted")
        await world.stop()
        for _ in range(700):
            records.settle(settlement())
        records.keep(key("a"), SHA256, caption("A dog."))
        with pytest.raises(RecordsAwayError):
            await records.reserve(claim())
        # While it is away, nobody waits for it.
        began = time.monotonic()
        for each in range(100):
            with pytest.raises(RecordsAwayError):
                await records.look_up(key(str(each)))
        assert time.monotonic() - began < TIMEOUT_S
        await world.start()

        async def all_counted() -> bool:
            return (await spent(records)).micros == 750 * 7

        await until(all_counted, "the others are counted")
        assert await images(records) == 750
        assert await records.look_up(key("a")) == caption("A dog.")


async def test_a_catalog_that_hangs_costs_time_once(world: RecordsWorld) -> None:
    timeout_s = 0.5
    async with world.client(timeout_s=timeout_s) as records:
        world.faults.open.clear()
        began = time.monotonic()
        with pytest.raises(RecordsAwayError):
            await records.look_up(key("a"))
        assert time.monotonic() - began >= timeout_s - 0.05
        asked = world.faults.calls["LookUpCaptions"]
        await asyncio.gather(*(records.look_up(key("b")) for _ in range(50)), return_exceptions=True)
        assert world.faults.calls["LookUpCaptions"] == asked == 1
        world.faults.open.set()

        async def answers() -> bool:
            try:
                return await records.look_up(key("a")) is None
            except RecordsAwayError:
                return False

        await until(answers, "it is asked again")


async def test_a_ping_ends_the_rest(world: RecordsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REST_S", 3_600)
    async with world.client() as records:
        await world.stop()
        with pytest.raises(RecordsAwayError):
            await records.look_up(key("a"))
        with pytest.raises(RecordsAwayError):
            await records.ping()
        await world.start()

        async def pings() -> bool:
            try:
                await records.ping()
            except RecordsAwayError:
                return False
            return True

        await until(pings, "it answers")
        assert await records.look_up(key("a")) is None


async def test_an_answer_that_is_lost_counts_once(world: RecordsWorld) -> None:
    world.faults.lossy = {"SettleSpend"}
    async with world.running_client() as records, world.client() as onlooker:
        for _ in range(10):
            records.settle(settlement())
        await until(lambda: world.faults.calls["SettleSpend"] >= 2, "it is sent again")
        assert (await spent(onlooker)).micros == 70
        world.faults.lossy = set()
        await until(lambda: not len(records._settlements), "the catalog has it")
        assert (await spent(onlooker)).micros == 70
        assert await images(onlooker) == 10


async def test_a_reservation_whose_answer_is_lost_is_given_back(world: RecordsWorld) -> None:
    world.faults.lossy = {"ReserveSpend"}
    async with world.running_client([Limit("", False, micros=10_000)]) as records:
        with pytest.raises(RecordsAwayError):
            await records.reserve(claim())

        async def free() -> bool:
            return not len(records._settlements) and await spent(records) == Total()

        await until(free, "nothing is set aside")


async def test_a_caller_that_leaves_keeps_nothing_set_aside(world: RecordsWorld) -> None:
    async with world.running_client([Limit("", False, micros=10_000)]) as records:
        world.faults.open.clear()
        gone, stays = (asyncio.create_task(records.reserve(claim())) for _ in range(2))
        await until(lambda: world.faults.calls["ReserveSpend"] == 1, "it is on its way")
        gone.cancel()
        world.faults.open.set()
        assert await stays is None

        async def given_back() -> bool:
            return await spent(records) == Total(0, 0, 100, 10)

        await until(given_back, "only one is set aside")


async def test_the_end_of_the_process_sends_the_rest(world: RecordsWorld) -> None:
    async with world.client() as records:
        for _ in range(600):
            records.settle(settlement())
        records.keep(key("a"), SHA256, caption("A dog."))
    async with world.client() as records:
        assert await images(records) == 600
        assert await records.look_up(key("a")) == caption("A dog.")


async def test_what_the_catalog_never_takes_is_dropped_alone(world: RecordsWorld) -> None:
    registry = CollectorRegistry()
    async with world.client(registry=registry) as records:
        for each in range(20):
            records.settle(settlement(batch="no batch" if each == 7 else ""))
    async with world.client() as records:
        assert await images(records) == 19
    lost = registry.get_sample_value("sightmill_caption_records_lost_total", {"kind": "settlement"})
    assert lost == 1


async def test_who_asks_what_was_spent_shares_the_answer(world: RecordsWorld) -> None:
    async with world.client() as records:
        await asyncio.gather(*(records.spend() for _ in range(50)))
        await records.spend()
        assert world.faults.calls["GetSpend"] == 1


async def test_the_report_refuses_what_the_catalog_refuses(world: RecordsWorld) -> None:
    async with world.client() as records:
        with pytest.raises(InvalidArgumentError, match="end_day"):
            await records.list_spend(
                caption_records_pb2.ListSpendRequest(start_day="2026-11-02", end_day="2026-11-01")
            )
        # That says nothing about the catalog's health.
        assert await records.look_up(key("a")) is None
