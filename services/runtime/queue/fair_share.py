"""Weighted fair choice between lanes: start-time fair queuing (Goyal, Vin, Chen, 1996) over pulls."""

from __future__ import annotations

from collections.abc import Iterable


class FairShare:
    """Chooses names so that each gets turns in proportion to its weight while it has something to do.

    A name that was idle starts level with the others: it is not owed what it did not use.
    """

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._finish: dict[str, float] = {}
        self._now = 0.0

    def set(self, name: str, weight: int) -> None:
        """Adds a name or changes its weight (>= 1)."""
        self._weights[name] = weight
        self._finish.setdefault(name, self._now)

    def remove(self, name: str) -> None:
        """Forgets a name."""
        self._weights.pop(name, None)
        self._finish.pop(name, None)

    def take(self, candidates: Iterable[str]) -> str:
        """The candidate whose turn it is; the turn is charged to it. There must be at least one."""
        chosen = min(candidates, key=self._order)
        self._now = max(self._now, self._finish[chosen])
        self._finish[chosen] = self._now + 1.0 / self._weights[chosen]
        return chosen

    def give_back(self, name: str, turns: int = 1) -> None:
        """Takes back the charge of turns that brought nothing."""
        if name in self._finish:
            self._finish[name] -= turns / self._weights[name]

    def _order(self, name: str) -> tuple[float, int]:
        # Of names that are level the heavier goes first: interactive work before the backfill.
        return max(self._now, self._finish[name]), -self._weights[name]
