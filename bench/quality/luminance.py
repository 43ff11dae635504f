"""Blur level, brightness, contrast and sharpness against the peer's formulas on the full picture."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter

from bench.figures import Figure
from bench.quality import peer
from bench.quality.samples import TWINS, encode, fit
from bench.quality.section import Section, Table, count, percentage, share
from bench.quality.workbench import Workbench

MOST_PIXELS = 300_000
# Above 3 MP a JPEG's grey is its own luma plane, not computed from colours: some photos in a mosaic.
MOSAIC_PIXELS = 4_000_000
MOSAICS = 10
LEVELS = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Reading:
    """Both measures of one file."""

    variant: str
    levels_apart: int
    brightness: float
    contrast: float
    sharpness: float


def measure(bench: Workbench) -> Section:
    """All variants of all photos."""
    photos = [fit(image, MOST_PIXELS) for name, image in bench.samples.photos() if name not in TWINS]
    files = [file for photo in photos for file in _vary(photo)]
    files += [file for photo in photos[:MOSAICS] for file in _enlarge(photo)]
    readings = [_compare(bench, variant, data) for variant, data in files]
    same = sum(not reading.levels_apart for reading in readings)
    return Section(
        "Blur, brightness, contrast, sharpness",
        "The peer's values are computed in numpy on Pillow's grey of the full picture: the variance of the"
        " 4-neighbour Laplacian, mean and standard deviation. Every photo is taken as it is, blurred by"
        " Gauss and by motion, at other sizes and as JPEG and WebP of several qualities; some as a mosaic of"
        " themselves, because large JPEGs are decoded another way.",
        {
            "blur_level_same": percentage(
                share(same, len(readings)), f"of {len(readings)} pictures have the peer's blur level", 99
            ),
            "blur_level_two_off": count(
                sum(reading.levels_apart > 1 for reading in readings), "pictures two levels off", 0
            ),
            "brightness_off": _largest(
                [reading.brightness for reading in readings], "of 255: whole numbers, cut off", 1
            ),
            "contrast_off": _largest([reading.contrast for reading in readings], "of 100", 0.5),
            "sharpness_off": _largest([reading.sharpness for reading in readings], "of 100", None),
            "sharpness_off_median": Figure(
                statistics.median(reading.sharpness for reading in readings), "", "lower", "median deviation"
            ),
        },
        (
            Table(
                "Agreement by variant",
                ("variant", "pictures", "same level", "largest sharpness off"),
                _list_variants(readings),
            ),
        ),
    )


def _compare(bench: Workbench, variant: str, data: bytes) -> Reading:
    ours = bench.luminance(data)
    with Image.open(io.BytesIO(data)) as image:
        theirs = peer.measure_luminance(image)
    return Reading(
        variant,
        abs(LEVELS.index(ours.blur_level.value) - LEVELS.index(theirs.blur_level)),
        abs(ours.brightness - int(theirs.brightness)),
        abs(ours.contrast - theirs.contrast),
        abs(ours.sharpness - theirs.sharpness),
    )


def _vary(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    yield "as it is", encode(photo)
    for radius in (0.5, 1, 2, 4):
        yield f"Gauss {radius:g} px", encode(photo.filter(ImageFilter.GaussianBlur(radius)))
    for reach in (5, 15):
        kernel = np.full((1, reach), 1 / reach, np.float32)
        yield f"motion {reach} px", encode(Image.fromarray(cv2.filter2D(np.asarray(photo), -1, kernel)))
    for scale in (0.4, 1.5):
        size = (max(8, round(photo.width * scale)), max(8, round(photo.height * scale)))
        yield f"{scale:g} x size", encode(photo.resize(size, Image.Resampling.BICUBIC), "JPEG", quality=92)
    for quality in (30, 60, 85, 97):
        yield f"JPEG {quality}", encode(photo, "JPEG", quality=quality)
    yield "JPEG 90, 4:4:4", encode(photo, "JPEG", quality=90, subsampling=0)
    yield "WebP 80", encode(photo, "WEBP", quality=80)


def _enlarge(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    times = int((MOSAIC_PIXELS / (photo.width * photo.height)) ** 0.5) + 1
    mosaic = Image.fromarray(np.tile(np.asarray(photo), (times, times, 1)))
    for quality in (60, 90):
        yield f"mosaic of 4 MP, JPEG {quality}", encode(mosaic, "JPEG", quality=quality)


def _largest(deviations: list[float], unit: str, goal: float | None) -> Figure:
    return Figure(max(deviations), "", "lower", f"largest deviation, {unit}", goal)


def _list_variants(readings: list[Reading]) -> list[list[str]]:
    rows = []
    for variant in dict.fromkeys(reading.variant for reading in readings):
        chosen = [reading for reading in readings if reading.variant == variant]
        same = sum(not reading.levels_apart for reading in chosen)
        off = max(reading.sharpness for reading in chosen)
        rows.append([variant, str(len(chosen)), str(same), f"{off:.2f}"])
    return rows
