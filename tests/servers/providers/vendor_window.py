"""How a vendor counts a minute's use: over the last sixty seconds, or by the minute of the clock."""

from __future__ import annotations

from collections import deque
from typing import Literal

MINUTE_S = 60.0
Kind = Literal["sliding", "clock"]


class UsedInAMinute:
    """Requests and tokens of a minute. ``now`` is in seconds, of any clock that goes forward."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._uses: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def count(self, now: float) -> tuple[int, int]:
        """Requests and tokens that count now."""
        begin = now - MINUTE_S if self._kind == "sliding" else now // MINUTE_S * MINUTE_S
        # A use at the very begin of a minute of the clock is part of it; one sixty seconds old is over.
        while self._uses and (
            self._uses[0][0] < begin or (self._kind == "sliding" and self._uses[0][0] == begin)
        ):
            self._tokens -= self._uses.popleft()[1]
        return len(self._uses), self._tokens

    def add(self, now: float, tokens: int) -> None:
        """Counts one request."""
        self._uses.append((now, tokens))
        self._tokens += tokens

    def free_in_s(self, now: float) -> float:
        """Time until the oldest use no longer counts; 0 when there is none."""
        if not self._uses:
            return 0.0
        oldest = self._uses[0][0]
        end = oldest + MINUTE_S if self._kind == "sliding" else (now // MINUTE_S + 1) * MINUTE_S
        return max(0.0, end - now)
