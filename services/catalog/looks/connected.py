"""What is connected by pairs, directly or through others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.catalog.looks.look_distances import Numbers, Slots


@dataclass(frozen=True, slots=True)
class Groups:
    """Disjoint groups of numbers, those with the highest number first.

    ``members`` has the numbers group by group, each ascending; group i starts at ``starts[i]`` and ends
    before ``starts[i + 1]``. ``highest`` falls.
    """

    members: Numbers
    starts: Slots
    highest: Numbers

    def place_below(self, number: int) -> int:
        """The first group whose highest number is below a number."""
        return int(np.searchsorted(-self.highest, -number, side="right"))

    def __len__(self) -> int:
        return len(self.highest)

    def __getitem__(self, place: int) -> list[int]:
        members: list[int] = self.members[self.starts[place] : self.starts[place + 1]].tolist()
        return members


def connect(ones: Numbers, others: Numbers) -> Groups:
    """Groups of numbers (at least 1) that pairs connect."""
    numbers, places = np.unique(np.concatenate((ones, others)), return_inverse=True)
    labels = _label(len(numbers), places[: len(ones)], places[len(ones) :])
    # The label is the place of the lowest member; groups come by their highest one.
    highest = np.zeros(len(numbers), np.int64)
    np.maximum.at(highest, labels, numbers)
    order = np.lexsort((numbers, -highest[labels]))
    ranked = highest[labels][order]
    starts = np.flatnonzero(np.diff(ranked, prepend=0))
    return Groups(numbers[order], np.append(starts, len(numbers)), ranked[starts])


def _label(count: int, ones: Slots, others: Slots) -> Slots:
    """The lowest node that each node is connected with.

    Every round hangs the higher root of each pair below the lower one, then shortens all paths: a few rounds
    for groups of any shape.
    """
    labels = np.arange(count)
    while True:
        first, second = labels[ones], labels[others]
        apart = np.flatnonzero(first != second)
        if not len(apart):
            return labels
        ones, others = ones[apart], others[apart]
        first, second = first[apart], second[apart]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(shorter := labels[labels], labels):
            labels = shorter
