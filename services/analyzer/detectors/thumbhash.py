"""ThumbHash: a blurred placeholder of about 25 bytes (Evan Wallace, https://evanw.github.io/thumbhash/)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.detector import Cancellation
from services.analyzer.picture import Picture, Pixels

# The hash holds 7 waves an edge, which 64 averaged pixels carry as exactly as the 100 of the definition.
EDGE_PX = 64
# What rounding leaves of a wave that is not there; scaled up it would fill the hash with noise.
NO_WAVE = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ThumbHash:
    """``data`` is the hash of an opaque picture, 5 bytes of header and up to 20 of waves."""

    data: bytes


class ThumbHashDetector:
    """Hashes the picture averaged down to at most 64 pixels; its sides keep the ratio of the picture's."""

    name: ClassVar[str] = "thumbhash"
    version: ClassVar[str] = "1"

    def settings(self) -> Mapping[str, object]:
        """The size that is hashed."""
        return {"edge_px": EDGE_PX}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> ThumbHash:
        """Hash ``picture.rgb``."""
        return ThumbHash(encode_thumbhash(_shrink(picture.rgb)))


def encode_thumbhash(rgb: Pixels) -> bytes:
    """Hash an opaque RGB array of shape (height, width, 3), at most 100 by 100 by the definition."""
    height, width = rgb.shape[:2]
    waves_x, waves_y = (max(1, round(7 * edge / max(width, height))) for edge in (width, height))
    red, green, blue = (rgb[:, :, channel] / 255 for channel in range(3))
    l_dc, l_ac, l_scale = _encode_channel((red + green + blue) / 3, max(3, waves_x), max(3, waves_y))
    p_dc, p_ac, p_scale = _encode_channel((red + green) / 2 - blue, 3, 3)
    q_dc, q_ac, q_scale = _encode_channel(red - green, 3, 3)
    landscape = width > height
    header = round(63 * l_dc) | round(31.5 + 31.5 * p_dc) << 6 | round(31.5 + 31.5 * q_dc) << 12
    header |= round(31 * l_scale) << 18
    header |= (waves_y if landscape else waves_x) << 24
    header |= round(63 * p_scale) << 27 | round(63 * q_scale) << 33 | landscape << 39
    nibbles = np.rint(15 * np.concatenate([l_ac, p_ac, q_ac])).astype(np.uint8)
    pairs = np.pad(nibbles, (0, len(nibbles) % 2)).reshape(-1, 2)
    return bytes(header.to_bytes(5, "little") + (pairs[:, 0] | pairs[:, 1] << 4).tobytes())


def _encode_channel(channel: Floats, nx: int, ny: int) -> tuple[float, Floats, float]:
    """Cosine transform: the mean, the other low waves as 0..1 of their largest, and that largest."""
    height, width = channel.shape
    table = _tabulate_waves(height, ny) @ channel @ _tabulate_waves(width, nx).T / (width * height)
    cy, cx = np.mgrid[:ny, :nx]
    waves = table[cx * ny < nx * (ny - cy)]
    scale = float(np.abs(waves[1:]).max())
    if scale < NO_WAVE:
        return float(waves[0]), np.zeros(len(waves) - 1), 0.0
    return float(waves[0]), 0.5 + 0.5 / scale * waves[1:], scale


def _tabulate_waves(size: int, count: int) -> Floats:
    table: Floats = np.cos(np.pi / size * np.arange(count)[:, None] * (np.arange(size) + 0.5))
    return table


def _shrink(rgb: Pixels) -> Pixels:
    """Average down by a whole factor, which OpenCV does several times faster."""
    height, width = rgb.shape[:2]
    factor = -(-max(height, width) // EDGE_PX)
    size = (max(1, width // factor), max(1, height // factor))
    return cv2.resize(rgb[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
