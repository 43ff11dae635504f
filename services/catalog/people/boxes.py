"""Which new box is which known face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.catalog.people.model import Box

SAME_FACE_OVERLAP = 0.5
"""Intersection over union from which two boxes of an image are one face."""


def overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """Intersection over union, 0 to 1, of each of ``boxes`` (rows) with each of ``others`` (columns)."""
    one = np.array(boxes, np.float64).reshape(-1, 1, 4)
    two = np.array(others, np.float64).reshape(1, -1, 4)
    start = np.maximum(one[..., :2], two[..., :2])
    end = np.minimum(one[..., :2] + one[..., 2:], two[..., :2] + two[..., 2:])
    shared = np.prod(np.clip(end - start, 0, None), axis=2)
    either = np.prod(one[..., 2:], axis=2) + np.prod(two[..., 2:], axis=2) - shared
    shares: NDArray[np.float64] = shared / np.maximum(either, 1)
    return shares


def match_boxes(known: Sequence[Box], found: Sequence[Box]) -> dict[int, int]:
    """Places in ``found`` to places in ``known``, each at most once, the pairs that overlap most first."""
    if not known or not found:
        return {}
    overlap = overlaps(known, found)
    pairs = np.argwhere(overlap >= SAME_FACE_OVERLAP)
    # Stable, so that pairs that overlap alike come in the order of the faces.
    order = np.argsort(-overlap[pairs[:, 0], pairs[:, 1]], kind="stable")
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for old, new in pairs[order].tolist():
        if old not in taken and new not in matched:
            matched[new] = old
            taken.add(old)
    return matched
