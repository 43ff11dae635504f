"""Colours: how far two are apart, and in which cells of the Lab space to look for those near one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]
Lab = tuple[float, float, float]

NEAR = 20.0
"""Largest CIE76 distance of colours that count as near."""
_CELL = 20.0
_ROUNDING = 1e-9
# Lab of sRGB lies within -108 and 100, so that cells of 20 fit into a cube of 32 a side.
_CELL_MIDDLE = 16
_CELL_STRIDES = (1_024, 32, 1)


@lru_cache(maxsize=65_536)
def lab_of(rgb: Rgb) -> Lab:
    """CIE L*a*b* (D65) of an sRGB colour; IEC 61966-2-1 and CIE 15."""
    red, green, blue = map(_linear, rgb)
    x = _root((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047)
    y = _root(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _root((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def is_near(wanted: Rgb, colors: Iterable[Rgb]) -> bool:
    """True when one of the colours is near the wanted one."""
    target, darkest, lightest = _target(wanted)
    linear = _linear_levels()
    for color in colors:
        red, green, blue = color
        # Colours that differ in lightness alone by more need no roots.
        luminance = 0.2126729 * linear[red] + 0.7151522 * linear[green] + 0.0721750 * linear[blue]
        if darkest <= luminance <= lightest and math.dist(target, lab_of(color)) <= NEAR:
            return True
    return False


@lru_cache(maxsize=65_536)
def cell_of(rgb: Rgb) -> str:
    """The cell of the Lab space that a colour lies in, as a short text."""
    light, green_red, blue_yellow = lab_of(rgb)
    floor = math.floor
    return f"{floor(light / _CELL)}:{floor(green_red / _CELL)}:{floor(blue_yellow / _CELL)}"


def cells_of(colors: Sequence[Rgb]) -> list[str]:
    """What ``cell_of`` gives for each of many colours, about ten times as fast."""
    if not colors:
        return []
    red, green, blue = _all_linear()[np.array(colors, np.intp).reshape(-1, 3)].T
    x = _roots((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047)
    y = _roots(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _roots((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883)
    lab = np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=1)
    cells = np.floor(lab / _CELL).astype(int) + _CELL_MIDDLE
    return [*map(_cell_name, (cells @ _CELL_STRIDES).tolist())]


def cells_near(wanted: Rgb) -> list[str]:
    """All cells that may hold a colour near the wanted one; at most 27."""
    ranges = [
        range(math.floor((value - NEAR) / _CELL), math.floor((value + NEAR) / _CELL) + 1)
        for value in lab_of(wanted)
    ]
    return [":".join(map(str, cell)) for cell in product(*ranges)]


@lru_cache(maxsize=16_384)
def _cell_name(place: int) -> str:
    """The cell at a place in a cube of 32 cells a side."""
    return f"{(place >> 10) - _CELL_MIDDLE}:{(place >> 5 & 31) - _CELL_MIDDLE}:{(place & 31) - _CELL_MIDDLE}"


@lru_cache(maxsize=256)
def _target(rgb: Rgb) -> tuple[Lab, float, float]:
    """A wanted colour, and the luminances between which all colours near it lie."""
    lab = lab_of(rgb)
    return lab, _luminance(lab[0] - NEAR) - _ROUNDING, _luminance(lab[0] + NEAR) + _ROUNDING


def _luminance(lightness: float) -> float:
    """Y of L*: the inverse of what ``lab_of`` does."""
    root = (lightness + 16) / 116
    return root**3 if root**3 > 216 / 24389 else (116 * root - 16) * 27 / 24389


@lru_cache(maxsize=1)
def _linear_levels() -> tuple[float, ...]:
    return tuple(map(_linear, range(256)))


@lru_cache(maxsize=256)
def _linear(level: int) -> float:
    channel = level / 255
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=1)
def _all_linear() -> npt.NDArray[np.float64]:
    return np.array([_linear(level) for level in range(256)])


def _roots(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(values > 216 / 24389, np.cbrt(values), (24389 / 27 * values + 16) / 116)


def _root(value: float) -> float:
    return float(value ** (1 / 3)) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116
