"""Leaves a provider alone for a while after it failed; a single call then probes whether it is well again."""

from __future__ import annotations

import enum
import time

from services.captioner.provider import (
    AnswerError,
    ConfigError,
    ExhaustedError,
    PassedByError,
    ProviderError,
    ThrottledError,
    TransientError,
)

MAX_FAILURES = 5
OPEN_S = 15.0
WRONG_CONFIG_S = 60.0
EXHAUSTED_S = 3_600.0
BARE_THROTTLE_S = 5.0


class State(enum.Enum):
    """Whether a provider is asked."""

    READY = "ready"
    THROTTLED = "throttled"
    OPEN = "open"
    EXHAUSTED = "exhausted"


class Breaker:
    """The state of one provider. ``now`` is always the event loop's time in seconds."""

    def __init__(self) -> None:
        self._state = State.READY
        self._until = 0.0
        self._failures = 0
        self._probing = False
        self.message = ""
        self.since = time.time()

    def state(self, now: float) -> State:
        """READY again as soon as a throttle is over; OPEN until a probe succeeds."""
        over = self._state is State.THROTTLED and now >= self._until
        return State.READY if over else self._state

    def pause_s(self, now: float) -> float:
        """How long a throttle still lasts."""
        return max(0.0, self._until - now) if self._state is State.THROTTLED else 0.0

    def enter(self, now: float) -> None:
        """Lets a call pass, or raises PassedByError. Whoever passed must report how it went."""
        if self._state not in (State.OPEN, State.EXHAUSTED):
            return
        if now < self._until or self._probing:
            raise PassedByError(f"Passed by for now: {self.message}")
        self._probing = True

    def succeeded(self) -> None:
        """The provider answered."""
        self._probing = False
        self._failures = 0
        self._turn(State.READY, "")

    def failed(self, error: ProviderError, now: float) -> None:
        """The provider failed; a refusal or a bad picture says nothing about it."""
        self._probing = False
        if isinstance(error, ConfigError):
            self._close(State.OPEN, now + WRONG_CONFIG_S, error.message)
        elif isinstance(error, ExhaustedError):
            self._close(State.EXHAUSTED, now + (error.retry_after_s or EXHAUSTED_S), error.message)
        elif isinstance(error, ThrottledError):
            self._close(State.THROTTLED, now + (error.retry_after_s or BARE_THROTTLE_S), error.message)
        elif isinstance(error, TransientError | AnswerError):
            self._failures += 1
            if self._failures >= MAX_FAILURES:
                self._close(State.OPEN, now + OPEN_S, error.message)

    def abandoned(self) -> None:
        """The call was given up by its caller."""
        self._probing = False

    def _close(self, state: State, until: float, message: str) -> None:
        # Of several throttled calls the one that names the longest wait counts.
        self._until = max(until, self._until) if state is self._state else until
        self._turn(state, message)

    def _turn(self, state: State, message: str) -> None:
        if state is not self._state:
            self.since = time.time()
        self._state, self.message = state, message
