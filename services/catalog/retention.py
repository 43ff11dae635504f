"""Ends the time in which a deleted image can be taken back."""

from __future__ import annotations

import asyncio
import time

import structlog

from services.catalog.store import CatalogStore
from services.runtime.errors import ServiceError
from services.runtime.rounds import waited

_AT_ONCE = 500


class Retention:
    """Deletes for good, every ``interval_s``, what was hidden more than ``keep_s`` ago.

    Several processes may do this at once: what one has deleted the other does not find.
    """

    def __init__(self, store: CatalogStore, keep_s: float, interval_s: float) -> None:
        self._store = store
        self._keep_s = keep_s
        self._interval_s = interval_s
        self._log = structlog.get_logger("catalog.retention")

    async def run(self, stopping: asyncio.Event) -> None:
        """Background work until ``stopping``."""
        while not stopping.is_set():
            try:
                if purged := await self.purge():
                    self._log.info("deleted for good", images=purged)
            except (ServiceError, TimeoutError) as fault:
                self._log.warning("not now", problem=str(fault))
            if await waited(stopping, self._interval_s):
                return

    async def purge(self) -> int:
        """Deletes all that is due; says how many images."""
        before_us = int((time.time() - self._keep_s) * 1_000_000)
        purged = 0
        while count := await self._store.purge_hidden(before_us, _AT_ONCE):
            purged += count
        return purged
