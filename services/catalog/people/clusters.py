"""Clustering: faces are put to the person that they look like, one after the other, while life goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from services.catalog.people.index import MOST_FACES, MOST_PEOPLE, LikenessIndex
from services.catalog.people.model import PersonRow, time_uuid
from services.catalog.people.store import PeopleStore

_PAGE = 256


class PeopleKeeper:
    """Places the faces that wait. Several keepers, in several processes, do each other no harm.

    What a person decided is beyond its reach: only faces wait that nobody placed, moved or ignored, and they
    are put to the likeness of one group, whatever that group was merged into. A batch is stored only if no
    likeness changed since it was decided, so that two keepers never make two people of one.
    """

    def __init__(
        self,
        store: PeopleStore,
        changed: asyncio.Event | None = None,
        poll_s: float = 5.0,
        most_people: int = MOST_PEOPLE,
    ) -> None:
        """``changed`` may be set by whoever writes faces; else the store is looked at every ``poll_s``."""
        self._store = store
        self._changed = changed or asyncio.Event()
        self._poll_s = poll_s
        self._index = LikenessIndex(most_people)
        self._sequence = 0
        self._log = structlog.get_logger("catalog.people")

    async def run(self, stopping: asyncio.Event) -> None:
        """Places faces until ``stopping`` is set; a store that does not answer is asked again later."""
        while not stopping.is_set():
            self._changed.clear()
            try:
                while not stopping.is_set() and await self.place_some():
                    pass
            except Exception as fault:  # noqa: BLE001  one bad moment must not end it for good
                self._log.error("faces not placed", problem=repr(fault))
            await self._pause(stopping)

    async def place_all(self) -> None:
        """Places everything that waits."""
        while await self.place_some():
            pass

    async def place_some(self) -> bool:
        """Places the first faces that wait; False when none do."""
        faces = await self._store.faces_to_place(MOST_FACES)
        if not faces:
            return False
        seen = await self._refresh()
        placements = await asyncio.to_thread(self._index.place, faces, _new_name)
        placed = await self._store.place_faces(placements, seen)
        for person in placed.gone:
            self._index.drop(person)
        return True

    async def _refresh(self) -> int:
        """Takes in what changed; returns the sequence up to which everything is known."""
        while True:
            found = await self._store.read_likenesses(self._sequence, _PAGE)
            # On another thread, because at the start there may be a hundred thousand of them.
            await asyncio.to_thread(self._take_in, found.people)
            if len(found.people) < _PAGE:
                return found.last

    def _take_in(self, people: Sequence[PersonRow]) -> None:
        for person in people:
            self._index.put(person)
            self._sequence = person.sequence

    async def _pause(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._changed, stopping)]
        try:
            await asyncio.wait(waits, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _new_name() -> UUID:
    return time_uuid(time.time_ns() // 1_000)
