"""The library calls that an answer of the analyzer needs, one after the other, and nothing around them.

What is our own algorithm (which text to read, when to look for faces twice) is called; of the rest, only
parameters are shared with the service. ``tests/unit/bench`` proves that both find the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image

from services.analyzer.decode import QUARTER_ABOVE_EDGE_PX, REDUCE_ABOVE_PIXELS, halve
from services.analyzer.decode.upright import shrink
from services.analyzer.detectors import colours, hashes, luminance, scene
from services.analyzer.detectors.codes import CodeDetector
from services.analyzer.detectors.text import TextDetector
from services.analyzer.detectors.thumbhash import ThumbHashDetector
from services.analyzer.exif import ExifFacts
from services.analyzer.faces.centerface import CenterFace
from services.analyzer.picture import Picture
from services.analyzer.render import render_thumbnail
from services.analyzer.resources import find_face_model
from sightmill.v1 import analyzer_pb2 as pb

KMEANS_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 20, 1.0)
Found = dict[str, Any]


class RawCalls:
    """Loaded engines; ``look`` may run in many threads at once, as many as there are cores."""

    def __init__(self, detectors: Iterable[int], thumbnail_edge_px: int) -> None:
        """``detectors`` of the contract; raises RuntimeError for one whose calls are not known here."""
        text = TextDetector.open(None, None, "eng", timeout_s=10.0)
        codes, placeholder = CodeDetector(thorough=False), ThumbHashDetector()
        known: dict[int, Callable[[Picture], object]] = {
            pb.DETECTOR_COLORS: _cluster,
            pb.DETECTOR_LUMINANCE: _measure,
            pb.DETECTOR_SCENE: _count_hues,
            pb.DETECTOR_HASHES: _hash,
            pb.DETECTOR_FACES: CenterFace(find_face_model(None)).find,
            pb.DETECTOR_TEXT: lambda picture: text.detect(picture, None),
            pb.DETECTOR_EXIF: lambda picture: picture.exif,
            pb.DETECTOR_CODES: lambda picture: codes.detect(picture, None),
            pb.DETECTOR_PLACEHOLDER: lambda picture: placeholder.detect(picture, None),
        }
        names = {number: pb.Detector.Name(pb.Detector.ValueType(number)) for number in detectors}
        if missing := names.keys() - known.keys():
            raise RuntimeError(f"bench/raw_calls.py lacks {', '.join(names[number] for number in missing)}")
        self._steps = {name: known[number] for number, name in names.items()}
        self._thumbnail_edge_px = thumbnail_edge_px

    def look(self, data: bytes) -> Found:
        """What each detector's calls return for an upright JPEG file, by the detector's name."""
        picture = _decode(data)
        found = {name: step(picture) for name, step in self._steps.items()}
        return {**found, "thumbnail": render_thumbnail(picture, self._thumbnail_edge_px).data}


def _decode(data: bytes) -> Picture:
    with Image.open(BytesIO(data)) as header:
        width, height = header.size
        header.getexif()
    encoded = np.frombuffer(data, np.uint8)
    reduction = 1
    if width * height > REDUCE_ABOVE_PIXELS:
        reduction = 4 if max(width, height) >= QUARTER_ABOVE_EDGE_PX else 2
    rgb: Any = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    grey = small = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if reduction > 1:
        rgb = halve(rgb, reduction)
        small = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return Picture(
        grey=grey,
        rgb=rgb,
        preview=shrink(small),
        reduction=reduction,
        format="JPEG",
        mode="RGB",
        frames=1,
        orientation=1,
        truncated=False,
        exif=ExifFacts(),
    )


def _cluster(picture: Picture) -> object:
    step = -(-max(picture.rgb.shape[:2]) // colours.SAMPLE_EDGE_PX)
    pixels = picture.rgb[::step, ::step].reshape(-1, 1, 3).astype(np.float32)
    cv2.setRNGSeed(colours.SEED)
    labels = np.zeros((len(pixels), 1), np.int32)
    return cv2.kmeans(pixels, colours.COLOURS, labels, KMEANS_STOP, colours.STARTS, cv2.KMEANS_PP_CENTERS)


def _measure(picture: Picture) -> object:
    step = -(-max(picture.rgb.shape[:2]) // luminance.COLOUR_SAMPLE_EDGE_PX)
    return (
        *cv2.meanStdDev(picture.grey),
        luminance.measure_laplacian_variance(picture.grey),
        *luminance.count_clipped(picture.grey),
        luminance.measure_colorfulness(picture.rgb[::step, ::step]),
    )


def _count_hues(picture: Picture) -> object:
    step = -(-max(picture.rgb.shape[:2]) // scene.SAMPLE_EDGE_PX)
    hsv = cv2.cvtColor(picture.rgb[::step, ::step], cv2.COLOR_RGB2HSV)
    counts = [cv2.countNonZero(cv2.inRange(hsv, *bounds)) for bounds in (scene.BLUE, scene.GREEN)]
    return (*counts, cv2.mean(hsv))


def _hash(picture: Picture) -> object:
    reduced = cv2.resize(picture.preview, hashes.REDUCED_PX, interpolation=cv2.INTER_AREA)
    square = cv2.resize(reduced, (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(square.astype(np.float32))[:8, :8]
    rows = cv2.resize(reduced, (9, 8), interpolation=cv2.INTER_AREA)
    step = -(-max(picture.rgb.shape[:2]) // hashes.COLOUR_SAMPLE_EDGE_PX)
    lab = cv2.cvtColor(picture.rgb[::step, ::step], cv2.COLOR_RGB2LAB)
    return (
        np.packbits(low > np.median(low)),
        np.packbits(rows[:, 1:] > rows[:, :-1]),
        cv2.resize(lab, (4, 4), interpolation=cv2.INTER_AREA),
    )
