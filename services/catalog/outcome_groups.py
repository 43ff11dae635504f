"""Collects outcomes that wait at the same time, of all streams, so that the store writes them together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from services.catalog.model import Outcome
from services.runtime.errors import (
    DeadlineError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

MAX_GROUP = 500
# One group is on its way to the disk while the next is prepared.
_MAX_WRITING = 2
# Faults of the store as a whole: to write the items one by one would only add to its load.
_OF_THE_STORE = (DeadlineError, ResourceExhaustedError, TimeoutError, UnavailableError)
WriteOutcomes = Callable[[Sequence[Outcome]], Awaitable[list[ServiceError | None]]]
_Answer = asyncio.Future[ServiceError | None]


class OutcomeGroups:
    """Writes outcomes in groups: whatever comes while two groups are being written is the next one.

    What waits is bounded by the streams, each of which has a bound of items in hand.
    """

    def __init__(self, write: WriteOutcomes) -> None:
        self._write = write
        self._waiting: deque[tuple[Outcome, _Answer]] = deque()
        self._writing: list[asyncio.Task[None]] = []

    async def write(self, outcome: Outcome) -> None:
        """Returns when the outcome is durable; raises what it was refused with."""
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, answer))
        # Looked up here: a callback would come after a task that ends now, and leave this outcome waiting.
        self._writing = [task for task in self._writing if not task.done()]
        if len(self._writing) < _MAX_WRITING:
            # In a context of its own: the group belongs to no single request.
            self._writing.append(asyncio.create_task(self._write_groups(), context=Context()))
        if refusal := await answer:
            raise refusal

    async def _write_groups(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), MAX_GROUP)
            taken = [self._waiting.popleft() for _ in range(size)]
            # Whoever left meanwhile has no use for an answer, and has been told nothing.
            await self._write_group([entry for entry in taken if not entry[1].done()])

    async def _write_group(self, group: list[tuple[Outcome, _Answer]]) -> None:
        if not group:
            return
        try:
            refusals = await self._write([outcome for outcome, _ in group])
            answered = list(zip(group, refusals, strict=True))
        except Exception as fault:  # noqa: BLE001  it goes to those who wait
            if len(group) > 1 and not isinstance(fault, _OF_THE_STORE):
                for entry in group:
                    await self._write_group([entry])
                return
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(fault)
            return
        for (_, answer), refusal in answered:
            if not answer.done():
                answer.set_result(refusal)
