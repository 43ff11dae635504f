"""The way to a provider with one key or address: its limits, its pauses, its breaker."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import structlog

from services.captioner.lanes.adaptive_cap import AdaptiveCap
from services.captioner.lanes.breaker import Breaker, State
from services.captioner.lanes.rate_window import RateLimit, RateWindow, Slot
from services.captioner.lanes.throttles import MIN_PAUSE_S, Throttles
from services.captioner.provider import (
    Access,
    Answer,
    AnswerError,
    Limits,
    ProviderError,
    RefusedError,
    ThrottledError,
    TransientError,
)

__all__ = ["Lane", "LaneStatus", "RateLimit", "Turn"]

BARE_THROTTLE_S = 5.0
MAX_JITTER = 0.05
LIMIT_REACHED = "The rate limit is reached."
_log = structlog.get_logger("captioner")


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """What a lane does at the moment.

    Limits and what is used of them are for a minute, limits None when not known. ``resume_at`` (loop time)
    is when it is asked again at the earliest; None when it may be asked now.
    """

    state: State
    message: str
    since: float
    in_flight: int
    concurrency: int
    requests_limit: int | None
    requests_used: int
    tokens_limit: int | None
    tokens_used: int
    resume_at: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to make one call, since ``entered_at`` (loop time).

    It is ended once: see ``Lane.end`` and ``Lane.give_back``.
    """

    lane: Lane
    slot: Slot
    is_probe: bool
    entered_at: float


