"""Leaves something that failed alone for a while."""

from __future__ import annotations

import asyncio

from services.captioner.records.port import RecordsAwayError

FIRST_REST_S = 0.25
REST_S = 5.0


class Rest:
    """After a failure nobody asks for a moment; then one may try, and the others wait for how that ends.

    The moment doubles with each failure, up to REST_S: a restart is noticed at once, and a long absence costs
    little.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._until = 0.0
        self._rest_s = FIRST_REST_S

    @property
    def away_s(self) -> float:
        """How long it has been failing; 0 when it answers."""
        return 0.0 if self._since is None else _now() - self._since

    def enter(self) -> None:
        """Raises RecordsAwayError while it is left alone."""
        if self._since is None:
            return
        if _now() < self._until:
            raise RecordsAwayError
        self._until = _now() + self._rest_s

    def begin(self) -> None:
        """It failed."""
        now = _now()
        self._rest_s = FIRST_REST_S if self._since is None else min(REST_S, 2 * self._rest_s)
        self._since = now if self._since is None else self._since
        self._until = now + self._rest_s

    def end(self) -> None:
        """It answered."""
        self._since = None


def _now() -> float:
    return asyncio.get_running_loop().time()
