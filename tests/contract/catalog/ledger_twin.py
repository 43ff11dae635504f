"""A ledger in plain dictionaries: counters are counted, nothing is kept up; slow and plain to see through."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from services.catalog.ledger.states import BatchState, ItemState, Verdict

VERBS = ("start", "pause", "resume", "cancel")
LETTERS = {"s": ItemState.SUCCEEDED, "f": ItemState.FAILED, "r": ItemState.RETRYING}


@dataclass(slots=True)
class TwinChunk:
    rows: list[int]
    attempt: int = 1
    generation: int = 1
    done: bool = False
    successor: int = 0


@dataclass(slots=True)
class TwinBatch:
    uuid: uuid.UUID
    parts: list[TwinBatch] | None = None
    parent: TwinBatch | None = None
    own_state: BatchState = BatchState.CREATED
    items: list[str] = field(default_factory=list)
    chunks: list[TwinChunk] = field(default_factory=list)
    cost_micros: int = 0

    @property
    def letters(self) -> str:
        shown = "".join(self.items)
        if self.own_state is BatchState.CANCELLED:
            return shown.replace("p", "c").replace("r", "c")
        return shown

    @property
    def all_letters(self) -> str:
        return self.letters if self.parts is None else "".join(part.letters for part in self.parts)

    @property
    def counts(self) -> tuple[int, ...]:
        letters = self.all_letters
        return (len(letters), *(letters.count(letter) for letter in "sfrc"))

    @property
    def cost(self) -> int:
        return self.cost_micros if self.parts is None else sum(part.cost_micros for part in self.parts)

    @property
    def is_open(self) -> bool:
        return "p" in self.items or "r" in self.items

    @property
    def state(self) -> BatchState:
        if not self.parts:
            return self.own_state
        states = {part.own_state for part in self.parts}
        if len(states) == 1:
            return states.pop()
        tried = any(letter in "sfr" for letter in self.all_letters)
        if BatchState.RUNNING in states or (tried and BatchState.QUEUED in states):
            return BatchState.RUNNING
        for state in (BatchState.QUEUED, BatchState.PAUSED, BatchState.CREATED, BatchState.CANCELLED):
            if state in states:
                return BatchState.QUEUED if state is BatchState.CREATED else state
        return BatchState.COMPLETED

    def append(self, count: int) -> bool:
        if self.own_state is not BatchState.CREATED or self.parts is not None:
            return False
        self.items += "p" * count
        rows = list(range(1, len(self.items) + 1))
        self.chunks = [TwinChunk(rows[start : start + 100]) for start in range(0, len(rows), 100)]
        return True

    def move(self, verb: str) -> bool:
        """Whether the verb is allowed; it is done then."""
        if self.parts is not None:
            moved = [part.move(verb) for part in self.parts]
            return any(moved)
        state, active = self.own_state, {BatchState.QUEUED, BatchState.RUNNING}
        if verb == "start" and state is BatchState.CREATED and self.items:
            self.own_state = BatchState.QUEUED
        elif verb == "pause" and state in active:
            self.own_state = BatchState.PAUSED
        elif verb == "resume" and state is BatchState.PAUSED:
            self.own_state = BatchState.QUEUED if self.is_open else self.end()
        elif verb == "cancel" and state not in {BatchState.COMPLETED, BatchState.CANCELLED}:
            self.own_state = BatchState.CANCELLED
        else:
            return False
        return True

    def end(self) -> BatchState:
        return BatchState.FAILED if set(self.items) == {"f"} else BatchState.COMPLETED

    def apply(self, number: int, generation: int, letters: str) -> Verdict:
        chunk = self.chunks[number - 1]
        if generation != chunk.generation or self.own_state is BatchState.CREATED:
            return Verdict.STALE
        if chunk.done:
            return Verdict.DUPLICATE
        if self.own_state is BatchState.CANCELLED:
            return Verdict.CANCELLED
        chunk.done = True
        for row, letter in zip(chunk.rows, letters, strict=True):
            self.items[row - 1] = letter
            self.cost_micros += row
        again = [row for row, letter in zip(chunk.rows, letters, strict=True) if letter == "r"]
        if again:
            self.chunks.append(TwinChunk(again, chunk.attempt + 1))
            chunk.successor = len(self.chunks)
        if self.own_state is not BatchState.PAUSED:
            self.own_state = BatchState.RUNNING if self.is_open else self.end()
        return Verdict.APPLIED

    def retry(self, kinds: str) -> int | None:
        """How many items run again; None when it is refused."""
        if self.parts is not None:
            counts = [part.retry(kinds) for part in self.parts]
            return None if counts == [None] * len(counts) else sum(count or 0 for count in counts)
        was_cancelled = self.own_state is BatchState.CANCELLED
        if self.own_state is BatchState.CREATED or (was_cancelled and "c" not in kinds):
            return None
        revived = self.letters.count("c")
        rows = [row for row, letter in enumerate(self.items, 1) if letter in kinds]
        if was_cancelled:
            for chunk in self.chunks:
                chunk.generation += not chunk.done
        for row in rows:
            self.items[row - 1] = "r"
        self.chunks += [TwinChunk(rows[start : start + 100], 2) for start in range(0, len(rows), 100)]
        if (rows or revived) and self.own_state > BatchState.PAUSED:
            self.own_state = BatchState.QUEUED
        return len(rows) + revived
