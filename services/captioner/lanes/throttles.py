"""Throttles in a row: a server that names too short a wait again and again is not believed."""

from __future__ import annotations

MIN_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0


class Throttles:
    """How many there were without an answer between. ``now`` is the event loop's time in seconds."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._counted_at = float("-inf")

    def let_in(self) -> None:
        """A call was not throttled."""
        self._in_a_row = 0

    def pause_s(self, entered_at: float, now: float) -> float:
        """The shortest pause after a throttle of a call that began at ``entered_at``.

        Zero after the first one, then MIN_PAUSE_S, doubled each time up to MAX_PAUSE_S. Calls that were
        under way when the last one was counted hear of the same moment, which counts once.
        """
        if entered_at > self._counted_at:
            self._counted_at = now
            self._in_a_row += 1
        if self._in_a_row <= 1:
            return 0.0
        return min(MAX_PAUSE_S, MIN_PAUSE_S * 2.0 ** (self._in_a_row - 2))
