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
SIDEWAYS_BAR = BAR + 1.5
# A whole line parts less cleanly than its glyphs, by at most this.
SEPARATION_SLACK = 0.15
# A region's greys are told from a sample of them.
SAMPLE_PX = 2048

# Beside ground of their own shade glyphs run into it. A short line, or one that weighs nearly enough, is
# looked at again, its ink by the level that parts the line from its ground. What has more glyphs then is text
# at a lower bar: of 138 looks at textless photos the best weighs 23.05; but bricks weigh more, and fill less
# of their box.
CLOSER_SLACK = 1.5
CLOSER_BAR = BAR - 0.6
CLOSER_COVER = 0.75
CLOSER_FROM_GLYPHS = 3
CLOSER_TO_GLYPHS = 8
CLOSER_REACH = 12
# More such lines are a page, or a texture.
MAX_CLOSER_LOOKS = 6


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line in pixels of the picture that was searched: corners, median glyph height, number of glyphs.

    ``slope`` is the rise of its base line, downwards positive; ``gap`` the mean space between glyphs, in
    their heights. ``level`` is the grey value that parts all of it from its ground, where one was needed to
    see it.
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
    level: float | None = None

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
    """The picture in one size, its ink of one polarity, and what a chain of it must have to be text."""

    grey: Pixels
    ink: Pixels
    shapes: Floats
    scale: float
    light_on_dark: bool
    sideways: bool = False
    bar: float = BAR
    shortest: int = SHORTEST_CHAIN
    least_cover: float = 0.0
    level: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A line in its sheet's pixels, and by how much it weighs more than is needed: it may be less."""

    sheet: _Sheet
    excess: float
    line: TextLine


def find_lines(grey: Pixels) -> list[TextLine]:
    """Lines of text of either polarity, most glyphs first; lines that lie on better ones are dropped."""
    return survey(grey).upright


def survey(grey: Pixels) -> Survey:
    """Look for lines of both directions."""
    sheets = list(_lay_out(grey))
    if not sheets:
        return Survey([], [])
    found = list(_judge(sheets))
    closer = [_look_closer(candidate) for candidate in _choose_unclear(found)]
    if closer:
        found += _judge(closer)
    return Survey(*(_keep_best(found, sideways) for sideways in (False, True)))


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
            upright = _Sheet(small, ink, shapes, scale, light_on_dark)
            yield upright
            yield _turn(upright)


def _turn(sheet: _Sheet) -> _Sheet:
    """The sheet turned clockwise by 90 degrees."""
    return _Sheet(
        sheet.grey.T[:, ::-1],
        sheet.ink.T[:, ::-1],
        turn_shapes(sheet.shapes, sheet.grey.shape[0]),
        sheet.scale,
        sheet.light_on_dark,
        sideways=True,
        bar=SIDEWAYS_BAR,
        shortest=SHORTEST_SIDEWAYS,
    )


def _choose_unclear(found: Sequence[_Candidate]) -> Sequence[_Candidate]:
    unclear = [
        candidate
        for candidate in found
        if not candidate.sheet.sideways and CLOSER_FROM_GLYPHS <= candidate.line.glyphs <= CLOSER_TO_GLYPHS
    ]
    return unclear if len(unclear) <= MAX_CLOSER_LOOKS else ()


