"""What reservations and settlements change, worked out on what is stored of them, without any store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from services.catalog.captions.model import (
    DAY_US,
    Call,
    CallState,
    Limit,
    Outcome,
    Reservation,
    Settlement,
    Spend,
    TotalKey,
    Usage,
    UsageKey,
    UsageQuery,
    day_of,
    month_of,
)

REMEMBERED_US = DAY_US
"""Time in which repeating a settlement changes nothing."""
_BY_BATCH_KEPT_US = 400 * DAY_US


class SpendBook:
    """Takes reservations, settlements and expiries in order; ``calls``, ``totals`` and ``usage`` are then
    what to write: calls as they are now, the others as changes to add.

    ``known`` are the calls that it may be about, ``stored`` the sums that limits look at.
    """

    def __init__(self, now_us: int, known: Iterable[Call], stored: Mapping[TotalKey, Spend]) -> None:
        self._now_us = now_us
        self._known = {call.id: call for call in known}
        self._stored = stored
        self.calls: dict[bytes, Call] = {}
        self.totals: defaultdict[TotalKey, Spend] = defaultdict(Spend)
        self.usage: defaultdict[UsageKey, Usage] = defaultdict(Usage)

    def reserve(self, wanted: Reservation, limits: Sequence[Limit]) -> Limit | None:
        """Sets aside; or gives the first limit that stands in the way, and changes nothing."""
        if wanted.id in self._known:
            return None
        day = day_of(self._now_us)
        for limit in limits:
            if limit.provider in {"", wanted.provider} and self._exceeds(limit, wanted, day):
                return limit
        self._put(
            Call(
                wanted.id,
                CallState.HELD,
                self._now_us + wanted.ttl_us,
                day,
                wanted.provider,
                wanted.batch,
                wanted.micros,
                wanted.tokens,
            )
        )
        self._add(self._known[wanted.id], Spend(reserved_micros=wanted.micros, reserved_tokens=wanted.tokens))
        return None

    def settle(self, settled: Settlement) -> None:
        """Puts what a call cost in the place of what was set aside for it, or counted when it expired."""
        call = self._known.get(settled.id)
        if call is None:
            day = day_of(self._now_us)
            call = Call(settled.id, CallState.SETTLED, 0, day, settled.provider, settled.batch)
        elif call.state is CallState.SETTLED:
            return
        elif call.state is CallState.HELD:
            self._give_back(call)
        else:
            self._count(call, _estimate(call), -1)
        self._count(call, _usage_of(settled))
        self._put(replace(call, state=CallState.SETTLED, due_us=self._now_us + REMEMBERED_US))

    def expire(self) -> None:
        """All calls that are known expire: they may have been billed."""
        for call in list(self._known.values()):
            self._give_back(call)
            self._count(call, _estimate(call))
            self._put(replace(call, state=CallState.EXPIRED, due_us=self._now_us + REMEMBERED_US))

    def _exceeds(self, limit: Limit, wanted: Reservation, day: str) -> bool:
        key = TotalKey(month_of(day) if limit.monthly else day, limit.provider)
        used = self._stored.get(key, Spend()).plus(self.totals.get(key, Spend()))
        micros = used.micros + used.reserved_micros + wanted.micros
        tokens = used.tokens + used.reserved_tokens + wanted.tokens
        return (limit.micros is not None and micros > limit.micros) or (
            limit.tokens is not None and tokens > limit.tokens
        )

    def _put(self, call: Call) -> None:
        self._known[call.id] = self.calls[call.id] = call

    def _give_back(self, call: Call) -> None:
        self._add(call, Spend(reserved_micros=-call.micros, reserved_tokens=-call.tokens))

    def _count(self, call: Call, usage: Usage, times: int = 1) -> None:
        tokens = usage.input_tokens + usage.output_tokens
        self._add(call, Spend(times * usage.micros, times * tokens))
        if usage != Usage():
            for key in (
                UsageKey(call.day, call.provider),
                UsageKey(call.day, call.provider, call.batch, by_batch=True),
            ):
                self.usage[key] = self.usage[key].plus(usage, times)

    def _add(self, call: Call, change: Spend) -> None:
        if change != Spend():
            for period in (call.day, month_of(call.day)):
                for key in (TotalKey(period, call.provider), TotalKey(period, "")):
                    self.totals[key] = self.totals[key].plus(change)


def outdated_usage(now_us: int) -> UsageQuery:
    """The rows by batch that are not kept any longer; those of all batches together stay."""
    return UsageQuery("0001-01-01", day_of(now_us - _BY_BATCH_KEPT_US), by_batch=True)


def _estimate(call: Call) -> Usage:
    return Usage(unsettled=1, input_tokens=call.tokens, micros=call.micros)


def _usage_of(settled: Settlement) -> Usage:
    match settled.outcome:
        case Outcome.RELEASED:
            return Usage()
        case Outcome.CACHED:
            return Usage(cached=1)
    return Usage(
        images=int(settled.outcome is Outcome.DESCRIBED),
        unsettled=int(settled.outcome is Outcome.UNSETTLED),
        input_tokens=settled.input_tokens,
        output_tokens=settled.output_tokens,
        micros=settled.micros,
    )
