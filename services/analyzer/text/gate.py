"""Where text may be: rows of glyph-like shapes, found in a few milliseconds, so that OCR runs only there.

A pixel is ink if it stands out from the mean around it, darker or lighter. Connected ink of a glyph's
proportions is linked to a chain; a chain is a line of text if its length, its straightness, how much of the
ink around is its own, and above all how cleanly each glyph parts from its ground, weigh enough together.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from services.analyzer.picture import Pixels
from services.analyzer.text.chains import (
    Chains,
    Floats,
    chain_glyphs,
    find_shapes,
    measure_slope,
    turn_shapes,
)

WINDOW_PX = 31
INK_CONTRAST = 12
MAX_SLOPE = 0.25
# The window must be wider than a stroke: large letters are sought in a smaller picture. With the heights of
# glyphs that are sought in it, in its own pixels.
SCALES = ((1.0, 5.0, 96.0), (0.5, 20.0, 96.0), (0.25, 20.0, math.inf))
SHORTEST_CHAIN = 2
# Lines of sideways text are long, and looking for them must not make text of textures.
SHORTEST_SIDEWAYS = 5
SIDEWAYS_BAR = 1.5
SEPARATED_GLYPHS = 6
# A glyph at the end of a line that is not like this is something beside the text: the edge of its plate.
MIN_END_SEPARATION = 0.72
MIN_END_HEIGHT = 0.4
MAX_END_HEIGHT = 1.7

# Logistic regression over 5,300 chains of two or more glyphs: text of 400 rendered signs against 24 textless
# photos in four sizes; the bar lets 30 of their 4,700 chains through.
WEIGHT_LENGTH = 1.82
WEIGHT_STRAY = -7.28
WEIGHT_SLOPE = -2.34
WEIGHT_COVER = 2.42
WEIGHT_SEPARATION = 23.08
BAR = 24.15
# A whole line parts less cleanly than its glyphs, by at most this.
SEPARATION_SLACK = 0.15


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line in pixels of the picture that was searched: corners, median glyph height, number of glyphs.

    ``slope`` is the rise of its base line, downwards positive; ``gap`` the mean space between glyphs, in
    their heights.
    """

    left: float
    top: float
    right: float
    bottom: float
    glyph_height: float
    glyphs: int
    light_on_dark: bool
    slope: float = 0.0
    gap: float = 0.0

    def scale(self, factor: float) -> TextLine:
        """The same line in a picture ``factor`` times as large."""
        return replace(
            self,
            left=self.left * factor,
            top=self.top * factor,
            right=self.right * factor,
            bottom=self.bottom * factor,
            glyph_height=self.glyph_height * factor,
        )

    def overturn(self, width: float, height: float) -> TextLine:
        """The same line in a picture of that size after it was turned by 180 degrees."""
        return replace(
            self,
            left=width - self.right,
            top=height - self.bottom,
            right=width - self.left,
            bottom=height - self.top,
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """Lines along the rows, and lines of the picture turned clockwise by 90 degrees; most glyphs first."""

    upright: list[TextLine]
    sideways: list[TextLine]


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """The picture in one size, and its ink of one polarity; upright ones and turned ones take turns."""

    grey: Pixels
    ink: Pixels
    shapes: Floats
    scale: float
    light_on_dark: bool
    sideways: bool


def find_lines(grey: Pixels) -> list[TextLine]:
    """Lines of text of either polarity, most glyphs first; lines that lie on better ones are dropped."""
    return survey(grey).upright


def survey(grey: Pixels) -> Survey:
    """Look for lines of both directions."""
    sheets = list(_lay_out(grey))
    if not sheets:
        return Survey([], [])
    chains = chain_glyphs([sheet.shapes for sheet in sheets], SHORTEST_CHAIN)
    found = list(_judge(chains, sheets))
    upright, sideways = (
        _keep_best([(weight, line) for sheet, weight, line in found if sheet.sideways is direction])
        for direction in (False, True)
    )
    return Survey(upright, sideways)


def _lay_out(grey: Pixels) -> Iterator[_Sheet]:
    for scale, shortest, tallest in SCALES:
        if max(grey.shape) * scale < shortest or min(grey.shape) * scale < 1:
            continue
        small = (
            grey if scale == 1 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
        mean = cv2.blur(small, (WINDOW_PX, WINDOW_PX))
        for light_on_dark in (False, True):
            difference = cv2.subtract(small, mean) if light_on_dark else cv2.subtract(mean, small)
            ink = cv2.threshold(difference, INK_CONTRAST, 255, cv2.THRESH_BINARY)[1]
            shapes = find_shapes(ink, shortest, tallest)
            yield _Sheet(small, ink, shapes, scale, light_on_dark, sideways=False)
            turned = turn_shapes(shapes, small.shape[0])
            yield _Sheet(np.rot90(small, -1), np.rot90(ink, -1), turned, scale, light_on_dark, sideways=True)


def _judge(chains: Chains, sheets: Sequence[_Sheet]) -> Iterator[tuple[_Sheet, float, TextLine]]:
    lengths = np.array([len(chain) for chain in chains.members])
    slopes = np.abs(chains.slope)
    weights = WEIGHT_LENGTH * np.log(lengths) + WEIGHT_STRAY * chains.stray + WEIGHT_SLOPE * slopes
    long_enough = (lengths >= SHORTEST_SIDEWAYS) | (chains.sheets % 2 == 0)
    hopeful = long_enough & (slopes <= MAX_SLOPE) & (weights + WEIGHT_COVER + WEIGHT_SEPARATION >= BAR)
    for index in np.flatnonzero(hopeful).tolist():
        sheet = sheets[chains.sheets[index]]
        left, top, right, bottom = chains.boxes[index].tolist()
        box = np.s_[top:bottom, left:right]
        cover = float(chains.areas[index]) / max(1, cv2.countNonZero(sheet.ink[box]))
        weight = float(weights[index]) + WEIGHT_COVER * cover
        needed = (BAR + SIDEWAYS_BAR * sheet.sideways - weight) / WEIGHT_SEPARATION
        if _separate(sheet.grey[box]) < needed - SEPARATION_SLACK:
            continue
        separation = _separate_glyphs(chains.members[index], sheet.grey)
        if separation >= needed:
            chain = _trim(chains.members[index], sheet.grey)
            line = _describe_line(chain, sheet.light_on_dark, float(chains.gap[index]))
            yield sheet, weight + WEIGHT_SEPARATION * separation, line.scale(1 / sheet.scale)


def _separate_glyphs(chain: Floats, grey: Pixels) -> float:
    step = max(1, math.ceil(len(chain) / SEPARATED_GLYPHS))
    return statistics.median(_separate(_cut_glyph(glyph, grey)) for glyph in chain[::step].tolist())


def _cut_glyph(glyph: list[float], grey: Pixels) -> Pixels:
    left, top, width, height, _ = (int(value) for value in glyph)
    margin = 1 + height // 8
    rows = slice(max(0, top - margin), top + height + margin)
    return grey[rows, max(0, left - margin) : left + width + margin]


def _separate(grey: Pixels) -> float:
    """How well a region falls into two greys, 0..1: the share of its variance between Otsu's classes."""
    _, light = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mean, deviation = cv2.meanStdDev(grey)
    share = cv2.countNonZero(light) / light.size
    if not 0 < share < 1:
        return 0.0
    above = cv2.mean(grey, light)[0] - mean[0, 0]
    return float(share / (1 - share) * (above / deviation[0, 0]) ** 2)


def _trim(chain: Floats, grey: Pixels) -> Floats:
    """Without the glyphs at either end that belong to what lies beside the text."""
    # The upper median: NumPy's own takes ten times as long on a handful of values.
    typical = float(np.sort(chain[:, 3])[len(chain) // 2])

    def belongs(glyph: list[float]) -> bool:
        return (
            MIN_END_HEIGHT * typical <= glyph[3] <= MAX_END_HEIGHT * typical
            and _separate(_cut_glyph(glyph, grey)) >= MIN_END_SEPARATION
        )

    glyphs = chain.tolist()
    first, last = 0, len(glyphs)
    while last - first > SHORTEST_CHAIN and not belongs(glyphs[first]):
        first += 1
    while last - first > SHORTEST_CHAIN and not belongs(glyphs[last - 1]):
        last -= 1
    return chain[first:last]


def _describe_line(chain: Floats, light_on_dark: bool, gap: float) -> TextLine:
    left, top, width, height, _ = chain.T
    return TextLine(
        left=float(left.min()),
        top=float(top.min()),
        right=float((left + width).max()),
        bottom=float((top + height).max()),
        glyph_height=float(np.sort(height)[len(height) // 2]),
        glyphs=len(chain),
        light_on_dark=light_on_dark,
        slope=measure_slope(chain),
        gap=gap,
    )


def _keep_best(candidates: list[tuple[float, TextLine]]) -> list[TextLine]:
    kept: list[TextLine] = []
    for _, line in sorted(candidates, key=lambda candidate: -candidate[0]):
        if not any(_covers(other, line) for other in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: -line.glyphs)


def _covers(better: TextLine, line: TextLine) -> bool:
    across = min(better.right, line.right) - max(better.left, line.left)
    down = min(better.bottom, line.bottom) - max(better.top, line.top)
    area = (line.right - line.left) * (line.bottom - line.top)
    return across > 0 and down > 0 and across * down > 0.5 * area
