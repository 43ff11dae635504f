"""The search for near duplicates in the background: every new look is compared with all before it.

Comparing an image with a million others takes 3 to 4 ms of one core: both hashes of each are looked at. The
search rests as long as it works, so that it takes half a core at most.
"""

from __future__ import annotations

import asyncio
import time

import numpy as np
import structlog

from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.look_distances import (
    LIKELY_BITS,
    NO_COPY,
    Bytes,
    Hashes,
    Looks,
    Slots,
    rate_pairs,
)
from services.catalog.looks.look_index import LookIndex
from services.catalog.model import LookPair
from services.catalog.store import LookStore
from services.runtime.errors import ServiceError
from services.runtime.rounds import waited

MOST_PARTNERS = 8
_BLOCK = 256
# Small enough that what a comparison works on stays in the second-level cache.
_CHUNK = 32_768
_IDLE_INTERVAL_S = 2.0


class DuplicateSweep:
    """Takes looks in the order of their sequence, from where the store says that all are compared.

    The mark is never written before the pairs, so a sweep that dies repeats a block at most. Several
    processes may sweep at once: each goes on from the mark, and what two of them do twice is the same.
    """

    def __init__(
        self, store: LookStore, index: LookIndex, pairs: DuplicatePairs, interval_s: float = _IDLE_INTERVAL_S
    ) -> None:
        self._store = store
        self._index = index
        self._pairs = pairs
        self._interval_s = interval_s
        self._log = structlog.get_logger("catalog.duplicates")

    async def run(self, stopping: asyncio.Event) -> None:
        """Background work until ``stopping``; ends within the time that a block takes."""
        knows_pairs = False
        while not stopping.is_set():
            started_s = time.monotonic()
            pause_s = self._interval_s
            try:
                if not knows_pairs:
                    # Here, because a call that wants them may not have the time.
                    await self._pairs.refresh()
                    knows_pairs = True
                if await self.compare_next():
                    pause_s = time.monotonic() - started_s
            except (ServiceError, TimeoutError) as fault:
                self._log.warning("duplicates not compared", error=repr(fault))
            if await waited(stopping, pause_s):
                return

    async def compare_next(self, most: int = _BLOCK) -> int:
        """Compares the next looks, at most ``most``, with all before them; says how many that were."""
        await self._index.refresh()
        since = await self._store.compared_through()
        looks = self._index.looks
        block = np.flatnonzero(looks.sequences > since)
        if not len(block):
            return 0
        block = block[np.argsort(looks.sequences[block])][:most]
        through = int(looks.sequences[block[-1]])
        ones, others, rates = await asyncio.to_thread(find_copies, looks, block)
        names = zip(looks.numbers[ones].tolist(), looks.numbers[others].tolist(), rates.tolist(), strict=True)
        # One that was given up meanwhile has no number any more.
        found = [LookPair(*pair) for pair in names if pair[0] and pair[1]]
        await self._store.write_pairs(found, through)
        self._pairs.add(ones, others, since, through)
        return len(block)


def find_copies(looks: Looks, block: Slots) -> tuple[Slots, Slots, Bytes]:
    """Pairs of an image of a block and an earlier one that looks like it: both slots, and their rates.

    Earlier means a lower sequence. Each image has its ``MOST_PARTNERS`` nearest, of equally near ones those
    with the lowest numbers.
    """
    sequences = looks.sequences[block]
    end = int(np.flatnonzero(looks.sequences <= sequences.max()).max(initial=-1)) + 1
    room = _Room(np.empty(_CHUNK, np.uint64), np.empty(_CHUNK, np.uint8), np.empty(_CHUNK, np.uint8))
    found: list[list[Slots]] = [[] for _ in block]
    for start in range(0, end, _CHUNK):
        part = slice(start, min(start + _CHUNK, end))
        phashes, dhashes = looks.phashes[part], looks.dhashes[part]
        for one, slot in enumerate(block):
            near = room.find(phashes, dhashes, looks.phashes[slot], looks.dhashes[slot])
            near = near[looks.sequences[near + start] < sequences[one]] + start
            if len(near):
                found[one].append(_nearest(looks, slot, near)[0])
    chosen = [
        _nearest(looks, slot, np.concatenate(near)) for slot, near in zip(block, found, strict=True) if near
    ]
    ones = np.repeat(
        np.array([slot for slot, near in zip(block, found, strict=True) if near], np.intp),
        [len(near) for near, _ in chosen],
    )
    if not len(ones):
        return ones, ones, np.empty(0, np.uint8)
    return ones, np.concatenate([near for near, _ in chosen]), np.concatenate([rates for _, rates in chosen])


class _Room:
    """Room for what a comparison works on, used again and again."""

    def __init__(self, hashes: Hashes, bits: Bytes, others: Bytes) -> None:
        self._hashes, self._bits, self._others = hashes, bits, others

    def find(self, phashes: Hashes, dhashes: Hashes, phash: np.uint64, dhash: np.uint64) -> Slots:
        """Where one of both hashes is near."""
        count = len(phashes)
        hashes, bits, others = self._hashes[:count], self._bits[:count], self._others[:count]
        np.bitwise_count(np.bitwise_xor(phashes, phash, out=hashes), out=bits)
        np.bitwise_count(np.bitwise_xor(dhashes, dhash, out=hashes), out=others)
        np.minimum(bits, others, out=bits)
        return np.flatnonzero(bits <= LIKELY_BITS)


def _nearest(looks: Looks, slot: np.intp, near: Slots) -> tuple[Slots, Bytes]:
    rates = rate_pairs(looks, np.full(len(near), slot), near)
    order = np.lexsort((looks.numbers[near], rates))[:MOST_PARTNERS]
    order = order[rates[order] < NO_COPY]
    return near[order], rates[order]
