"""Dominant colours by k-means on a sample of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.detector import Cancellation
from services.analyzer.detectors.colour_names import name_colour
from services.analyzer.picture import Picture, Pixels

COLOURS = 5
# Every n-th pixel, not an average: averaging invents colours between two real ones. A third start halves the
# largest difference to the palette of all pixels; more pixels than these do not lessen it.
SAMPLE_EDGE_PX = 56
STARTS = 3
SEED = 42
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour: channels 0..255, share of the picture 0..1, ``#rrggbb`` in lower case, nearest CSS name."""

    red: int
    green: int
    blue: int
    share: float
    hex: str
    name: str


@dataclass(frozen=True, slots=True)
class Palette:
    """min(5, pixel count) colours, largest share first; equal colours may stand twice. Shares add up to 1."""

    colours: tuple[Colour, ...]


class ColourDetector:
    """Finds the same palette for the same picture every time: the seed is fixed."""

    name: ClassVar[str] = "colours"
    version: ClassVar[str] = "2"

    def settings(self) -> Mapping[str, object]:
        """What decides the palette."""
        return {"colours": COLOURS, "sample_edge_px": SAMPLE_EDGE_PX, "starts": STARTS, "seed": SEED}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> Palette:
        """Cluster a strided sample of ``picture.rgb``."""
        step = -(-max(picture.rgb.shape[:2]) // SAMPLE_EDGE_PX)
        return find_palette(picture.rgb[::step, ::step])


def find_palette(rgb: Pixels) -> Palette:
    """Cluster all pixels of an RGB array of shape (height, width, 3)."""
    # Three channels in one column: OpenCV takes a single row of numbers for that many samples.
    pixels = rgb.reshape(-1, 1, 3).astype(np.float32)
    count = min(COLOURS, len(pixels))
    cv2.setRNGSeed(SEED)  # per thread in OpenCV, so threads do not disturb each other
    unset = np.zeros((len(pixels), 1), np.int32)
    _, labels, centres = cv2.kmeans(pixels, count, unset, _STOP, STARTS, cv2.KMEANS_PP_CENTERS)
    sizes = np.bincount(np.asarray(labels).ravel(), minlength=count)
    order = np.argsort(-sizes, kind="stable")
    return Palette(tuple(_describe(centres[i], sizes[i] / len(pixels)) for i in order))


def _describe(centre: npt.NDArray[np.float32], share: float) -> Colour:
    red, green, blue = (max(0, min(255, int(value))) for value in centre.ravel())
    hex_code = f"#{red:02x}{green:02x}{blue:02x}"
    return Colour(red, green, blue, float(share), hex_code, name_colour(red, green, blue))
