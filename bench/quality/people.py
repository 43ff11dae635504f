"""People: descriptors of one person lie together, those of others apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from bench.figures import Figure
from bench.quality.changes import SLIGHT
from bench.quality.samples import encode, fit, to_rgb
from bench.quality.section import Section
from bench.quality.workbench import Workbench
from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detector import DetectorUnavailableError
from services.analyzer.detectors.descriptors import DescriptorDetector
from services.analyzer.detectors.faces import FaceDetector

MOST_PIXELS = 500_000
GROUPING_DISTANCE = 0.5
CHANGES = ("half size", "JPEG 20", "25 % darker", "more contrast", "rotated by 1 degree", "blurred")


@dataclass(frozen=True, slots=True)
class Portrait:
    """The largest face of a picture as 128 numbers, and whose it is."""

    person: str
    shot: str
    vector: Sequence[float]


def measure(bench: Workbench) -> Section:
    """Distances between portraits, where the extra is installed."""
    method = (
        "Descriptors (128 numbers, Euclidean distance) of the largest face of each portrait and of changed"
        f" copies of it: {', '.join(CHANGES)}. Faces within {GROUPING_DISTANCE} are grouped as one person."
        " The extra `people` is needed; without it there is nothing to measure."
    )
    detector = DescriptorDetector.open(1, 60.0)
    try:
        portraits = list(_describe(bench, detector))
    except DetectorUnavailableError as error:
        return Section("People", method, {}, remarks=[error.message])
    finally:
        detector.close()
    return Section("People", method, _compare(portraits))


def _shots(bench: Workbench) -> Iterator[tuple[str, str, Image.Image]]:
    """Person, shot and picture: the astronaut always, the labelled portraits where they are."""
    yield "astronaut", "astronaut", bench.samples.open("astronaut.png")
    for path in bench.samples.shared_files("photos", ".jpg"):
        yield path.stem.rstrip("0123456789"), path.stem, fit(to_rgb(path), MOST_PIXELS)


def _describe(bench: Workbench, detector: DescriptorDetector) -> Iterator[Portrait]:
    decoder, finder = Decoder(DecodeLimits()), FaceDetector.open(None)
    for person, shot, image in _shots(bench):
        for data in (encode(image, "JPEG", quality=95), *(SLIGHT[name](image) for name in CHANGES)):
            picture = decoder.decode(data)
            faces = finder.detect(picture, None)
            vectors = detector.of(faces).detect(picture, None).vectors
            sized = zip(faces.faces, vectors, strict=True)
            _, vector = max(sized, key=lambda pair: pair[0].box.width * pair[0].box.height)
            yield Portrait(person, shot, vector)


def _compare(portraits: Sequence[Portrait]) -> Mapping[str, Figure]:
    copies: list[float] = []
    same: list[float] = []
    different: list[float] = []
    for one, other in itertools.combinations(portraits, 2):
        group = copies if one.shot == other.shot else same if one.person == other.person else different
        group.append(math.dist(one.vector, other.vector))
    figures = {"copies_farthest": _farthest(copies, "copies of one shot")}
    if same:
        figures["same_person_farthest"] = _farthest(same, "two shots of one person")
    if different:
        figures["others_nearest"] = Figure(
            min(different), "", "higher", f"least distance of {len(different)} pairs of two people", 0.6
        )
    return figures


def _farthest(distances: Sequence[float], what: str) -> Figure:
    return Figure(
        max(distances), "", "lower", f"largest distance of {len(distances)} pairs: {what}", GROUPING_DISTANCE
    )
