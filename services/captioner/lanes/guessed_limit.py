"""A limit that nobody states: guessed from what was let in before a refusal, and tried out upwards."""

from __future__ import annotations

MIN_STEP = 2
STEP_SHARE = 0.1


class GuessedLimit:
    """Calls a minute, None before the first refusal. ``now`` is the event loop's time in seconds."""

    def __init__(self, patience_s: float) -> None:
        self.value: int | None = None
        self._patience_s = patience_s
        self._step_share = STEP_SHARE
        self._since = 0.0

    def refused(self, answered: int, now: float) -> None:
        """One call too many, when ``answered`` calls of the last minute had been let in."""
        self._since = now
        self._step_share = STEP_SHARE
        if answered:
            self.value = answered

    def answered(self, count: int) -> None:
        """``count`` calls within a minute were let in, some of them after a refusal perhaps."""
        if self.value is not None:
            self.value = max(self.value, count)

    def filled(self, now: float) -> None:
        """As many calls were made as are allowed; a full minute without a refusal permits a few more."""
        if self.value is not None and now - self._since >= self._patience_s:
            self._since = now
            self.value += max(MIN_STEP, int(self.value * self._step_share))
            # Far from the limit, for whoever else took the key's minute is gone, it need not take an hour.
            self._step_share = min(1.0, 2 * self._step_share)
