"""Keeps what calls cost within the operator's budgets, and has it counted."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.captioner.money.prices import PriceTable
from services.captioner.money.spending import (
    NOTHING_SPENT,
    Limit,
    Outcome,
    Reservation,
    Settlement,
    new_id,
)
from services.captioner.provider import ExhaustedError, Origin, PassedByError, Tokens
from services.captioner.records.port import Records, RecordsAwayError
from services.captioner.settings import ALL_PROVIDERS, BudgetId, BudgetSetting
from services.runtime.errors import ServiceError

RESERVATION_TTL_S = 900
# A catalog that restarts is back in a few seconds; words composed from measurements stay.
PATIENCE_S = 10.0
RETRY_S = 0.25
REFUSAL_AGE_S = 5.0


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """A limit and what is used of it, reserved included, in its unit; None when the catalog does not say."""

    limit: Limit
    used: int | None

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        bound = self.limit.tokens if self.limit.micros is None else self.limit.micros
        return self.used is not None and bound is not None and self.used >= bound


@dataclass(frozen=True, slots=True)
class _Refusal:
    share: int
    until: float
    period_end: datetime


def limits_from(budgets: Mapping[BudgetId, BudgetSetting]) -> tuple[Limit, ...]:
    """One limit for each number, so that the one that stands in the way says which number that is."""
    limits: list[Limit] = []
    for name, budget in budgets.items():
        provider = "" if name == ALL_PROVIDERS else name
        for monthly, usd, tokens in (
            (False, budget.day, budget.day_tokens),
            (True, budget.month, budget.month_tokens),
        ):
            if usd is not None:
                limits.append(Limit(provider, monthly, micros=round(usd * 1_000_000)))
            if tokens is not None:
                limits.append(Limit(provider, monthly, tokens=tokens))
    return tuple(limits)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Budget:
    """The purse. Where a limit binds, the catalog decides before each call; without an answer none is made.

    ``limits`` are those that ``records`` reserves within. An absence of the catalog is waited out for up to
    ``patience_s`` from its beginning; longer ones cost nobody any time.
    """

    def __init__(
        self,
        records: Records,
        prices: PriceTable,
        limits: Sequence[Limit],
        utc_now: Callable[[], datetime] = _utc_now,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._records = records
        self._prices = prices
        self._limits = tuple(limits)
        self._utc_now = utc_now
        self._patience_s = patience_s
        self._refusals: dict[Limit, _Refusal] = {}

    async def hold(self, provider: str, model: str, expected: Tokens, origin: Origin) -> SpendHold:
        """As Purse.hold; a model without a price is passed by where a budget bounds money."""
        cost = self._prices.cost_micros(provider, model, expected)
        limits = self._limits_of(provider)
        if cost is None and any(limit.micros is not None for limit in limits):
            raise PassedByError(
                f"There is a budget, and no price is known for {model}: "
                "set its price in SIGHTMILL_CAPTIONER_PRICES."
            )
        claim = Reservation(new_id(), provider, origin.batch, cost or 0, expected.total, RESERVATION_TTL_S)
        binding = [limit for limit in limits if claim.share_of(limit) > 0]
        if binding:
            self._check_refusals(binding, claim)
            claim = await self._reserved(claim)
        return SpendHold(self._records, self._prices, model, claim, expected, is_reserved=bool(binding))

    async def standing(self, provider: str) -> list[BudgetStanding]:
        """The limits that hold for a provider, its own and those of all together."""
        limits = self._limits_of(provider)
        try:
            totals = await self._records.spend() if limits else {}
        except RecordsAwayError:
            return [BudgetStanding(limit, None) for limit in limits]
        standings: list[BudgetStanding] = []
        for limit in limits:
            total = totals.get((limit.provider, limit.monthly), NOTHING_SPENT)
            of_money = total.micros + total.reserved_micros
            of_tokens = total.tokens + total.reserved_tokens
            standings.append(BudgetStanding(limit, of_tokens if limit.micros is None else of_money))
        return standings

    async def spent(self, provider: str) -> tuple[int, int] | None:
        """Millionths of a US dollar spent today and this month; None when the catalog does not say."""
        try:
            totals = await self._records.spend()
        except RecordsAwayError:
            return None
        day, month = (totals.get((provider, monthly), NOTHING_SPENT) for monthly in (False, True))
        return day.micros, month.micros

    def _exhausted(self, limit: Limit, period_end: datetime) -> ExhaustedError:
        wait_s = max(0.0, (period_end - self._utc_now()).total_seconds())
        return ExhaustedError(_used_up(limit, period_end), retry_after_s=wait_s)

    def _limits_of(self, provider: str) -> list[Limit]:
        return [limit for limit in self._limits if limit.holds_for(provider)]

    def _check_refusals(self, limits: Sequence[Limit], claim: Reservation) -> None:
        now, utc_now = asyncio.get_running_loop().time(), self._utc_now()
        for limit in limits:
            refusal = self._refusals.get(limit)
            if refusal is None or now >= refusal.until or utc_now >= refusal.period_end:
                continue
            if claim.share_of(limit) >= refusal.share:
                raise self._exhausted(limit, refusal.period_end)

    async def _reserved(self, wanted: Reservation) -> Reservation:
        """What was set aside: under a new id each time, as one that got no answer is given back."""
        started = asyncio.get_running_loop().time()
        while True:
            claim, asked_at = dataclasses.replace(wanted, id=new_id()), self._utc_now()
            try:
                self._check(claim, await self._records.reserve(claim), asked_at)
            except RecordsAwayError as error:
                waited_s = asyncio.get_running_loop().time() - started
                if max(waited_s, self._records.away_s) >= self._patience_s:
                    raise PassedByError(
                        "The budget cannot be checked: the catalog does not answer."
                    ) from error
            except ServiceError as error:
                raise PassedByError(f"The budget cannot be checked: {error.message}") from error
            else:
                return claim
            await asyncio.sleep(RETRY_S)

    def _check(self, claim: Reservation, exceeded: Limit | None, asked_at: datetime) -> None:
        if exceeded is not None:
            until = asyncio.get_running_loop().time() + REFUSAL_AGE_S
            period_end = _end_of_period(asked_at, monthly=exceeded.monthly)
            self._refusals[exceeded] = _Refusal(claim.share_of(exceeded), until, period_end)
            raise self._exhausted(exceeded, period_end)

    def refusal(self, limit: Limit) -> str:
        """Why nothing more is spent, and the way out."""
        return _used_up(limit, _end_of_period(self._utc_now(), monthly=limit.monthly))


class SpendHold:
    """As Hold. What is said here reaches the catalog some time soon."""

    def __init__(
        self,
        records: Records,
        prices: PriceTable,
        model: str,
        claim: Reservation,
        expected: Tokens,
        *,
        is_reserved: bool,
    ) -> None:
        self._records = records
        self._prices = prices
        self._model = model
        self._claim = claim
        self._expected = expected
        self._is_reserved = is_reserved

    def described(self, tokens: Tokens) -> int | None:
        """A provider that counts tokens but does not say how many is counted with the estimate."""
        return self._settle(tokens if tokens.total else self._expected, Outcome.DESCRIBED)

    def wasted(self, tokens: Tokens) -> None:
        """As Hold.wasted."""
        self._settle(tokens, Outcome.WASTED)

    def unsettled(self) -> None:
        """As Hold.unsettled."""
        self._settle(self._expected, Outcome.UNSETTLED)

    def released(self) -> None:
        """As Hold.released."""
        if self._is_reserved:
            self._settle(Tokens(), Outcome.RELEASED)

    def _settle(self, tokens: Tokens, outcome: Outcome) -> int | None:
        claim = self._claim
        cost = self._prices.cost_micros(claim.provider, self._model, tokens)
        self._records.settle(Settlement(claim.id, claim.provider, claim.batch, cost or 0, tokens, outcome))
        return cost


def _used_up(limit: Limit, period_end: datetime) -> str:
    period, whose = "month" if limit.monthly else "day", limit.provider or "all providers together"
    amount = f"{limit.tokens:,} tokens" if limit.micros is None else _usd(limit.micros)
    return (
        f"The budget of the {period} for {whose} is used up ({amount}); raise "
        f"SIGHTMILL_CAPTIONER_BUDGETS, or wait until {period_end:%Y-%m-%d %H:%M} UTC."
    )


def _end_of_period(now: datetime, *, monthly: bool) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if not monthly:
        return midnight + timedelta(days=1)
    # The 28th and four days are always in the next month.
    return (midnight.replace(day=28) + timedelta(days=4)).replace(day=1)


def _usd(micros: int) -> str:
    whole, _, cents = f"{micros / 1_000_000:,.6f}".partition(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')} USD"
