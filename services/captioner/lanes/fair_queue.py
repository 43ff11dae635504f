"""Who is next: calls that somebody waits for before those of batches, and the batches in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_INTERACTIVE_IN_A_ROW = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Waiter(Generic[T]):
    """A call that waits. ``batch`` is empty when somebody waits for it; ``latest`` is loop time."""

    future: asyncio.Future[T]
    batch: str
    tokens: int
    latest: float


class FairQueue(Generic[T]):
    """At most four interactive calls in a row while batches wait; then one of the batches, round robin.

    Nothing is remembered of a batch without waiting calls.
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[str, OrderedDict[Waiter[T], None]] = OrderedDict()
        self._in_a_row = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def waiting_with(self, batch: str) -> int:
        """How many wait of the same kind: in person where ``batch`` is empty, else of any batch."""
        in_person = len(self._lines.get("", ()))
        return self._length - in_person if batch else in_person

    def put(self, waiter: Waiter[T], *, in_front: bool = False) -> None:
        """Adds a waiter at the end of its line, or at its front."""
        line = self._lines.setdefault(waiter.batch, OrderedDict())
        line[waiter] = None
        line.move_to_end(waiter, last=not in_front)
        self._length += 1

    def next(self) -> Waiter[T] | None:
        """Who is next; ``take`` it once it has its turn."""
        batch = self._next_batch()
        return None if batch is None else next(iter(self._lines[batch]))

    def take(self, waiter: Waiter[T]) -> None:
        """The waiter has its turn."""
        self.discard(waiter)
        if waiter.batch:
            self._in_a_row = 0
            if waiter.batch in self._lines:
                self._lines.move_to_end(waiter.batch)
        else:
            self._in_a_row += 1

    def discard(self, waiter: Waiter[T]) -> None:
        """Removes a waiter that is there no longer; unknown ones are fine."""
        line = self._lines.get(waiter.batch)
        if line is None or waiter not in line:
            return
        del line[waiter]
        self._length -= 1
        if not line:
            del self._lines[waiter.batch]

    def waiters(self) -> list[Waiter[T]]:
        """All of them, in no special order."""
        return [waiter for line in self._lines.values() for waiter in line]

    def _next_batch(self) -> str | None:
        has_interactive = "" in self._lines
        if has_interactive and (self._in_a_row < MAX_INTERACTIVE_IN_A_ROW or len(self._lines) == 1):
            return ""
        return next((batch for batch in self._lines if batch), None)
