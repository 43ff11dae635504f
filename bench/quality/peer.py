"""The peer's method, to be compared with: everything in full, as its contract states the formulas."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from services.analyzer.picture import Box
from services.analyzer.resources import find_cascade, find_tessdata, find_tesseract


@dataclass(frozen=True, slots=True)
class PeerLuminance:
    """The peer's measures; units as in the analyzer's Luminance, nothing rounded."""

    brightness: float
    contrast: float
    laplacian_variance: float

    @property
    def sharpness(self) -> float:
        """0..100."""
        return min(self.laplacian_variance / 10, 100.0)

    @property
    def blur_level(self) -> str:
        """``high``, ``medium`` or ``low``."""
        if self.laplacian_variance < 100:
            return "high"
        return "medium" if self.laplacian_variance < 500 else "low"


def measure_luminance(image: Image.Image) -> PeerLuminance:
    """Brightness, contrast and Laplacian variance of Pillow's grey of the full picture, in numpy."""
    grey = np.asarray(image.convert("L"), np.float64)
    padded = np.pad(grey, 1, mode="reflect")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    return PeerLuminance(float(grey.mean()), min(float(grey.std()), 100.0), float(laplacian.var()))


def find_palette(image: Image.Image) -> list[tuple[tuple[int, int, int], float]]:
    """Five colours and their shares by k-means on all pixels, ten starts; fewer where fewer are there."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - a second that only this subject needs

    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    clusters = min(5, len(np.unique(pixels, axis=0)))
    model = KMeans(n_clusters=clusters, n_init=10, random_state=42).fit(pixels)
    centres: npt.NDArray[np.int64] = model.cluster_centers_.astype(int)
    sizes = np.bincount(model.labels_, minlength=clusters)
    return [
        ((int(red), int(green), int(blue)), float(size / len(pixels)))
        for (red, green, blue), size in zip(centres, sizes, strict=True)
    ]


def find_faces(image: Image.Image) -> list[Box]:
    """OpenCV's default cascade on the full picture."""
    cascade = cv2.CascadeClassifier(str(find_cascade().with_name("haarcascade_frontalface_default.xml")))
    grey = np.asarray(image.convert("L"))
    found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(30, 30))
    return [Box(*(int(number) for number in box)) for box in found]


class PlainTesseract:
    """``pytesseract.image_to_string`` on the picture as it is, in a process of its own each time."""

    def __init__(self, languages: str = "eng") -> None:
        import pytesseract  # noqa: PLC0415 - takes pandas along where it is installed

        self._pytesseract = pytesseract
        pytesseract.pytesseract.tesseract_cmd = str(find_tesseract())
        self._languages = languages
        self._config = f'--tessdata-dir "{find_tessdata(None, None, languages)}"'

    def read(self, image: Image.Image) -> str:
        """The text of a picture."""
        return str(
            self._pytesseract.image_to_string(image, lang=self._languages, config=self._config, timeout=60)
        )
