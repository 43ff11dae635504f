"""The peer's method: every library at full size, and a process an image for text.

The measures follow the formulas of the Peek contract. It gets all cores in its best way, a worker process a
core with one native thread each: in one process whose libraries share the cores, decode, statistics and text
leave all but one idle.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytesseract
from cv2.typing import MatLike
from PIL import Image
from sklearn.cluster import KMeans

from services.analyzer.process import configure_threads
from services.analyzer.resources import find_tessdata, find_tesseract

COLOURS = 5
SCALE_STEP, NEIGHBOURS, SMALLEST_PX = 1.1, 5, 30
CASCADE = "data/haarcascade_frontalface_default.xml"


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What it finds: colours as #rrggbb, faces as (x, y, width, height), shares 0..1, means 0..255."""

    colours: tuple[str, ...]
    brightness: int
    contrast: float
    laplacian_variance: float
    blue_share: float
    green_share: float
    mean_saturation: float
    mean_value: float
    faces: tuple[tuple[int, ...], ...]
    text: str


def open_pool() -> ProcessPoolExecutor:
    """A worker process a core. Its limits are set before a worker loads any of the libraries."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(os.cpu_count() or 1, context, initializer=configure_threads)


def analyze(data: bytes) -> PeerReport:
    """Look at one encoded image."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    rgb = np.asarray(image)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    found = _cascade().detectMultiScale(
        grey, scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(SMALLEST_PX, SMALLEST_PX)
    )
    return PeerReport(
        colours=_cluster(rgb),
        brightness=int(grey.mean()),
        contrast=min(float(grey.std()), 100.0),
        laplacian_variance=float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        blue_share=_share(hsv, 90, 130),
        green_share=_share(hsv, 35, 85),
        mean_saturation=float(hsv[:, :, 1].mean()),
        mean_value=float(hsv[:, :, 2].mean()),
        faces=tuple(tuple(int(number) for number in box) for box in found),
        text=_read(image),
    )


def time_analysis(data: bytes) -> float:
    """Seconds that one image takes in this process."""
    started = time.perf_counter()
    analyze(data)
    return time.perf_counter() - started


def _cluster(rgb: MatLike) -> tuple[str, ...]:
    pixels = rgb.reshape(-1, 3)
    model = KMeans(n_clusters=min(COLOURS, len(pixels)), n_init=10, random_state=42).fit(pixels)
    return tuple(
        "#{:02x}{:02x}{:02x}".format(*(int(value) for value in row)) for row in model.cluster_centers_
    )


def _share(hsv: MatLike, first_hue: int, last_hue: int) -> float:
    hue, saturation, value = hsv[:, :, 0], hsv[:, :, 1], hsv[:, :, 2]
    matches = (hue >= first_hue) & (hue <= last_hue) & (saturation >= 50) & (value >= 50)
    return float(matches.mean())


@functools.cache
def _cascade() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / CASCADE))


def _read(image: Image.Image) -> str:
    return str(pytesseract.image_to_string(image, config=_tesseract_options())).strip()


@functools.cache
def _tesseract_options() -> str:
    """Points the library at the program, once, and gives the options that point the program at its data."""
    pytesseract.pytesseract.tesseract_cmd = str(find_tesseract())
    return f'--tessdata-dir "{find_tessdata(None, None, "eng")}"'
