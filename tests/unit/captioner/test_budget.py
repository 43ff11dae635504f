"""No call goes beyond a budget, and none is made while that cannot be told."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from services.captioner.money.budget import PATIENCE_S, Budget, BudgetStanding, SpendHold, limits_from
from services.captioner.money.prices import PriceTable
from services.captioner.money.purse import Purse
from services.captioner.money.spending import Limit, Outcome, Reservation, new_id
from services.captioner.provider import ExhaustedError, Origin, PassedByError, Tokens
from services.captioner.settings import BudgetId, BudgetSetting
from tests.servers.caption_ledger import CaptionLedger, LedgerRecords
from tests.unit.captioner.warp import run_warped

SMALL = "mistral-small-latest"
EACH = Tokens(1_200, 100)
EACH_MICROS = 240
Budgets = Mapping[BudgetId, BudgetSetting]
ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 12, 30, 12, 0, tzinfo=UTC)


def bound(**numbers: float) -> BudgetSetting:
    return BudgetSetting.model_validate(numbers)


class Till:
    """A purse over honest books."""

    def __init__(self, budgets: Budgets = MappingProxyType({})) -> None:
        limits = limits_from(budgets)
        self.ledger = CaptionLedger()
        self.records = LedgerRecords(self.ledger, limits)
        self.utc_now = NOON
        self.purse = Budget(self.records, PriceTable({}), limits, lambda: self.utc_now)
        self._is_a_purse: Purse = self.purse

    async def hold(self, provider: str = "mistral", model: str = SMALL, tokens: Tokens = EACH) -> SpendHold:
        return await self.purse.hold(provider, model, tokens, Origin("batches/b"))


def test_no_two_calls_have_the_same_id() -> None:
    other = subprocess.run(
        [sys.executable, "-c", "from services.captioner.money.spending import *; print(new_id().hex())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    ids = {new_id() for _ in range(10_000)} | {bytes.fromhex(other.stdout)}

    assert len(ids) == 10_001
    assert {len(each) for each in ids} == {16}


def test_limits_of_settings() -> None:
    budgets: Budgets = {
        "all": bound(day=5, month=100),
        "mistral": bound(day=0.5, day_tokens=7),
        "openai": bound(),
    }
    assert limits_from(budgets) == (
        Limit("", False, micros=5_000_000),
        Limit("", True, micros=100_000_000),
        Limit("mistral", False, micros=500_000),
        Limit("mistral", False, tokens=7),
    )


async def test_without_a_budget_nothing_is_asked_and_everything_is_counted() -> None:
    till = Till({"openai": bound(day=1)})
    hold = await till.hold()
    assert not till.records.reservations
    assert hold.described(Tokens(1_000, 50)) == 180
    settled = list(till.ledger.settled.values())
    assert [(each.provider, each.batch, each.micros, each.tokens, each.outcome) for each in settled] == [
        ("mistral", "batches/b", 180, Tokens(1_000, 50), Outcome.DESCRIBED)
    ]
    # What was never set aside need not be given back.
    (await till.hold()).released()
    assert len(till.ledger.settled) == 1


async def test_a_model_without_a_price_is_counted_in_tokens() -> None:
    till = Till()
    hold = await till.hold("compatible", "llava")
    assert hold.described(EACH) is None
    assert [(each.micros, each.tokens) for each in till.ledger.settled.values()] == [(0, EACH)]


async def test_every_end_gives_back_what_was_set_aside() -> None:
    till = Till({"mistral": bound(day=1)})
    day = Limit("mistral", False, micros=1_000_000)
    described, wasted, unsettled, released = [await till.hold() for _ in range(4)]
    assert till.ledger.used(day) == 4 * EACH_MICROS
    described.described(Tokens(100, 10))
    wasted.wasted(Tokens(200, 0))
    unsettled.unsettled()
    released.released()
    assert not till.ledger.reserved
    assert till.ledger.used(day) == 21 + 30 + EACH_MICROS
    assert [each.outcome for each in till.ledger.settled.values()] == [
        Outcome.DESCRIBED,
        Outcome.WASTED,
        Outcome.UNSETTLED,
        Outcome.RELEASED,
    ]


async def test_an_answer_that_does_not_say_its_tokens_counts_with_the_estimate() -> None:
    till = Till()
    assert (await till.hold()).described(Tokens()) == EACH_MICROS


@pytest.mark.parametrize(
    ("budgets", "what", "end", "waits_h"),
    [
        ({"mistral": bound(day=0.0001)}, ("day", "mistral", "0.0001 USD"), "2026-12-31", 12),
        ({"all": bound(month=0)}, ("month", "all providers together", "0.00 USD"), "2027-01-01", 36),
        (
            {"openai": bound(day=0), "all": bound(day=900, day_tokens=1_299)},
            ("day", "all providers together", "1,299 tokens"),
            "2026-12-31",
            12,
        ),
    ],
)
async def test_a_refusal_names_budget_and_way_out(
    budgets: Budgets, what: tuple[str, str, str], end: str, waits_h: int
) -> None:
    with pytest.raises(ExhaustedError) as refusal:
        await Till(budgets).hold()
    period, whose, amount = what
    assert refusal.value.message == (
        f"The budget of the {period} for {whose} is used up ({amount}); raise "
        f"SIGHTMILL_CAPTIONER_BUDGETS, or wait until {end} 00:00 UTC."
    )
    assert refusal.value.retry_after_s == waits_h * 3_600


@pytest.mark.parametrize("affordable", [0, 1, 357])
async def test_of_a_thousand_at_once_as_many_pass_as_the_budget_has_room_for(affordable: int) -> None:
    till = Till({"all": bound(day=(EACH_MICROS * affordable + 100) / 1e6)})
    holds = await asyncio.gather(*(till.hold() for _ in range(1_000)), return_exceptions=True)
    passed = [each for each in holds if isinstance(each, SpendHold)]
    assert len(passed) == affordable
    assert sum(isinstance(each, ExhaustedError) for each in holds) == 1_000 - affordable
    for hold in passed:
        hold.described(EACH)
    assert till.ledger.total("").micros == affordable * EACH_MICROS


def test_a_refusal_is_remembered_for_a_moment() -> None:
    async def work() -> None:
        till = Till({"mistral": bound(day_tokens=1_000)})
        for _ in range(50):
            with pytest.raises(ExhaustedError):
                await till.hold()
        assert till.records.reservations == 1
        # Something smaller may still fit.
        (await till.hold(tokens=Tokens(500, 100))).released()
        await asyncio.sleep(5)
        with pytest.raises(ExhaustedError):
            await till.hold()
        assert till.records.reservations == 3

    run_warped(work())


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_refusal_ends_with_its_period(period: str) -> None:
    async def work() -> None:
        till = Till({"mistral": bound(**{f"{period}_tokens": 1_000})})
        till.utc_now = datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)
        for _ in range(2):
            with pytest.raises(ExhaustedError, match="until 2027-01-01 00:00 UTC") as refusal:
                await till.hold()
            assert refusal.value.retry_after_s == 2
        assert till.records.reservations == 1
        till.utc_now += timedelta(seconds=3)
        # It is asked again: whether the new period has room is not for the old one to say.
        with pytest.raises(ExhaustedError):
            await till.hold()
        assert till.records.reservations == 2

    run_warped(work())


def test_a_refusal_that_comes_after_midnight_is_of_the_day_before() -> None:
    async def work() -> None:
        till = Till({"mistral": bound(day_tokens=1_000)})
        till.utc_now = datetime(2026, 12, 30, 23, 59, 58, tzinfo=UTC)
        reserve = till.records.reserve

        async def late(reservation: Reservation) -> Limit | None:
            exceeded = await reserve(reservation)
            till.utc_now = datetime(2026, 12, 31, 0, 0, 1, tzinfo=UTC)
            return exceeded

        till.records.reserve = late  # type: ignore[method-assign]
        with pytest.raises(ExhaustedError, match="until 2026-12-31 00:00 UTC") as refusal:
            await till.hold()
        assert refusal.value.retry_after_s == 0

    run_warped(work())


async def test_nothing_is_spent_while_the_budget_cannot_be_checked() -> None:
    till = Till({"mistral": bound(day=5)})
    till.records.is_away, till.records.away_s = True, PATIENCE_S
    with pytest.raises(PassedByError) as refusal:
        await till.hold()
    assert refusal.value.message == "The budget cannot be checked: the catalog does not answer."
    # Where nothing is bounded, nothing needs checking.
    await till.hold("openai", "gpt-5.4-mini")


def test_a_restart_of_the_catalog_is_waited_out() -> None:
    async def scenario() -> None:
        till = Till({"mistral": bound(day=5)})
        till.records.is_away = True
        waiting = asyncio.create_task(till.hold())
        await asyncio.sleep(PATIENCE_S - 1)
        till.records.is_away = False
        (await waiting).described(Tokens(1, 1))
        assert len(till.ledger.settled) == 1

        till.records.is_away = True
        started = asyncio.get_running_loop().time()
        with pytest.raises(PassedByError):
            await till.hold()
        assert asyncio.get_running_loop().time() - started == pytest.approx(PATIENCE_S, abs=1)

    run_warped(scenario())


async def test_money_is_not_spent_at_an_unknown_price() -> None:
    till = Till({"all": bound(day=5)})
    with pytest.raises(PassedByError, match="SIGHTMILL_CAPTIONER_PRICES"):
        await till.hold("compatible", "llava")
    assert not till.records.reservations
    # A bound on tokens alone asks for no price.
    await Till({"all": bound(day_tokens=10_000)}).hold("compatible", "llava")


async def test_what_costs_nothing_fits_any_budget() -> None:
    till = Till({"all": bound(day=0, day_tokens=0)})
    till.records.is_away = True
    hold = await till.hold("blip", "blip", Tokens())
    assert hold.described(Tokens()) == 0


async def test_standing() -> None:
    till = Till({"all": bound(day=5, month_tokens=10_000), "openai": bound(day=1)})
    (await till.hold()).described(EACH)
    await till.hold()
    everything = [
        BudgetStanding(Limit("", False, micros=5_000_000), 2 * EACH_MICROS),
        BudgetStanding(Limit("", True, tokens=10_000), 2 * EACH.total),
    ]
    assert await till.purse.standing("mistral") == everything
    own = BudgetStanding(Limit("openai", False, micros=1_000_000), 0)
    assert await till.purse.standing("openai") == [*everything, own]
    assert await till.purse.spent("mistral") == (EACH_MICROS, EACH_MICROS)
    assert await till.purse.spent("openai") == (0, 0)
    till.records.is_away = True
    assert [each.used for each in await till.purse.standing("mistral")] == [None, None]
    assert await till.purse.spent("mistral") is None
