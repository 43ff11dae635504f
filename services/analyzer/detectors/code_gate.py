"""Where in a picture a bar or matrix code may be: a cheap look before an expensive search.

Printed codes have two brightnesses and many edges close together, along one axis (stripes) or along both
(squares). Each cell of ``CELL_PX`` is judged with its neighbours: the moments of its brightness say whether
there are two levels (Pearson: kurtosis - skewness^2 is 1 for two levels, 3 for noise), the mean steps to the
right and down how dense the edges are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.picture import Pixels

CELL_PX = 8
MIN_DEVIATION = 12.0
# Mean step between neighbouring pixels over standard deviation: squares along both axes, stripes along one.
MIN_SQUARE_EDGES, MIN_STRIPE_EDGES = 0.35, 0.3
MAX_SQUARE_LEVELS, MAX_STRIPE_LEVELS = 1.7, 1.9
MAX_SQUARE_SLANT, MIN_STRIPE_SLANT = 1.8, 1.4
# A single edge is stripy, too; a bar code is so for this many cells in a row.
STRIPE_RUN_CELLS = 4
MIN_SQUARE_CELLS, MIN_STRIPE_CELLS = 5, 100
# Quiet zones: what a search needs to see around a code.
SQUARE_MARGIN_CELLS, STRIPE_MARGIN_CELLS = 4, 5
# Regions that cover more than this share are searched as one: the whole picture.
WHOLE_SHARE = 0.7

Mask = npt.NDArray[np.bool_]
Cells = npt.NDArray[np.float32]
Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Regions:
    """Parts of a picture as (rows, columns), in pixels.

    ``squares`` look like matrix codes, ``upright`` and ``lying`` like bars that stand side by side or lie one
    above the other.
    """

    squares: list[Region]
    upright: list[Region]
    lying: list[Region]


def find_code_regions(grey: Pixels, *, with_squares: bool = True) -> Regions:
    """Find where codes with modules of about 2 to 6 pixels may be; ``grey`` has at least one cell.

    Without squares most photos end after the first, cheap look: few have stripes of any kind.
    """
    size = (grey.shape[1] // CELL_PX, grey.shape[0] // CELL_PX)
    grey = grey[: size[1] * CELL_PX, : size[0] * CELL_PX]
    right, down = _measure_steps(grey, size)
    if not with_squares and not _has_runs(right, down):
        return Regions([], [], [])
    variance, levels = _measure_levels(grey, size)
    deviation = np.sqrt(variance)
    strong, weak = np.maximum(right, down), np.minimum(right, down)
    contrast = deviation > MIN_DEVIATION
    squares = contrast & (levels < MAX_SQUARE_LEVELS) & (strong < MAX_SQUARE_SLANT * weak)
    squares &= strong + weak > MIN_SQUARE_EDGES * deviation
    stripes = contrast & (levels < MAX_STRIPE_LEVELS) & (strong + weak > MIN_STRIPE_EDGES * deviation)
    upright = _join_runs(stripes & (right > MIN_STRIPE_SLANT * down), (2, STRIPE_RUN_CELLS))
    lying = _join_runs(stripes & (down > MIN_STRIPE_SLANT * right), (STRIPE_RUN_CELLS, 2))
    found = _list_regions(squares.astype(np.uint8), MIN_SQUARE_CELLS, SQUARE_MARGIN_CELLS, 0.0)
    return Regions(
        found if with_squares else [],
        _list_regions(upright, MIN_STRIPE_CELLS, STRIPE_MARGIN_CELLS, 0.5),
        _list_regions(lying, MIN_STRIPE_CELLS, STRIPE_MARGIN_CELLS, 0.5),
    )


def _measure_steps(grey: Pixels, size: tuple[int, int]) -> tuple[Cells, Cells]:
    """Mean step to the right and down, a cell; bordered to whole cells, which OpenCV averages much faster."""
    right = cv2.copyMakeBorder(cv2.absdiff(grey[:, 1:], grey[:, :-1]), 0, 0, 0, 1, cv2.BORDER_REPLICATE)
    down = cv2.copyMakeBorder(cv2.absdiff(grey[1:], grey[:-1]), 0, 1, 0, 0, cv2.BORDER_REPLICATE)
    return _average(right, size), _average(down, size)


def _has_runs(right: Cells, down: Cells) -> bool:
    """Whether there are runs of cells with steps along one axis, without which no stripes are found."""
    dense = right + down > MIN_STRIPE_EDGES * MIN_DEVIATION
    upright = _join_runs(dense & (right > MIN_STRIPE_SLANT * down), (2, STRIPE_RUN_CELLS))
    lying = _join_runs(dense & (down > MIN_STRIPE_SLANT * right), (STRIPE_RUN_CELLS, 2))
    return bool(upright.any() or lying.any())


def _average(pixels: Pixels, size: tuple[int, int]) -> Cells:
    cells = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.blur(cells, (3, 3)), np.float32)


def _measure_levels(grey: Pixels, size: tuple[int, int]) -> tuple[Cells, Cells]:
    """Variance and kurtosis - skewness^2 a cell, of every second pixel: averages would blur two levels."""
    values = grey[::2, ::2].astype(np.float32) - 128
    squared = values * values
    m1, m2, m3, m4 = (
        _average(power, size) for power in (values, squared, squared * values, squared * squared)
    )
    mean2 = m1 * m1
    variance = np.maximum(m2 - mean2, 1)
    skew = m3 - 3 * m1 * m2 + 2 * m1 * mean2
    fourth = m4 - 4 * m1 * m3 + 6 * mean2 * m2 - 3 * mean2 * mean2
    return variance, (fourth - skew * skew / variance) / (variance * variance)


def _join_runs(mask: Mask, shape: tuple[int, int]) -> Pixels:
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones(shape, np.uint8))
    # Wide bars part what belongs together: stripes are joined over gaps and searched well beyond their ends.
    return cv2.dilate(opened, np.ones((5, 5), np.uint8))


def _list_regions(mask: Pixels, min_cells: int, margin: int, growth: float) -> list[Region]:
    rows, columns = mask.shape
    found: list[Region] = []
    covered = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for x, y, width, height, cells in stats[1:].tolist():
        if cells < min_cells:
            continue
        across, down = margin + int(growth * width), margin + int(growth * height)
        left, right = max(x - across, 0), min(x + width + across, columns)
        top, bottom = max(y - down, 0), min(y + height + down, rows)
        covered += (right - left) * (bottom - top)
        found.append((_scale(top, bottom, rows), _scale(left, right, columns)))
    return [(slice(None), slice(None))] if covered > WHOLE_SHARE * rows * columns else found


def _scale(first: int, end: int, cells: int) -> slice:
    # The last cell takes along what is left of the picture beside it.
    return slice(first * CELL_PX, None if end == cells else end * CELL_PX)
