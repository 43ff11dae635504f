"""How long to wait before a process that ended is started again."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
HEALTHY_AFTER_S = 30.0


@dataclass(slots=True)
class Backoff:
    """Doubles from 0.2 s to 10 s; starts over after a process has lived for 30 s."""

    failures: int = 0

    def next_delay_s(self, lived_s: float) -> float:
        """The wait after a process ended that had lived for ``lived_s`` seconds."""
        if lived_s >= HEALTHY_AFTER_S:
            self.failures = 0
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return delay_s
