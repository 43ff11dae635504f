"""What OCR is asked to read: the whole page where there are many lines, else a few cut-out blocks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from services.analyzer.text.engine import Segmentation
from services.analyzer.text.gate import TextLine

PAGE_FROM_LINES = 8
PAGE_FROM_GLYPHS = 120
PAGE_GLYPH_PX = 20
PAGE_EDGE_PX = 2200
BLOCK_GLYPH_PX = 32
BLOCK_EDGE_PX = 2200
BLOCK_MARGIN = 0.3
MAX_SCALE = 4.0
# Bounds the time spent on a texture that looks like text; the blocks with most glyphs are read.
MAX_BLOCKS = 12
# A tilt below this costs the engine nothing; the slope of a few glyphs is a guess.
MIN_SLOPE = 0.02
SLOPE_FROM_GLYPHS = 4


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A region in full-resolution pixels, right and bottom exclusive, and how to show it to the engine.

    ``slope`` is the rise of its lines, downwards positive.
    """

    left: int
    top: int
    right: int
    bottom: int
    glyph_height: float
    scale: float
    light_on_dark: bool
    segmentation: Segmentation
    slope: float = 0.0
    lines: tuple[TextLine, ...] = ()


def plan_blocks(lines: Sequence[TextLine], width: int, height: int) -> list[TextBlock]:
    """Plan what to read of a picture of ``width`` x ``height`` pixels, in reading order."""
    blocks: list[TextBlock] = []
    groups: list[list[TextLine]] = []
    for light_on_dark in (False, True):
        same = [line for line in lines if line.light_on_dark is light_on_dark]
        if len(same) >= PAGE_FROM_LINES or sum(line.glyphs for line in same) >= PAGE_FROM_GLYPHS:
            blocks.append(_plan_page(same, width, height))
        else:
            groups += _group_lines(same)
    groups.sort(key=lambda group: -sum(line.glyphs for line in group))
    blocks += [_plan_block(group, width, height) for group in groups[:MAX_BLOCKS]]
    return sorted(blocks, key=lambda block: (block.top, block.left))


def _plan_page(lines: Sequence[TextLine], width: int, height: int) -> TextBlock:
    glyph = statistics.median(line.glyph_height for line in lines)
    scale = min(PAGE_GLYPH_PX / glyph, PAGE_EDGE_PX / max(width, height), MAX_SCALE)
    return TextBlock(
        0,
        0,
        width,
        height,
        glyph,
        scale,
        lines[0].light_on_dark,
        Segmentation.PAGE,
        _measure_slope(lines),
        tuple(lines),
    )


def _plan_block(lines: Sequence[TextLine], width: int, height: int) -> TextBlock:
    glyph = statistics.median(line.glyph_height for line in lines)
    # Cut close: what surrounds a sign confuses the engine more than a lost neighbour costs.
    margin = BLOCK_MARGIN * glyph
    left = max(0, math.floor(min(line.left for line in lines) - margin))
    right = min(width, math.ceil(max(line.right for line in lines) + margin))
    top = max(0, math.floor(min(line.top for line in lines) - margin))
    bottom = min(height, math.ceil(max(line.bottom for line in lines) + margin))
    scale = min(BLOCK_GLYPH_PX / glyph, BLOCK_EDGE_PX / max(right - left, bottom - top), MAX_SCALE)
    segmentation = Segmentation.LINE if len(lines) == 1 else Segmentation.BLOCK
    slope = _measure_slope(lines)
    return TextBlock(
        left, top, right, bottom, glyph, scale, lines[0].light_on_dark, segmentation, slope, tuple(lines)
    )


def _measure_slope(lines: Sequence[TextLine]) -> float:
    """The slope that half of the glyphs do not exceed; 0 where it does not matter."""
    known = sorted((line for line in lines if line.glyphs >= SLOPE_FROM_GLYPHS), key=lambda line: line.slope)
    slopes = [line.slope for line in known for _ in range(line.glyphs)]
    slope = slopes[len(slopes) // 2] if slopes else 0.0
    return slope if abs(slope) >= MIN_SLOPE else 0.0


def _group_lines(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Lines of like height that stand one under another, or side by side, make one block."""
    groups: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: (line.top, line.left)):
        joined = [group for group in groups if any(_adjoin(line, other) for other in group)]
        rest = [group for group in groups if group not in joined]
        groups = [*rest, [*(member for group in joined for member in group), line]]
    return groups


def _adjoin(line: TextLine, other: TextLine) -> bool:
    smaller, larger = sorted((line.glyph_height, other.glyph_height))
    between_rows = max(line.top, other.top) - min(line.bottom, other.bottom)
    between_columns = max(line.left, other.left) - min(line.right, other.right)
    return larger <= 1.6 * smaller and between_rows <= 1.5 * smaller and between_columns <= 3 * smaller
