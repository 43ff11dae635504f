"""64-bit perceptual hashes, to find near duplicates by Hamming distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.detector import Cancellation
from services.analyzer.picture import Picture, Pixels


@dataclass(frozen=True, slots=True)
class Hashes:
    """``phash`` of low frequencies, ``dhash`` of left-to-right steps: 0..2**64-1, top left bit first."""

    phash: int
    dhash: int


class HashDetector:
    """Hashes the grey preview: upright, so that a turned copy with its tag has the same hash."""

    name: ClassVar[str] = "hashes"
    version: ClassVar[str] = "1"

    def settings(self) -> Mapping[str, object]:
        """Nothing to set."""
        return {}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> Hashes:
        """Hash ``picture.preview``."""
        return Hashes(hash_frequencies(picture.preview), hash_steps(picture.preview))


def hash_frequencies(grey: Pixels) -> int:
    """Compute pHash: the 8 x 8 lowest frequencies of a 32 x 32 cosine transform, against their median."""
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:8, :8]
    return _pack_bits(low > np.median(low))


def hash_steps(grey: Pixels) -> int:
    """Compute dHash: whether each of 8 x 8 pixels is brighter than its left neighbour."""
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return _pack_bits(small[:, 1:] > small[:, :-1])


def _pack_bits(bits: npt.NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