class Lane:
    """``concurrency`` calls in flight at most; fewer when it ``adapts`` to a server that has too much to do.

    ``rate`` are the limits of the settings; those that are None are learnt. ``now`` is loop time.
    """

    def __init__(
        self, access: Access, concurrency: int, rate: RateLimit | None = None, *, adapts: bool = False
    ) -> None:
        self.access = access
        self.name = ""
        self.in_flight = 0
        self._cap = AdaptiveCap(concurrency)
        self._adapts = adapts
        self._window = RateWindow(rate or RateLimit())
        self._breaker = Breaker()
        self._paused_until = 0.0
        self._pause_message = ""
        self._throttles = Throttles()
        self._reported = State.READY
        self._since = time.time()

    @property
    def limit(self) -> RateLimit:
        """Requests and tokens a minute, as far as they are known."""
        return self._window.limit

    @property
    def closed_until(self) -> float:
        """When a pause and the time that the breaker is open end; loop time, past or not."""
        return max(self._paused_until, self._breaker.until)

    def state(self, now: float) -> State:
        """READY again as soon as a throttle is over; OPEN until a probe succeeds."""
        if self._breaker.state is not State.READY:
            return self._breaker.state
        return State.THROTTLED if now < self._paused_until else State.READY

    def message(self, now: float) -> str:
        """What is wrong; empty when nothing is."""
        state = self.state(now)
        return "" if state is State.READY else self._breaker.message or self._pause_message

    def is_closed(self, now: float) -> bool:
        """Whether nobody should wait for it: it failed, and the time to probe it has not come."""
        return not self._breaker.lets_pass(now)

    def opens_at(self, tokens: int, now: float) -> float | None:
        """``now`` when a call may start, else when that is possible at the earliest.

        None when a call in flight must end first.
        """
        room_at = self._window.opens_at(tokens, now)
        earliest = max(
            room_at or now, self._paused_until, self._breaker.until if self.is_closed(now) else now
        )
        if earliest > now:
            return earliest
        must_wait = room_at is None or self.in_flight >= self._cap.value or self.is_closed(now)
        return None if must_wait else now

    def enter(self, tokens: int, now: float) -> Turn:
        """A call of about ``tokens`` starts."""
        self.in_flight += 1
        return Turn(self, self._window.take(tokens, now), self._breaker.enter(), now)

    def give_back(self, turn: Turn) -> None:
        """The call was not made."""
        self.in_flight -= 1
        self._window.give_back(turn.slot)
        self._breaker.abandoned(is_probe=turn.is_probe)

    def end(self, turn: Turn, ending: Answer | ProviderError | None, now: float) -> None:
        """The call was answered, failed, or was given up by its caller (None)."""
        self.in_flight -= 1
        if isinstance(ending, Answer):
            self._answered(turn, ending, now)
        elif ending is not None:
            self._failed(turn, ending, now)
        else:
            self._window.keep(turn.slot, turn.slot.tokens, now)
            self._breaker.abandoned(is_probe=turn.is_probe)
        self.report(now)

    def status(self, now: float) -> LaneStatus:
        """What is shown to operators."""
        self.report(now)
        limit, used = self.limit, self._window.used(now)
        resume_at = self.opens_at(1, now)
        return LaneStatus(
            state=self._reported,
            message=self.message(now),
            since=self._since,
            in_flight=self.in_flight,
            concurrency=self._cap.value,
            requests_limit=limit.requests,
            requests_used=used[0],
            tokens_limit=limit.tokens,
            tokens_used=used[1],
            resume_at=resume_at if resume_at and resume_at > now else None,
        )

    def report(self, now: float) -> None:
        """One log line for each change, however many calls meet it."""
        state = self.state(now)
        if state is not self._reported:
            self._reported, self._since = state, time.time()
            level = "info" if state is State.READY else "warning"
            getattr(_log, level)("provider", provider=self.name, state=state.value, problem=self.message(now))

    def _answered(self, turn: Turn, answer: Answer, now: float) -> None:
        # Who does not count tokens says zero; the estimate stays then.
        self._window.keep(turn.slot, answer.description.tokens.total or turn.slot.tokens, now)
        self._window.learn(turn.slot, answer.limits, now)
        self._breaker.succeeded(now, is_probe=turn.is_probe)
        self._cap.answered()
        self._throttles.let_in()
        if wait_s := _reset_s(answer.limits):
            self._pause(now + _jittered(wait_s), LIMIT_REACHED)

    def _failed(self, turn: Turn, error: ProviderError, now: float) -> None:
        if isinstance(error, ThrottledError):
            self._window.give_back(turn.slot)
        else:
            self._window.keep(turn.slot, _tokens_of(error, turn.slot), now)
        self._window.learn(turn.slot, error.limits, now)
        self._breaker.failed(error, now, is_probe=turn.is_probe)
        if isinstance(error, RefusedError | AnswerError):
            self._throttles.let_in()
        if self._adapts and isinstance(error, ThrottledError | TransientError):
            self._cap.overloaded(now)
        if isinstance(error, ThrottledError):
            self._throttled(turn, error, now)
        elif wait_s := _reset_s(error.limits):
            self._pause(now + _jittered(wait_s), LIMIT_REACHED)

    def _throttled(self, turn: Turn, error: ThrottledError, now: float) -> None:
        least_s = self._throttles.pause_s(turn.entered_at, now)
        wait_s = error.retry_after_s or _reset_s(error.limits)
        if wait_s:
            until = now + _jittered(wait_s)
        elif self._adapts:
            until = now + BARE_THROTTLE_S
        else:
            self._window.refused(now)
            until = max(self._window.frees_at(now) or now + BARE_THROTTLE_S, now + MIN_PAUSE_S)
        self._pause(max(until, now + _jittered(least_s)), error.message)

    def _pause(self, until: float, message: str) -> None:
        # Of several throttled calls the one that names the longest wait counts.
        if until > self._paused_until:
            self._paused_until, self._pause_message = until, message


def _tokens_of(error: ProviderError, slot: Slot) -> int:
    if error.tokens is not None:
        return error.tokens.total
    return slot.tokens if error.may_be_billed else 0


def _reset_s(limits: Limits) -> float | None:
    """The wait until what is used up is free again."""
    waits = [
        reset_s
        for left, reset_s in (
            (limits.requests_left, limits.requests_reset_s),
            (limits.tokens_left, limits.tokens_reset_s),
        )
        if left == 0 and reset_s
    ]
    return max(waits, default=None)


def _jittered(wait_s: float) -> float:
    # Those who waited for the same key in other processes do not return as one.
    return wait_s * random.uniform(1.0, 1.0 + MAX_JITTER)  # noqa: S311  jitter is no secret
