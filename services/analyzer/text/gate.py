"""Where text may be: rows of glyph-like shapes, found in a few milliseconds, so that OCR runs only there.

A pixel is ink if it stands out from the mean around it, darker or lighter. Connected ink of a glyph's
proportions is linked to its nearest right neighbour of like height on the same line; a chain that lies
straight and stands out like print is a line of text, the shorter the stricter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.picture import Pixels

WINDOW_PX = 31
INK_CONTRAST = 12
SHORTEST_CHAIN = 3
LONG_CHAIN = 6
MAX_SLOPE = 0.25
MIN_GLYPH_ASPECT = 0.3
# Texture can be all glyphs; the largest of them are enough to judge it.
MAX_GLYPHS = 4000


@dataclass(frozen=True, slots=True)
class _Bar:
    """What a chain must reach to count as text.

    ``cover`` share of the ink in its box that belongs to it; ``separation`` 0..1 how well its box falls into
    two greys (Otsu). ``stray`` and ``spread`` bound how far glyphs lie off one base line and one height, in
    median heights; ``fill`` is the share of a glyph's own box that is ink: leaves and wires have less.
    """

    cover: float
    separation: float
    stray: float
    spread: float
    fill: float


# Measured on rendered signs against textless photos: a long chain is evidence in itself, a short one is not.
LONG_BAR = _Bar(cover=0.65, separation=0.65, stray=0.2, spread=0.3, fill=0.3)
SHORT_BAR = _Bar(cover=0.85, separation=0.78, stray=0.1, spread=0.16, fill=0.36)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line in pixels of the picture that was searched: corners, median glyph height, number of glyphs."""

    left: float
    top: float
    right: float
    bottom: float
    glyph_height: float
    glyphs: int
    light_on_dark: bool

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


def find_lines(grey: Pixels) -> list[TextLine]:
    """Find lines of text of either polarity, most glyphs first; lines that lie on better ones are dropped."""
    kept: list[TextLine] = []
    for line in sorted(_find_chains(grey), key=lambda line: -line.glyphs):
        if not any(_covers(other, line) for other in kept):
            kept.append(line)
    return kept


def _find_chains(grey: Pixels) -> list[TextLine]:
    mean = cv2.blur(grey, (WINDOW_PX, WINDOW_PX))
    lines: list[TextLine] = []
    for light_on_dark in (False, True):
        difference = cv2.subtract(grey, mean) if light_on_dark else cv2.subtract(mean, grey)
        ink = cv2.threshold(difference, INK_CONTRAST, 255, cv2.THRESH_BINARY)[1]
        for chain in _chain_glyphs(_find_glyphs(ink)):
            bar = LONG_BAR if len(chain) >= LONG_CHAIN else SHORT_BAR
            if _is_straight(chain, bar) and _is_printed(chain, grey, ink, bar):
                lines.append(_describe_line(chain, light_on_dark))
    return lines


def _find_glyphs(ink: Pixels) -> Floats:
    """Shapes of a glyph's proportions as rows of left, top, width, height, area; sorted by left edge."""
    stats = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]
    _, _, width, height, area = stats.T
    likely = (height >= 5) & (height <= 0.6 * ink.shape[0]) & (width <= 4 * height) & (height <= 12 * width)
    glyphs: Floats = stats[likely & (area >= 8) & (area >= 0.12 * width * height)].astype(np.float32)
    if len(glyphs) > MAX_GLYPHS:
        glyphs = glyphs[np.argpartition(-glyphs[:, 4], MAX_GLYPHS)[:MAX_GLYPHS]]
    by_left_edge: Floats = glyphs[np.argsort(glyphs[:, 0], kind="stable")]
    return by_left_edge


def _chain_glyphs(glyphs: Floats) -> list[Floats]:
    if len(glyphs) < SHORTEST_CHAIN:
        return []
    ends = _follow(_link_right(glyphs))
    counts = np.bincount(ends, minlength=len(glyphs))
    return [glyphs[ends == end] for end in np.flatnonzero(counts >= SHORTEST_CHAIN)]


def _link_right(glyphs: Floats) -> Ints:
    """The index of each glyph's nearest right neighbour on its line, or its own where there is none."""
    left, top, width, height, _ = glyphs.T
    right, bottom = left + width, top + height
    count = len(glyphs)
    first = np.maximum(np.searchsorted(left, left + 0.3 * width, side="right"), np.arange(count) + 1)
    spans = np.maximum(np.searchsorted(left, right + 1.5 * height, side="right") - first, 0)
    i = np.repeat(np.arange(count), spans)
    j = np.arange(spans.sum()) - np.repeat(np.cumsum(spans) - spans, spans) + np.repeat(first, spans)
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


def _is_straight(chain: Floats, bar: _Bar) -> bool:
    left, top, width, height, area = chain.T
    typical = _middle(height)
    if (
        _middle(np.abs(height - typical)) > bar.spread * typical
        or _middle(width) < MIN_GLYPH_ASPECT * typical
    ):
        return False
    if _middle(area / (width * height)) < bar.fill:
        return False
    across = left + width / 2
    across -= across.mean()
    base = top + height
    base -= base.mean()
    slope = float(across @ base) / max(float(across @ across), 1.0)
    return abs(slope) <= MAX_SLOPE and _middle(np.abs(base - slope * across)) <= bar.stray * typical


def _middle(values: Floats) -> float:
    """The upper median; NumPy's own takes ten times as long on a handful of values."""
    return float(np.sort(values)[len(values) // 2])


def _is_printed(chain: Floats, grey: Pixels, ink: Pixels, bar: _Bar) -> bool:
    left, top, width, height, area = chain.T
    box = np.s_[int(top.min()) : int((top + height).max()), int(left.min()) : int((left + width).max())]
    if area.sum() < bar.cover * cv2.countNonZero(ink[box]):
        return False
    return _separate(grey[box]) >= bar.separation


def _separate(grey: Pixels) -> float:
    """How well a region falls into two greys, 0..1: the share of its variance between Otsu's classes."""
    level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    light = grey > level
    share = float(light.mean())
    if not 0 < share < 1:
        return 0.0
    step = float(grey[light].mean() - grey[~light].mean())
    return share * (1 - share) * step * step / float(grey.var())


def _describe_line(chain: Floats, light_on_dark: bool) -> TextLine:
    left, top, width, height, _ = chain.T
    return TextLine(
        left=float(left.min()),
        top=float(top.min()),
        right=float((left + width).max()),
        bottom=float((top + height).max()),
        glyph_height=_middle(height),
        glyphs=len(chain),
        light_on_dark=light_on_dark,
    )


def _covers(better: TextLine, line: TextLine) -> bool:
    across = min(better.right, line.right) - max(better.left, line.left)
    down = min(better.bottom, line.bottom) - max(better.top, line.top)
    area = (line.right - line.left) * (line.bottom - line.top)
    return across > 0 and down > 0 and across * down > 0.5 * area
