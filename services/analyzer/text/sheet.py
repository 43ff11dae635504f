"""A block as the engine gets it: cut out, upright, dark on light, of the right size, on even ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.picture import Pixels
from services.analyzer.text.blocks import TextBlock

Affine = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Pixels for the engine, and the 3 x 3 matrix that takes their coordinates to the picture's."""

    pixels: Pixels
    to_picture: Affine

    def place(self, left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        """Left, top, right, bottom in the picture of what surrounds a box on the sheet."""
        corners = np.array([(left, top, 1), (right, top, 1), (left, bottom, 1), (right, bottom, 1)])
        x, y, _ = self.to_picture @ corners.T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def find(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies on the sheet."""
        across, down, _ = np.linalg.solve(self.to_picture, (x, y, 1))
        return float(across), float(down)


def prepare_sheet(grey: Pixels, block: TextBlock) -> Sheet:
    """Prepare ``block`` of a picture."""
    crop = grey[block.top : block.bottom, block.left : block.right]
    level = block.lines[0].level if len(block.lines) == 1 else None
    if block.light_on_dark:
        crop = cv2.bitwise_not(crop)
        level = None if level is None else 255 - level
    if level is not None:
        # As far above the level as the ink is below it; what is lighter would darken the ground beside it.
        crop = cv2.threshold(crop, 2 * level - float(crop.min()), 0, cv2.THRESH_TRUNC)[1]
    method = cv2.INTER_AREA if block.scale < 1 else cv2.INTER_CUBIC
    size = (max(1, round(crop.shape[1] * block.scale)), max(1, round(crop.shape[0] * block.scale)))
    to_sheet = np.diag((size[0] / crop.shape[1], size[1] / crop.shape[0], 1.0))
    to_sheet = to_sheet @ _shift(-block.left, -block.top)
    crop = cv2.resize(crop, size, interpolation=method)
    if block.slope:
        crop, turn = _level(crop, block.slope)
        to_sheet = turn @ to_sheet
    glyph = block.glyph_height * block.scale
    reach = max(3, round(glyph)) | 1
    background = cv2.blur(cv2.dilate(crop, np.ones((reach, reach), np.uint8)), (2 * reach + 1, 2 * reach + 1))
    even = cv2.divide(crop, background, scale=255)
    # White space of one glyph around it, as Tesseract likes it.
    border = round(glyph)
    pixels = cv2.copyMakeBorder(even, border, border, border, border, cv2.BORDER_CONSTANT, value=255)
    return Sheet(pixels, np.linalg.inv(_shift(border, border) @ to_sheet))


def _level(crop: Pixels, slope: float) -> tuple[Pixels, Affine]:
    """Turn lines of that slope level, and cut off what only their tilt had added to the box."""
    height, width = crop.shape
    turn = np.vstack(
        (cv2.getRotationMatrix2D((width / 2, height / 2), math.degrees(math.atan(slope)), 1), (0, 0, 1))
    )
    tilt = abs(slope)
    level_height = max(height - tilt * width, 0.3 * height)
    level_width = max(width - tilt * level_height, 0.3 * width)
    if level_height > 0.5 * width:
        level_width, level_height = width, height
    size = (math.ceil(level_width), math.ceil(level_height))
    turn = _shift((size[0] - width) / 2, (size[1] - height) / 2) @ turn
    level = cv2.warpAffine(crop, turn[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return level, turn


def _shift(x: float, y: float) -> Affine:
    return np.array([(1, 0, x), (0, 1, y), (0, 0, 1)], np.float64)
