"""Ends what was set aside and never settled, and lets go of what is not kept any longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from services.catalog.captions.store import CaptionRecordStore
from services.runtime.errors import ServiceError
from services.runtime.rounds import waited

_AT_ONCE = 256


class CaptionUpkeep:
    """Looks every ``interval_s``, and takes bounded steps until nothing is left to do.

    At most ``most_kept`` captions are kept, for at most ``keep_s``. Several processes may do this at once.
    """

    def __init__(
        self, store: CaptionRecordStore, most_kept: int, keep_s: float, interval_s: float = 5.0
    ) -> None:
        self._store = store
        self._most_kept = most_kept
        self._keep_s = keep_s
        self._interval_s = interval_s
        self._log = structlog.get_logger("catalog.captions")

    async def run(self, stopping: asyncio.Event) -> None:
        """Background work until ``stopping``."""
        while not stopping.is_set():
            try:
                await self.tend(stopping)
            except (ServiceError, TimeoutError) as fault:
                self._log.warning("not now", problem=str(fault))
            if await waited(stopping, self._interval_s):
                return

    async def tend(self, stopping: asyncio.Event) -> None:
        """Does all that is due."""
        if expired := await _repeat(lambda: self._store.expire_calls(_AT_ONCE), stopping):
            self._log.warning("calls were never settled and count as spent", calls=expired)
        await _repeat(lambda: self._store.forget_calls(_AT_ONCE), stopping)
        await _repeat(self._drop_captions, stopping)

    async def _drop_captions(self) -> int:
        # Where none are kept, what is left of another time goes by its age, whatever the store has counted.
        keep_s = self._keep_s if self._most_kept else 0.0
        before_us = int((time.time() - keep_s) * 1_000_000)
        return await self._store.drop_captions(before_us, self._most_kept, _AT_ONCE)


async def _repeat(step: Callable[[], Awaitable[int]], stopping: asyncio.Event) -> int:
    done = 0
    while not stopping.is_set() and (count := await step()):
        done += count
    return done
