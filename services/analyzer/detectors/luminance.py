"""Brightness, contrast, sharpness and quality from full-resolution luma (formulas of the Peek contract),
exposure, and colourfulness (Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from services.analyzer.detector import Cancellation
from services.analyzer.picture import Picture, Pixels

# Bands of this height keep the 16-bit Laplacian in the processor's cache.
BAND_ROWS = 128
SHADOW_LUMA, HIGHLIGHT_LUMA = 5, 250
# Every n-th pixel of larger pictures: at most 1 unit of colourfulness off on photos.
COLOUR_SAMPLE_EDGE_PX = 256


class BlurLevel(enum.StrEnum):
    """How blurred: Laplacian variance under 100 is high, under 500 medium, else low."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Luminance:
    """Measures of the grey picture.

    ``brightness`` 0..255, integer part of the mean. ``laplacian_variance`` >= 0, of the kernel
    0 1 0 / 1 -4 1 / 0 1 0. ``sharpness`` min(variance / 10, 100); ``contrast`` min(population standard
    deviation, 100); ``quality`` min(0.6 sharpness + 0.4 contrast, 100) of the unrounded two. The three
    scores are 0..100 with 2 decimals. ``shadow_share`` and ``highlight_share`` 0..1, of pixels with a luma of
    at most 5 and of at least 250; ``clipped_share`` is their sum. ``colorfulness`` >= 0 with 2 decimals: 0 is
    grey, 33 moderate, over 80 very colourful.
    """

    brightness: int
    contrast: float
    laplacian_variance: float
    sharpness: float
    blur_level: BlurLevel
    quality: float
    clipped_share: float
    shadow_share: float
    highlight_share: float
    colorfulness: float


class LuminanceDetector:
    """Measures every pixel's luma: samples and reduced decodes change sharpness many times over."""

    name: ClassVar[str] = "luminance"
    version: ClassVar[str] = "2"

    def settings(self) -> Mapping[str, object]:
        """The size of the sample of colours; the formulas are the contract's."""
        return {"colour_sample_edge_px": COLOUR_SAMPLE_EDGE_PX}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> Luminance:
        """Measure ``picture.grey``, and colourfulness on a sample of ``picture.rgb``."""
        mean, deviation = cv2.meanStdDev(picture.grey)
        variance = measure_laplacian_variance(picture.grey)
        sharpness = min(variance / 10, 100.0)
        contrast = min(float(deviation[0, 0]), 100.0)
        shadow, highlight = (count / picture.grey.size for count in count_clipped(picture.grey))
        step = -(-max(picture.rgb.shape[:2]) // COLOUR_SAMPLE_EDGE_PX)
        return Luminance(
            # By whole numbers: the mean of equal pixels may come out a hair below their value.
            brightness=round(mean[0, 0] * picture.grey.size) // picture.grey.size,
            contrast=round(contrast, 2),
            laplacian_variance=variance,
            sharpness=round(sharpness, 2),
            blur_level=rate_blur(variance),
            quality=round(min(0.6 * sharpness + 0.4 * contrast, 100.0), 2),
            clipped_share=shadow + highlight,
            shadow_share=shadow,
            highlight_share=highlight,
            colorfulness=round(measure_colorfulness(picture.rgb[::step, ::step]), 2),
        )


def rate_blur(laplacian_variance: float) -> BlurLevel:
    """Grade a Laplacian variance."""
    if laplacian_variance < 100:
        return BlurLevel.HIGH
    return BlurLevel.MEDIUM if laplacian_variance < 500 else BlurLevel.LOW


def measure_laplacian_variance(grey: Pixels) -> float:
    """Population variance of the 4-neighbour Laplacian; borders reflect without repeating the edge pixel."""
    height = grey.shape[0]
    total = squares = 0.0
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        first = max(top - 1, 0)
        band = cv2.Laplacian(grey[first : bottom + 1], cv2.CV_16S, ksize=1, borderType=cv2.BORDER_REFLECT_101)
        rows = band[top - first : bottom - first]
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(rows))
        total += mean * rows.size
        squares += (deviation * deviation + mean * mean) * rows.size
    return max(0.0, squares / grey.size - (total / grey.size) ** 2)


def count_clipped(grey: Pixels) -> tuple[int, int]:
    """Count the pixels with a luma of at most 5, and those of at least 250."""
    shadow = highlight = 0
    for top in range(0, grey.shape[0], BAND_ROWS):
        band = grey[top : top + BAND_ROWS]
        shadow += cv2.countNonZero(cv2.inRange(band, 0, SHADOW_LUMA))
        highlight += cv2.countNonZero(cv2.inRange(band, HIGHLIGHT_LUMA, 255))
    return shadow, highlight


def measure_colorfulness(rgb: Pixels) -> float:
    """Sigma + 0.3 mu of the opponent colours R - G and (R + G) / 2 - B of an RGB array (height, width, 3)."""
    opponents = cv2.transform(rgb.astype(np.float32), np.array([[1, -1, 0], [0.5, 0.5, -1]], np.float32))
    mean, deviation = cv2.meanStdDev(opponents)
    return float(np.hypot(*deviation.ravel()) + 0.3 * np.hypot(*mean.ravel()))
