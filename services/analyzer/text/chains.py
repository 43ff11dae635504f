"""Rows of glyphs: connected ink of a glyph's proportions, linked to its right neighbour on the same line.

Glyphs are rows of left, top, width, height, area in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.picture import Pixels

# Texture can be all glyphs; the largest of them are enough to judge it.
MAX_GLYPHS = 4000
# Labels of 16 bits are faster, and overflow beyond this.
MAX_SHORT_LABELS = 65_535

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """All chains; arrays have an entry a chain. ``sheets`` says on which sheet it lies.

    ``boxes`` rows of left, top, right, bottom; ``areas`` pixels of ink; ``slope`` of the line on which the
    glyphs stand or under which they hang, whichever they keep better; ``stray`` how far they lie off it and
    ``gap`` how far apart they are, in mean glyph heights.
    """

    members: list[Floats]
    sheets: Ints
    boxes: Ints
    areas: Floats
    slope: Floats
    stray: Floats
    gap: Floats


def find_shapes(ink: Pixels, shortest: float, tallest: float) -> Floats:
    """Connected ink that may be a glyph of such height in any direction."""
    few = _bound_labels(ink) < MAX_SHORT_LABELS
    kind, method = (cv2.CV_16U, cv2.CCL_SPAGHETTI) if few else (cv2.CV_32S, cv2.CCL_GRANA)
    stats = cv2.connectedComponentsWithStatsWithAlgorithm(ink, 8, kind, method)[2][1:]
    _, _, width, height, area = stats.T
    longer = np.maximum(width, height)
    likely = (longer >= shortest) & (np.minimum(width, height) <= tallest) & (longer <= 0.6 * max(ink.shape))
    shapes: Floats = stats[likely & (area >= 8) & (area >= 0.12 * width * height)].astype(np.float32)
    if len(shapes) > MAX_GLYPHS:
        shapes = shapes[np.argpartition(-shapes[:, 4], MAX_GLYPHS)[:MAX_GLYPHS]]
    return shapes


def _bound_labels(ink: Pixels) -> int:
    """No labelling makes more labels on its way: each begins with ink that has none to its left."""
    pixels = cv2.countNonZero(ink)
    if pixels < MAX_SHORT_LABELS:
        return pixels
    return cv2.countNonZero(ink[:, :1]) + int(np.count_nonzero(ink[:, 1:] > ink[:, :-1]))


def turn_shapes(shapes: Floats, height: int) -> Floats:
    """The shapes of a picture of ``height`` rows after it was turned clockwise by 90 degrees."""
    turned: Floats = shapes[:, [1, 0, 3, 2, 4]]
    turned[:, 0] = height - shapes[:, 1] - shapes[:, 3]
    return turned


def chain_glyphs(sheets: Sequence[Floats], shortest: int) -> Chains:
    """Chains of at least ``shortest`` glyphs on each of ``sheets``.

    NumPy's calls cost more than their work here, so all sheets are chained at once, laid side by side.
    """
    pitch = 4 * max((float(shapes[:, :4].max()) for shapes in sheets if len(shapes)), default=0.0)
    glyphs = np.concatenate(
        [shapes + np.array([pitch * n, 0, 0, 0, 0], np.float32) for n, shapes in enumerate(sheets)]
    )
    _, _, width, height, _ = glyphs.T
    glyphs = glyphs[(height >= 5) & (width <= 4 * height) & (height <= 12 * width)]
    glyphs = glyphs[np.argsort(glyphs[:, 0], kind="stable")]
    if len(glyphs) >= shortest:
        ends = _follow(_link_right(glyphs))
        chained = np.bincount(ends, minlength=len(glyphs))[ends] >= shortest
        glyphs, ends = glyphs[chained], ends[chained]
    if len(glyphs) < shortest:
        empty = np.empty(0, np.float32)
        return Chains([], empty.astype(np.int64), np.empty((0, 4), np.int64), empty, empty, empty, empty)
    order = np.argsort(ends, kind="stable")
    glyphs = glyphs[order]
    sheet = (glyphs[:, 0] // pitch).astype(np.int64)
    glyphs[:, 0] -= sheet * np.float32(pitch)
    starts = np.flatnonzero(np.diff(ends[order], prepend=-1))
    return _measure(glyphs, starts, sheet[starts])


def measure_slope(chain: Floats) -> float:
    """The slope of one chain."""
    return float(_measure(chain, np.zeros(1, np.int64), np.zeros(1, np.int64)).slope[0])


def _measure(glyphs: Floats, starts: Ints, sheets: Ints) -> Chains:
    left, top, width, height, area = glyphs.T
    counts = np.diff(starts, append=len(glyphs)).astype(np.float32)
    repeats = counts.astype(np.int64)
    corners = [np.minimum.reduceat(edge, starts) for edge in (left, top)]
    corners += [np.maximum.reduceat(edge, starts) for edge in (left + width, top + height)]

    def mean(values: Floats) -> Floats:
        means: Floats = np.add.reduceat(values, starts) / counts
        return means

    def centre(values: Floats) -> Floats:
        return values - np.repeat(mean(values), repeats)

    across = centre(left + width / 2)
    spread = np.maximum(mean(across * across), np.float32(1e-6))

    def fit(edge: Floats) -> tuple[Floats, Floats]:
        down = centre(edge)
        slope = mean(across * down) / spread
        return slope, mean((down - np.repeat(slope, repeats) * across) ** 2)

    (base, off_base), (cap, off_cap) = fit(top + height), fit(top)
    typical = mean(height)
    gap = np.diff(left, append=0) - width
    gap[starts[1:] - 1] = gap[-1] = 0
    return Chains(
        members=[glyphs[start : start + count] for start, count in zip(starts, repeats, strict=True)],
        sheets=sheets,
        boxes=np.column_stack(corners).astype(np.int64),
        areas=np.add.reduceat(area, starts),
        slope=np.where(off_base <= off_cap, base, cap),
        stray=np.sqrt(np.minimum(off_base, off_cap)) / typical,
        gap=np.add.reduceat(gap, starts) / np.maximum(counts - 1, 1) / typical,
    )


def _link_right(glyphs: Floats) -> Ints:
    """The index of each glyph's nearest right neighbour on its line, or its own where there is none."""
    left, top, width, height, _ = glyphs.T
    right, bottom = left + width, top + height
    count = len(glyphs)
    first = np.maximum(np.searchsorted(left, left + 0.3 * width, side="right"), np.arange(count) + 1)
    spans = np.maximum(np.searchsorted(left, right + 1.5 * height, side="right") - first, 0)
    i = np.repeat(np.arange(count), spans)
    j = np.arange(len(i)) + np.repeat(first - np.cumsum(spans) + spans, spans)
    # Most pairs lie one far above the other.
    near = np.flatnonzero((top[i] < bottom[j]) & (top[j] < bottom[i]))
    i, j = i[near], j[near]
    smaller, larger = np.minimum(height[i], height[j]), np.maximum(height[i], height[j])
    overlap = np.minimum(bottom[i], bottom[j]) - np.maximum(top[i], top[j])
    linked = (larger <= 2 * smaller) & (overlap >= 0.6 * smaller)
    linked &= (np.abs(bottom[i] - bottom[j]) <= 0.45 * larger) & (left[j] - right[i] <= 1.3 * larger)
    successor = np.arange(count)
    starts, nearest = np.unique(i[linked], return_index=True)
    successor[starts] = j[linked][nearest]
    return successor


def _follow(successor: Ints) -> Ints:
    """The last glyph of each glyph's chain; links point right only, so doubling the step ends."""
    while True:
        further = successor[successor]
        if np.array_equal(further, successor):
            return successor
        successor = further
