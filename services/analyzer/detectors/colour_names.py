"""The nearest CSS colour name."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageColor

Floats = npt.NDArray[np.float32]


def name_colour(red: int, green: int, blue: int) -> str:
    """Name the nearest CSS colour by CIE76, the distance in Lab, which follows the eye better than RGB."""
    names, table = _load_table()
    distances = np.square(table - _convert_to_lab([[red, green, blue]])).sum(axis=1)
    return names[int(distances.argmin())]


@functools.cache
def _load_table() -> tuple[list[str], Floats]:
    # Of two names for one colour the American spelling comes first in the alphabet.
    names = sorted(ImageColor.colormap)
    return names, _convert_to_lab([ImageColor.getrgb(name)[:3] for name in names])


def _convert_to_lab(colours: object) -> Floats:
    rgb = np.asarray(colours, np.float32).reshape(-1, 1, 3) / 255
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), np.float32).reshape(-1, 3)
