"""Leaves a lane alone for a while after it failed; a single call then probes whether it is well again."""

from __future__ import annotations

import enum
from collections import deque

from services.captioner.provider import (
    AnswerError,
    ConfigError,
    ExhaustedError,
    PassedByError,
    ProviderError,
    TransientError,
)

MAX_IN_A_ROW = 5
WATCHED_S = 30.0
MIN_WATCHED = 20
MAX_WATCHED = 1_000
OPEN_S = 15.0
MAX_OPEN_S = 300.0
WRONG_CONFIG_S = 60.0
EXHAUSTED_S = 3_600.0


class State(enum.Enum):
    """Whether a provider is asked."""

    READY = "ready"
    THROTTLED = "throttled"
    OPEN = "open"
    EXHAUSTED = "exhausted"


class Breaker:
    """READY, OPEN or EXHAUSTED. ``now`` is always the event loop's time in seconds.

    OPEN after MAX_IN_A_ROW failures in a row, or when more than half of at least MIN_WATCHED calls failed
    within WATCHED_S. Throttles, refusals, and what is wrong with a picture or a request do not count.
    """

    def __init__(self) -> None:
        self.state = State.READY
        self.message = ""
        self.probing = False
        self.until = 0.0
        self._open_s = OPEN_S
        self._in_a_row = 0
        # Time, and whether it failed; oldest first.
        self._watched: deque[tuple[float, bool]] = deque(maxlen=MAX_WATCHED)

    def lets_pass(self, now: float) -> bool:
        """Whether a call may be made; only one, a probe, once the time is over."""
        return self.state is State.READY or (now >= self.until and not self.probing)

    def enter(self) -> bool:
        """A call starts. Returns whether it is the probe, due or not, which must report how it went."""
        is_probe = self.state is not State.READY and not self.probing
        self.probing = self.probing or is_probe
        return is_probe

    def succeeded(self, now: float, *, is_probe: bool = False) -> None:
        """The provider answered. A call from before the quota was used up does not fill it again."""
        self._in_a_row = 0
        self._watched.append((now, False))
        if is_probe or self.state is State.OPEN:
            self._mend()

    def failed(self, error: ProviderError, now: float, *, is_probe: bool = False) -> None:
        """A call failed. Whatever shows that the provider is there ends what a probe was sent for."""
        self.probing = self.probing and not is_probe
        if isinstance(error, ConfigError):
            self._close(State.OPEN, now + WRONG_CONFIG_S, error.message)
        elif isinstance(error, ExhaustedError):
            self._close(State.EXHAUSTED, now + (error.retry_after_s or EXHAUSTED_S), error.message)
        elif isinstance(error, TransientError | AnswerError):
            self._unwell(error, now, is_probe=is_probe)
        elif is_probe and not isinstance(error, PassedByError):
            self._mend()

    def abandoned(self, *, is_probe: bool) -> None:
        """The call was given up by its caller, or never made."""
        self.probing = self.probing and not is_probe

    def _unwell(self, error: ProviderError, now: float, *, is_probe: bool) -> None:
        if self.state is not State.READY:
            if not is_probe or now < self.until:
                return
            self._open_s = min(2 * self._open_s, MAX_OPEN_S)
        self._in_a_row += 1
        self._watched.append((now, True))
        if is_probe or self._in_a_row >= MAX_IN_A_ROW or self._mostly_fails(now):
            self._close(State.OPEN, now + self._open_s, error.message)

    def _mostly_fails(self, now: float) -> bool:
        while self._watched[0][0] < now - WATCHED_S:
            self._watched.popleft()
        failed = sum(has_failed for _, has_failed in self._watched)
        return len(self._watched) >= MIN_WATCHED and 2 * failed > len(self._watched)

    def _close(self, state: State, until: float, message: str) -> None:
        self.until = max(until, self.until) if state is self.state else until
        self.state, self.message = state, message

    def _mend(self) -> None:
        self.state, self.message, self.probing = State.READY, "", False
        self.until = 0.0
        self._open_s = OPEN_S
        self._in_a_row = 0
        self._watched.clear()
