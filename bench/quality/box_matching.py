"""Which found boxes are which true ones: greedy by overlap, each box once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.analyzer.picture import Box


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of true boxes found and missed, and of found boxes that are none."""

    found: int = 0
    missed: int = 0
    false: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.found + other.found, self.missed + other.missed, self.false + other.false)

    @property
    def precision(self) -> float:
        """Share of found boxes that are right, 0..1; 1 where nothing was found."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def recall(self) -> float:
        """Share of true boxes that were found, 0..1; 1 where there are none."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0..1."""
        doubled = 2 * self.found
        return doubled / (doubled + self.missed + self.false) if doubled + self.missed + self.false else 1.0


def overlap(box: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    across = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    down = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    shared = max(0, across) * max(0, down)
    return shared / (box.width * box.height + other.width * other.height - shared)


def match_boxes(found: Sequence[Box], truth: Sequence[Box], least_overlap: float) -> Tally:
    """Pair boxes, best overlap first; what is left over is missed or false."""
    pairs = sorted(
        ((overlap(box, true), i, j) for i, box in enumerate(found) for j, true in enumerate(truth)),
        reverse=True,
    )
    taken_found: set[int] = set()
    taken_true: set[int] = set()
    for value, i, j in pairs:
        if value >= least_overlap and i not in taken_found and j not in taken_true:
            taken_found.add(i)
            taken_true.add(j)
    hits = len(taken_true)
    return Tally(hits, len(truth) - hits, len(found) - hits)


def add_up(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    return sum(tallies, Tally())
