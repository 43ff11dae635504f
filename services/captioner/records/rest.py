"""Leaves something that failed alone for a while."""

from __future__ import annotations

import asyncio

from services.captioner.records.port import RecordsAwayError

REST_S = 5.0


class Rest:
    """After a failure nobody asks for REST_S; then one may try, and the others wait for how that ends."""

    def __init__(self) -> None:
        self._until: float | None = None

    def enter(self) -> None:
        """Raises RecordsAwayError while it is left alone."""
        if self._until is None:
            return
        if asyncio.get_running_loop().time() < self._until:
            raise RecordsAwayError
        self.begin()

    def begin(self) -> None:
        """It failed."""
        self._until = asyncio.get_running_loop().time() + REST_S

    def end(self) -> None:
        """It answered."""
        self._until = None