def _look_closer(candidate: _Candidate) -> _Sheet:
    """The sheet with other ink: around the line only, by the level that parts the line from its ground."""
    sheet, line = candidate.sheet, candidate.line
    box = np.s_[int(line.top) : int(line.bottom), int(line.left) : int(line.right)]
    level, _ = cv2.threshold(sheet.grey[box], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    aside, above = CLOSER_REACH * line.glyph_height, 2 * line.glyph_height
    left, top = max(0, int(line.left - aside)), max(0, int(line.top - above))
    around = np.s_[top : int(line.bottom + above), left : int(line.right + aside)]
    kind = cv2.THRESH_BINARY if sheet.light_on_dark else cv2.THRESH_BINARY_INV
    ink = np.zeros_like(sheet.grey)
    ink[around] = cv2.threshold(sheet.grey[around], level, 255, kind)[1]
    _, shortest, tallest = next(limits for limits in SCALES if limits[0] == sheet.scale)
    shapes = find_shapes(ink[around], shortest, tallest)
    shapes[:, :2] += (left, top)
    return replace(
        sheet,
        ink=ink,
        shapes=shapes,
        bar=CLOSER_BAR,
        shortest=line.glyphs + 1,
        least_cover=CLOSER_COVER,
        level=level,
    )


def _judge(sheets: Sequence[_Sheet]) -> Iterator[_Candidate]:
    chains = chain_glyphs([sheet.shapes for sheet in sheets], SHORTEST_CHAIN)
    lengths = np.array([len(chain) for chain in chains.members])
    slopes = np.abs(chains.slope)
    weights = WEIGHT_LENGTH * np.log(lengths) + WEIGHT_STRAY * chains.stray + WEIGHT_SLOPE * slopes
    bars = np.array([sheet.bar for sheet in sheets])[chains.sheets]
    short = (lengths >= CLOSER_FROM_GLYPHS) & (lengths <= CLOSER_TO_GLYPHS)
    floors = bars - CLOSER_SLACK * (short & (bars == BAR))
    shortest = np.array([sheet.shortest for sheet in sheets])[chains.sheets]
    hopeful = (lengths >= shortest) & (slopes <= MAX_SLOPE)
    hopeful &= weights + WEIGHT_COVER + WEIGHT_SEPARATION >= floors
    for index in np.flatnonzero(hopeful).tolist():
        sheet, chain = sheets[chains.sheets[index]], chains.members[index]
        left, top, right, bottom = chains.boxes[index].tolist()
        box = np.s_[top:bottom, left:right]
        cover = float(chains.areas[index]) / max(1, cv2.countNonZero(sheet.ink[box]))
        weight = float(weights[index]) + WEIGHT_COVER * cover
        needed = (float(floors[index]) - weight) / WEIGHT_SEPARATION
        if cover < sheet.least_cover or _separate(sheet.grey[box]) < needed - SEPARATION_SLACK:
            continue
        separation = _separate_glyphs(chain, sheet.grey, needed)
        if separation >= needed:
            line = _describe_line(_trim(chain, sheet.grey), sheet.light_on_dark, float(chains.gap[index]))
            line = replace(line, level=sheet.level)
            yield _Candidate(sheet, weight + WEIGHT_SEPARATION * separation - sheet.bar, line)


def _separate_glyphs(chain: Floats, grey: Pixels, needed: float) -> float:
    """The median of its glyphs; 0 once it is known to be less than ``needed``."""
    step = max(1, math.ceil(len(chain) / SEPARATED_GLYPHS))
    glyphs = chain[::step].tolist()
    separations: list[float] = []
    failed = 0
    for glyph in glyphs:
        separations.append(_separate(_cut_glyph(glyph, grey)))
        failed += separations[-1] < needed
        if 2 * failed > len(glyphs):
            return 0.0
    return statistics.median(separations)


def _cut_glyph(glyph: list[float], grey: Pixels) -> Pixels:
    left, top, width, height, _ = (int(value) for value in glyph)
    margin = 1 + height // 8
    rows = slice(max(0, top - margin), top + height + margin)
    return grey[rows, max(0, left - margin) : left + width + margin]


def _separate(grey: Pixels) -> float:
    """How well a region falls into two greys, 0..1: the share of its variance between Otsu's classes."""
    if grey.size > 2 * SAMPLE_PX:
        step = math.isqrt(grey.size // SAMPLE_PX)
        grey = np.ascontiguousarray(grey[::step, ::step])
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


def _keep_best(found: Sequence[_Candidate], sideways: bool) -> list[TextLine]:
    text = [each for each in found if each.sheet.sideways is sideways and each.excess >= 0]
    kept: list[TextLine] = []
    for candidate in sorted(text, key=lambda candidate: -(candidate.excess + candidate.sheet.bar)):
        line = candidate.line.scale(1 / candidate.sheet.scale)
        if not any(_covers(other, line) for other in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: -line.glyphs)


def _covers(better: TextLine, line: TextLine) -> bool:
    across = min(better.right, line.right) - max(better.left, line.left)
    down = min(better.bottom, line.bottom) - max(better.top, line.top)
    area = (line.right - line.left) * (line.bottom - line.top)
    return across > 0 and down > 0 and across * down > 0.5 * area
