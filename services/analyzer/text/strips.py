"""A dense page in parts: no call of the engine, which nothing interrupts, lasts long.

A recursive cut between columns first, then between lines: the parts tile the page in reading order. Lines
say where a gap may be; whether it is one, the pixels say, because the gate may have missed a line there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.analyzer.picture import Pixels

# About a quarter of a second of Tesseract.
STRIP_LETTERS = 500
MIN_GUTTER = 1.5
MIN_COLUMN_LINES = 3
MAX_GAP_INK = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """A line of text on the sheet: corners and height of its glyphs in its pixels."""

    left: float
    top: float
    right: float
    bottom: float
    glyph_height: float

    @property
    def letters(self) -> float:
        """About how many there are: the gate sees small ones grown together."""
        return (self.right - self.left) / self.glyph_height


@dataclass(frozen=True, slots=True)
class Strip:
    """A rectangle of the sheet; right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def cut_strips(rows: Sequence[Row], pixels: Pixels) -> list[Strip]:
    """Tile a sheet, dark on white; a part has few letters, or offers no gap to cut at."""
    height, width = pixels.shape
    return _cut(Strip(0, 0, width, height), rows, pixels)


def _cut(part: Strip, rows: Sequence[Row], pixels: Pixels) -> list[Strip]:
    if sum(row.letters for row in rows) <= STRIP_LETTERS:
        return [part]
    glyph = sum(row.glyph_height for row in rows) / len(rows)
    view = pixels[part.top : part.bottom, part.left : part.right]
    at = _find_gutter(rows, glyph, view, part.left)
    if at is not None:
        halves = Strip(part.left, part.top, at, part.bottom), Strip(at, part.top, part.right, part.bottom)
        before = [row for row in rows if row.left + row.right <= 2 * at]
    else:
        at = _find_gap(rows, glyph, view, part.top)
        if at is None:
            return [part]
        halves = Strip(part.left, part.top, part.right, at), Strip(part.left, at, part.right, part.bottom)
        before = [row for row in rows if row.top + row.bottom <= 2 * at]
    return _cut(halves[0], before, pixels) + _cut(
        halves[1], [row for row in rows if row not in before], pixels
    )


def _find_gutter(rows: Sequence[Row], glyph: float, view: Pixels, origin: int) -> int | None:
    """A column of pixels between columns of a few lines each, in the widest gap."""
    gaps = [
        (end, start)
        for end, start in _find_gaps([(row.left, row.right) for row in rows])
        if start - end >= MIN_GUTTER * glyph
        and MIN_COLUMN_LINES <= sum(row.right <= end for row in rows) <= len(rows) - MIN_COLUMN_LINES
    ]
    return _find_clean(sorted(gaps, key=lambda gap: gap[0] - gap[1]), view, 0, origin)


def _find_gap(rows: Sequence[Row], glyph: float, view: Pixels, origin: int) -> int | None:
    """A row of pixels between lines: in a wide gap, as under a heading, else in one near the middle."""
    height = int(view.shape[0])

    def rate(gap: tuple[float, float]) -> float:
        end, start = gap
        off_middle = abs((end + start) / 2 - origin - height / 2)
        return 2 * off_middle / height - (start - end) / glyph

    gaps = _find_gaps([(row.top, row.bottom) for row in rows])
    return _find_clean(sorted(gaps, key=rate), view, 1, origin)


def _find_clean(gaps: Sequence[tuple[float, float]], view: Pixels, axis: int, origin: int) -> int | None:
    """The cleanest line of pixels in the first gap that has a clean one."""
    whiteness = view.mean(axis=axis)
    for end, start in gaps:
        first, last = max(0, round(end) - origin), min(len(whiteness), round(start) - origin + 1)
        middle = (first + last) // 2
        if first < last:
            clean = np.flatnonzero(whiteness[first:last] >= whiteness[first:last].max() - 1) + first
            at = int(clean[np.argmin(np.abs(clean - middle))])
            if whiteness[at] >= 255 * (1 - MAX_GAP_INK):
                return at + origin
    return None


def _find_gaps(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    gaps = []
    ordered = sorted(spans)
    reached = ordered[0][1]
    for start, end in ordered[1:]:
        if start > reached + 1:
            gaps.append((reached, start))
        reached = max(reached, end)
    return gaps
