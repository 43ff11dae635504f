"""How all images look, in the memory of the process: 84 bytes an image, brought up to date from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from mmap import mmap

import numpy as np
import numpy.typing as npt
import structlog

from services.catalog.looks.look_distances import SIGNATURE_BYTES, Bytes, Looks, Numbers, Slots
from services.catalog.model import LookRow
from services.catalog.store import LookStore
from services.runtime.errors import Reason, ServiceError, UnavailableError
from services.runtime.rounds import waited

# A page takes about two milliseconds of the event loop, which others wait for.
_PAGE = 1_000
_FIRST_ROOM = 1_024
_INTERVAL_S = 5.0


class LookIndex:
    """Looks by slot, one for each image; a later row of an image replaces what was there.

    Only the store is the truth: there may be images that are gone, until somebody notices and says
    :meth:`forget`. Belongs to one event loop.
    """

    def __init__(self, store: LookStore, patience_s: float = 5.0, interval_s: float = _INTERVAL_S) -> None:
        self._store = store
        self._patience_s = patience_s
        self._interval_s = interval_s
        self._reading = asyncio.Lock()
        self._position = 0
        self._count = 0
        self._free = 0
        self._looks = _room_for(_FIRST_ROOM)
        self._slots = np.full(_FIRST_ROOM, -1, np.int32)
        self._log = structlog.get_logger("catalog.looks")

    @property
    def count(self) -> int:
        """Images that have a look."""
        return self._count - self._free

    @property
    def position(self) -> int:
        """The sequence that was read last."""
        return self._position

    @property
    def looks(self) -> Looks:
        """All looks. A row that is replaced later changes in place; a scan may see it half changed."""
        return _cut(self._looks, self._count)

    def slots_of(self, numbers: Numbers) -> Slots:
        """Slots of images by number; -1 where there is none."""
        known = (numbers > 0) & (numbers < len(self._slots))
        return np.where(known, self._slots[np.where(known, numbers, 0)], -1)

    def count_compared(self, through: int) -> int:
        """Images whose look came up to a sequence."""
        looks = self.looks
        return int(np.count_nonzero((looks.sequences <= through) & (looks.numbers > 0)))

    async def follow(self, stopping: asyncio.Event) -> None:
        """Background work: reads everything, then what is new every few seconds, until ``stopping``."""
        while not stopping.is_set():
            try:
                while not stopping.is_set() and await self._read_page():
                    pass
            except (ServiceError, TimeoutError) as fault:
                self._log.warning("looks not read", error=repr(fault))
            if await waited(stopping, self._interval_s):
                return

    async def refresh(self) -> None:
        """Returns when everything that was in the store is here.

        Raises ``UnavailableError(STORE_UNAVAILABLE)`` when that takes too long, as after a start.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                while await self._read_page():
                    pass
        except TimeoutError:
            raise UnavailableError(
                Reason.STORE_UNAVAILABLE,
                f"The looks of images are being read, {self.count} so far; try again in a moment.",
                retry_after_s=2.0,
            ) from None

    def forget(self, numbers: Sequence[int], position: int) -> None:
        """Leaves out images that are gone; those whose look came after ``position`` are back, and stay."""
        slots = self.slots_of(np.array(numbers, np.int64))
        slots = slots[slots >= 0]
        slots = slots[self._looks.sequences[slots] <= position]
        self._slots[self._looks.numbers[slots]] = -1
        self._looks.numbers[slots] = 0
        self._looks.sequences[slots] = 0
        self._free += len(slots)

    async def _read_page(self) -> bool:
        """Takes in a page of rows; False when there was none."""
        async with self._reading:
            rows = await self._store.read_looks(self._position, _PAGE)
            if rows:
                self._take(rows)
                self._position = rows[-1].sequence
            return len(rows) == _PAGE

    def _take(self, rows: Sequence[LookRow]) -> None:
        rows = list({row.number: row for row in rows}.values())
        numbers = np.array([row.number for row in rows], np.int64)
        slots = self._slots_for(numbers)
        self._looks.numbers[slots] = numbers
        self._looks.sequences[slots] = [row.sequence for row in rows]
        self._looks.phashes[slots] = np.array([row.look.phash for row in rows], np.uint64)
        self._looks.dhashes[slots] = np.array([row.look.dhash for row in rows], np.uint64)
        joined = b"".join(signature_of(row.look.signature) for row in rows)
        signatures = np.frombuffer(joined, np.uint8).reshape(-1, SIGNATURE_BYTES).T
        self._looks.signatures[:, slots] = signatures

    def _slots_for(self, numbers: Numbers) -> Slots:
        """Slots of images; those that have none get the next ones."""
        self._slots = _grown(self._slots, int(numbers.max()) + 1, -1)
        slots = self.slots_of(numbers)
        new = np.flatnonzero(slots < 0)
        slots[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        if self._count > len(self._looks.numbers):
            self._looks = _copied(self._looks, _room_for(2 * self._count))
        self._slots[numbers] = slots
        return slots


def signature_of(stored: bytes) -> bytes:
    """The colour signature as 48 bytes: zeros where there is none."""
    return stored if len(stored) == SIGNATURE_BYTES else bytes(SIGNATURE_BYTES)


def _room_for(count: int) -> Looks:
    return Looks(
        _mapped(8 * count).view(np.int64),
        _mapped(8 * count).view(np.int64),
        _mapped(8 * count).view(np.uint64),
        _mapped(8 * count).view(np.uint64),
        _mapped(SIGNATURE_BYTES * count).reshape(SIGNATURE_BYTES, count),
    )


def _mapped(size_bytes: int) -> Bytes:
    """Zeros that take memory only where something was written to, and give it back at once."""
    return np.frombuffer(mmap(-1, size_bytes), np.uint8)


def _cut(looks: Looks, count: int) -> Looks:
    return Looks(
        looks.numbers[:count],
        looks.sequences[:count],
        looks.phashes[:count],
        looks.dhashes[:count],
        looks.signatures[:, :count],
    )


def _copied(looks: Looks, room: Looks) -> Looks:
    count = len(looks.numbers)
    target = _cut(room, count)
    target.numbers[:], target.sequences[:] = looks.numbers, looks.sequences
    target.phashes[:], target.dhashes[:] = looks.phashes, looks.dhashes
    target.signatures[:] = looks.signatures
    return room


def _grown(array: npt.NDArray[np.int32], count: int, fill: int) -> npt.NDArray[np.int32]:
    if count <= len(array):
        return array
    grown = np.full(2 * count, fill, np.int32)
    grown[: len(array)] = array
    return grown
