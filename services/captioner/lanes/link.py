"""One provider of the chain: a turn on a lane, money set aside, a call, and again where that helps."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter

from services.captioner.lanes.breaker import State
from services.captioner.lanes.lane import Lane, LaneStatus, Turn
from services.captioner.lanes.lanes import MIN_ATTEMPT_S, Lanes
from services.captioner.lanes.retries import Retries
from services.captioner.money.purse import Hold, Purse
from services.captioner.picture import Picture, Upload
from services.captioner.provider import (
    Access,
    Answer,
    Ask,
    Description,
    FormRefusedError,
    Origin,
    PassedByError,
    Provider,
    ProviderError,
    SlowAnswerError,
    Tokens,
)

# Shorter than this, running out of time says more about the caller than about the provider.
FAIR_ATTEMPT_S = 5.0
_ORDER = (State.READY, State.THROTTLED, State.OPEN, State.EXHAUSTED)


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """What a provider does at the moment; ``since`` is Unix time in seconds."""

    state: State
    message: str
    since: float
    in_flight: int
    queued: int
    lanes: tuple[LaneStatus, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    upload: Upload
    ask: Ask
    origin: Origin
    expected: Tokens
    deadline: float


class Link:
    """Asks one provider within a deadline, again where that may help and costs nothing twice.

    ``lanes`` are its keys or addresses. At most ``max_waiting`` calls that somebody waits for, and as many
    of batches, wait for a turn. ``server`` are sixteen hexadecimal digits that stand for the addresses.
    """

    def __init__(
        self,
        provider: Provider,
        lanes: Sequence[Lane],
        purse: Purse,
        outcomes: Counter,
        max_waiting: int = 256,
    ) -> None:
        self.provider = provider
        self.server = _digest(lane.access.base_url for lane in lanes)
        self._lanes = Lanes(lanes, max_waiting)
        self._purse = purse
        self._outcomes = outcomes
        _name(provider.id, lanes)

    async def describe(self, picture: Picture, ask: Ask, origin: Origin, deadline: float) -> Description:
        """One description before ``deadline`` (loop time); raises ProviderError or the picture's errors.

        The picture is made ready first: the time that takes is not the provider's. One that is not ready in
        time raises PassedByError, as others of the chain may do without it.
        """
        call = await self._prepared(picture, ask, origin, deadline)
        retries = Retries(len(self._lanes.all))
        failure: ProviderError | None = None
        while True:
            turn = await self._turn(call, failure)
            hold = await self._hold(turn, call)
            try:
                return await self._ask(turn, hold, call)
            except ProviderError as error:
                wait_s = retries.wait_s(error)
                if wait_s is None or _now() + wait_s + MIN_ATTEMPT_S > deadline:
                    raise
                failure = error
            if wait_s:
                await asyncio.sleep(wait_s)

    async def probe(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        """One call past queue and breaker, which learns from it all the same; errors as ``describe``."""
        call = await self._prepared(picture, ask, Origin(), deadline)
        lane = self._lanes.worst()
        retries = Retries(lane_count=1)
        while True:
            turn = lane.enter(call.expected.total, _now())
            hold = await self._hold(turn, call)
            try:
                return await self._ask(turn, hold, call)
            except FormRefusedError as error:
                if retries.wait_s(error) is None:
                    raise

    def status(self) -> LinkStatus:
        """What is shown to operators: as good as the best of the lanes."""
        lanes = tuple(lane.status(_now()) for lane in self._lanes.all)
        best = min(lanes, key=lambda lane: _ORDER.index(lane.state))
        # It is ready since its first lane is, and not ready since its last one is not.
        first_or_last = min if best.state is State.READY else max
        return LinkStatus(
            state=best.state,
            message=best.message,
            since=first_or_last(lane.since for lane in lanes if lane.state is best.state),
            in_flight=sum(lane.in_flight for lane in lanes),
            queued=self._lanes.queued,
            lanes=lanes,
        )

    def rate_per_minute(self) -> tuple[int | None, int | None]:
        """Requests and tokens a minute over all lanes; None where one of them is not known."""
        limits = [lane.limit for lane in self._lanes.all]
        return _sum([limit.requests for limit in limits]), _sum([limit.tokens for limit in limits])

    async def _prepared(self, picture: Picture, ask: Ask, origin: Origin, deadline: float) -> _Call:
        try:
            async with asyncio.timeout_at(deadline - MIN_ATTEMPT_S):
                upload = await picture.upload(self.provider.edge_px(ask))
        except TimeoutError:
            raise PassedByError("The picture was not ready in time.") from None
        return _Call(upload, ask, origin, self.provider.expected_tokens(upload, ask), deadline)

    async def _turn(self, call: _Call, failure: ProviderError | None) -> Turn:
        again = failure is not None
        try:
            return await self._lanes.turn(call.expected.total, call.origin.batch, call.deadline, again=again)
        except PassedByError as error:
            # What went wrong before tells more than that there is no other try.
            raise failure or error from None

    async def _hold(self, turn: Turn, call: _Call) -> Hold:
        """Money for one call. A budget says nothing about the provider: its errors end the call."""
        purse, provider = self._purse, self.provider
        try:
            async with asyncio.timeout_at(call.deadline - MIN_ATTEMPT_S):
                return await purse.hold(provider.id, provider.model, call.expected, call.origin)
        except BaseException as error:
            self._lanes.give_back(turn)
            if isinstance(error, TimeoutError):
                raise PassedByError("Too little time was left to ask.") from None
            raise

    async def _ask(self, turn: Turn, hold: Hold, call: _Call) -> Description:
        ending: Answer | ProviderError | None = None
        try:
            ending = await self._within(call, turn.lane.access)
        except ProviderError as error:
            ending = error
            raise
        finally:
            cost_micros = _settle(hold, ending)
            self._lanes.end(turn, ending)
            self._outcomes.labels(self.provider.id, _outcome(ending)).inc()
        return dataclasses.replace(ending.description, cost_micros=cost_micros)

    async def _within(self, call: _Call, access: Access) -> Answer:
        allowed_s = call.deadline - _now()
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self.provider.describe(call.upload, call.ask, access)
        except TimeoutError:
            kind = SlowAnswerError if allowed_s >= FAIR_ATTEMPT_S else PassedByError
            message = f"No answer within the {allowed_s:.1f} s that the call allowed."
            raise kind(message, may_be_billed=True) from None


def _settle(hold: Hold, ending: Answer | ProviderError | None) -> int | None:
    """Ends the hold; returns the price of a description."""
    if isinstance(ending, Answer):
        return hold.described(ending.description.tokens)
    if ending is None:
        hold.unsettled()
    elif ending.tokens is not None:
        hold.wasted(ending.tokens)
    elif ending.may_be_billed:
        hold.unsettled()
    else:
        hold.released()
    return None


def _outcome(ending: Answer | ProviderError | None) -> str:
    if isinstance(ending, Answer):
        return "answered"
    return "abandoned" if ending is None else ending.kind


def _name(provider: str, lanes: Sequence[Lane]) -> None:
    for number, lane in enumerate(lanes, 1):
        what = "key" if lane.access.key else "address"
        lane.name = provider if len(lanes) == 1 else f"{provider} {what} {number}"


def _digest(base_urls: Iterable[str]) -> str:
    canonical = json.dumps(sorted(set(base_urls)))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _sum(limits: Sequence[int | None]) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return sum(known) if len(known) == len(limits) else None


def _now() -> float:
    return asyncio.get_running_loop().time()
