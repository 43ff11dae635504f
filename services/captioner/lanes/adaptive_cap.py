"""How many calls may be in flight: halved when a server has too much to do, raised one by one."""

from __future__ import annotations

MIN_PAUSE_S = 1.0


class AdaptiveCap:
    """Additive increase, multiplicative decrease, within 1 and ``most``."""

    def __init__(self, most: int) -> None:
        self.value = most
        self._most = most
        self._answers = 0
        self._halved_at = float("-inf")

    def answered(self) -> None:
        """A call was answered; one more is allowed after as many answers as calls may be in flight."""
        self._answers += 1
        if self._answers >= self.value:
            self._answers = 0
            self.value = min(self._most, self.value + 1)

    def overloaded(self, now: float) -> None:
        """The server has too much to do. Several calls hear of the same moment, which counts once."""
        if now - self._halved_at >= MIN_PAUSE_S:
            self._halved_at = now
            self._answers = 0
            self.value = max(1, self.value // 2)
