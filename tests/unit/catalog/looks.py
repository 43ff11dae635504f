"""Looks for tests, and a store of them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.catalog.model import Look, LookPair, LookRow

GREY = bytes((120, 128, 128)) * 16


def look(phash: int = 0, dhash: int = 0, signature: bytes = GREY) -> Look:
    return Look(phash, dhash, signature)


def bits(count: int, first: int = 0) -> int:
    """A hash with so many bits set, from a bit on."""
    return ((1 << count) - 1) << first


@dataclass(slots=True)
class StoredLooks:
    """A ``LookStore`` without images."""

    rows: dict[int, LookRow] = field(default_factory=dict)
    pairs: dict[tuple[int, int], LookPair] = field(default_factory=dict)
    mark: int = 0
    reads: int = 0

    def put(self, number: int, look: Look) -> None:
        sequence = 1 + max((row.sequence for row in self.rows.values()), default=0)
        self.rows[number] = LookRow(sequence, number, look)

    async def read_looks(self, after: int, most: int) -> list[LookRow]:
        self.reads += 1
        rows = sorted(self.rows.values(), key=lambda row: row.sequence)
        return [row for row in rows if row.sequence > after][:most]

    async def look_of(self, number: int) -> LookRow | None:
        return self.rows.get(number)

    async def write_pairs(self, pairs: Sequence[LookPair], compared_through: int) -> None:
        self.pairs.update({(pair.number, pair.earlier): pair for pair in pairs})
        self.mark = max(self.mark, compared_through)

    async def read_pairs(self, after: tuple[int, int], most: int) -> list[LookPair]:
        return [self.pairs[key] for key in sorted(self.pairs) if key > after][:most]

    async def compared_through(self) -> int:
        return self.mark

    async def list_repeated(self, *_: object) -> list[tuple[str, list[int]]]:
        return []
