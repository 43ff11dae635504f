"""Pairs of images that look alike, in the memory of the process: 8 bytes a pair."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt
import structlog

from services.catalog.looks.look_distances import Slots
from services.catalog.looks.look_index import LookIndex
from services.catalog.model import LookPair
from services.catalog.store import LookStore

MAX_PAIRS = 2_000_000
_PAGE = 5_000
_FIRST_ROOM = 1_024


class DuplicatePairs:
    """Slots of pairs, as the sweep of this process finds them, read anew when that of another went on.

    What is beyond ``most`` pairs is left out of the groups, and logged. Looks may have changed since, so rate
    a pair before it counts.
    """

    def __init__(self, store: LookStore, index: LookIndex, most: int = MAX_PAIRS) -> None:
        self._store = store
        self._index = index
        self._most = most
        self._reading = asyncio.Lock()
        self._through = -1
        self._count = 0
        self._slots = np.empty((2, _FIRST_ROOM), np.int32)
        self._log = structlog.get_logger("catalog.duplicates")

    @property
    def slots(self) -> npt.NDArray[np.int32]:
        """All pairs, shape (2, n)."""
        return self._slots[:, : self._count]

    async def refresh(self) -> int:
        """Makes sure that all pairs are here up to what the store says is compared, and returns that."""
        async with self._reading:
            through = await self._store.compared_through()
            if through != self._through:
                await self._read_all(through)
            return through

    def add(self, ones: Slots, others: Slots, since: int, through: int) -> None:
        """Takes in what a sweep found from one sequence to another, if it goes on where this stands."""
        if since == self._through:
            self._append(ones, others)
            self._through = through

    async def _read_all(self, through: int) -> None:
        # After the mark: so that every image is known that a pair up to there can name.
        await self._index.refresh()
        self._count, self._through = 0, -1
        after = (0, 0)
        while pairs := await self._store.read_pairs(after, _PAGE):
            self._take(pairs)
            after = pairs[-1].number, pairs[-1].earlier
        self._through = through

    def _take(self, pairs: list[LookPair]) -> None:
        ones = self._index.slots_of(np.array([pair.number for pair in pairs], np.int64))
        others = self._index.slots_of(np.array([pair.earlier for pair in pairs], np.int64))
        known = (ones >= 0) & (others >= 0)
        self._append(ones[known], others[known])

    def _append(self, ones: Slots, others: Slots) -> None:
        fitting = min(len(ones), self._most - self._count)
        if fitting < len(ones):
            self._log.warning("duplicates full", pairs=self._most, left_out=len(ones) - fitting)
        end = self._count + fitting
        if end > self._slots.shape[1]:
            room = np.empty((2, 2 * end), np.int32)
            room[:, : self._count] = self.slots
            self._slots = room
        self._slots[0, self._count : end] = ones[:fitting]
        self._slots[1, self._count : end] = others[:fitting]
        self._count = end
