"""Two gates before an image may come in: refuse at once when the queue is full, wait while it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.runtime.errors import Reason, ResourceExhaustedError


class Admission:
    """At most ``max_receiving`` images come in at a time and ``max_waiting`` wait for their turn.

    ``in_hand`` is how many are being received or stored right now.
    """

    def __init__(self, max_receiving: int, max_waiting: int) -> None:
        self._free = asyncio.Semaphore(max_receiving)
        self._max_waiting = max_waiting
        self._waiting = 0
        self.in_hand = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One image's turn. Raises ResourceExhaustedError (OVERLOADED) when too many wait already."""
        if self._free.locked() and self._waiting >= self._max_waiting:
            raise ResourceExhaustedError(
                Reason.OVERLOADED, "Too many uploads at once; come back in a moment.", retry_after_s=1.0
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self.in_hand += 1
        try:
            yield
        finally:
            self.in_hand -= 1
            self._free.release()
