"""Descriptors: near for one person, far for two, made elsewhere, and no trouble there reaches the service."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from services.analyzer import resources
from services.analyzer.decode import Decoder
from services.analyzer.detector import AnalysisCancelledError, Outcome, Status, run_detector
from services.analyzer.detectors.descriptors import MAX_FACES, DescriptorDetector, Descriptors
from services.analyzer.detectors.faces import Face, FaceDetector, Faces
from services.analyzer.faces.crops import cut_face
from services.analyzer.faces.describer import DlibDescriber
from services.analyzer.faces.dlib_describer import CROP_EDGE_PX
from services.analyzer.picture import Box, Picture
from services.analyzer.resources import find_descriptor_models

Photo = Callable[[str], bytes]
Encode = Callable[..., bytes]
Vector = tuple[float, ...]
LONG_S = 60.0


@pytest.fixture(scope="module")
def finder() -> FaceDetector:
    return FaceDetector.open(None)


@pytest.fixture(scope="module")
def describer() -> Iterator[DlibDescriber]:
    pytest.importorskip("dlib", reason="the extra 'people' is not installed")
    describer = DlibDescriber(*find_descriptor_models(), children=1)
    yield describer
    describer.close()


@pytest.fixture(scope="module")
def detector(describer: DlibDescriber) -> DescriptorDetector:
    return DescriptorDetector(describer, timeout_s=LONG_S)


@pytest.fixture(scope="module")
def astronaut(decoder: Decoder, photo: Photo) -> Picture:
    return decoder.decode(photo("astronaut.png"))


@pytest.fixture(scope="module")
def describe(detector: DescriptorDetector, finder: FaceDetector) -> Callable[[Picture], Vector]:
    """The descriptor of a picture's only or best face."""

    def run(picture: Picture) -> Vector:
        return detector.of(finder.detect(picture, None)).detect(picture, None).vectors[0]

    return run


def distance(vector: Vector, other: Vector) -> float:
    assert len(vector) == len(other) == 128
    return math.dist(vector, other)


def face(box: Box) -> Face:
    return Face(box, 0.9, ())


def child_of(describer: DlibDescriber) -> psutil.Process:
    (child,) = describer.children._children
    return psutil.Process(child.process.pid)


@contextmanager
def job_in_flight(
    describer: DlibDescriber, bound: DescriptorDetector, picture: Picture, cancelled: threading.Event | None
) -> Iterator[Future[Outcome[Descriptors]]]:
    """An analysis whose child has taken a face and stands still; the child may be new afterwards."""
    bound.detect(picture, None)
    child = child_of(describer)
    child.suspend()
    with ThreadPoolExecutor(1) as caller:
        job = caller.submit(run_detector, bound, picture, cancelled)
        deadline_s = time.monotonic() + 10
        while describer.children._idle:
            assert time.monotonic() < deadline_s, "the job never began"
            time.sleep(0.01)
        yield job
        job.exception(timeout=20)
    assert not psutil.pid_exists(child.pid)


def test_variants_of_a_photo_show_the_same_person(
    describe: Callable[[Picture], Vector], decoder: Decoder, astronaut: Picture, encode: Encode
) -> None:
    original = describe(astronaut)
    image = Image.fromarray(np.asarray(astronaut.rgb))
    larger = image.resize((900, 900), Image.Resampling.BICUBIC)
    for variant, most in {
        "larger": (encode(larger, "JPEG", quality=80), 0.15),
        "recompressed": (encode(image, "JPEG", quality=40), 0.25),
        "turned": (encode(image.rotate(25, Image.Resampling.BICUBIC), "PNG"), 0.2),
        "grey": (encode(image.convert("L"), "PNG"), 0.3),
        "mirrored": (encode(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "PNG"), 0.3),
        "smaller": (encode(image.resize((300, 300)), "JPEG", quality=90), 0.35),
    }.values():
        assert distance(original, describe(decoder.decode(variant))) < most
    assert describe(astronaut) == original


def test_a_reduced_photo_gives_the_same_face(
    describe: Callable[[Picture], Vector], decoder: Decoder, astronaut: Picture, encode: Encode
) -> None:
    image = Image.fromarray(np.asarray(astronaut.rgb)).resize((2048, 2048), Image.Resampling.BICUBIC)
    large = decoder.decode(encode(image, "JPEG", quality=95))
    assert large.reduction > 1
    assert distance(describe(astronaut), describe(large)) < 0.15


def test_faces_of_the_cascade_are_described_without_landmarks(
    detector: DescriptorDetector,
    describe: Callable[[Picture], Vector],
    astronaut: Picture,
    tmp_path: Path,
) -> None:
    faces = FaceDetector.open(tmp_path / "none.onnx").detect(astronaut, None)
    assert faces.faces[0].landmarks == ()
    (vector,) = detector.of(faces).detect(astronaut, None).vectors
    assert distance(vector, describe(astronaut)) < 0.15


def test_two_people_and_two_photos_of_each(
    describe: Callable[[Picture], Vector], decoder: Decoder, astronaut: Picture, shared_data: Path
) -> None:
    names = ("biden", "biden2", "obama", "obama2")
    photos = {
        name: describe(decoder.decode((shared_data / "photos" / f"{name}.jpg").read_bytes()))
        for name in names
    }
    assert distance(photos["biden"], photos["biden2"]) < 0.45
    assert distance(photos["obama"], photos["obama2"]) < 0.45
    photos["astronaut"] = describe(astronaut)
    for (one, vector), (two, other) in itertools.combinations(photos.items(), 2):
        assert one.rstrip("2") == two.rstrip("2") or distance(vector, other) > 0.75


def test_vectors_follow_the_order_of_the_faces(
    detector: DescriptorDetector, finder: FaceDetector, astronaut: Picture
) -> None:
    (found,) = finder.detect(astronaut, None).faces
    elsewhere, small = face(Box(300, 300, 90, 90)), face(Box(0, 0, 23, 200))
    vectors = detector.of(Faces((elsewhere, small, found), "test")).detect(astronaut, None).vectors
    assert [len(vector) for vector in vectors] == [128, 0, 128]
    (alone,) = detector.of(Faces((found,), "test")).detect(astronaut, None).vectors
    assert vectors[2] == alone
    assert distance(vectors[0], alone) > 0.5
    assert detector.of(Faces((), "test")).detect(astronaut, None).vectors == ()


class QuickDescriber:
    """Stands in for the network where only the choice of faces matters."""

    name = "quick"

    def settings(self) -> dict[str, object]:
        return {}

    def describe(self, _crop: object, _timeout_s: float, _cancelled: object) -> Vector:
        return (1.0,)

    def close(self) -> None:
        pass


def test_of_a_crowd_the_largest_are_described(astronaut: Picture) -> None:
    crowd = tuple(face(Box(index, index, 40 + index, 40 + index)) for index in range(MAX_FACES + 6))
    vectors = DescriptorDetector(QuickDescriber()).of(Faces(crowd, "test")).detect(astronaut, None).vectors
    assert [bool(vector) for vector in vectors] == [False] * 6 + [True] * MAX_FACES


def test_a_crop_is_turned_upright(astronaut: Picture, finder: FaceDetector) -> None:
    (found,) = finder.detect(astronaut, None).faces
    upright = cut_face(astronaut, found.box, found.landmarks)
    lying = replace(astronaut, rgb=np.ascontiguousarray(np.rot90(astronaut.rgb)))
    landmarks = tuple((y, astronaut.width - x) for x, y in found.landmarks)
    assert np.abs(cut_face(lying, found.box, landmarks).astype(int) - upright).mean() < 1


@pytest.mark.parametrize(
    ("box", "landmarks"),
    [
        (Box(0, 0, 60, 60), ((0, 0), (20, 0), (5, 5), (0, 20), (20, 20))),
        (Box(0, 0, 512, 512), ((100, 100), (400, 100), (250, 250), (100, 400), (400, 400))),
        (Box(200, 200, 50, 50), ((230, 210), (205, 210), (220, 205), (230, 201), (205, 201))),
        (Box(0, 0, 9, 9), ((5, 5), (9, 5), (7, 5), (5, 5), (9, 5))),
        (Box(511, 511, 1, 1), ((511, 511),) * 5),
    ],
    ids=["corner", "whole", "upside down", "flat", "point"],
)
def test_odd_landmarks_make_a_crop_as_well(
    astronaut: Picture, box: Box, landmarks: tuple[tuple[int, int], ...]
) -> None:
    crop = np.asarray(cut_face(astronaut, box, landmarks))
    assert crop.shape == (CROP_EDGE_PX, CROP_EDGE_PX, 3)
    assert crop.dtype == np.uint8
    assert crop.max() > 0


def test_a_child_that_is_killed_costs_one_result(
    detector: DescriptorDetector, describer: DlibDescriber, finder: FaceDetector, astronaut: Picture
) -> None:
    bound = detector.of(finder.detect(astronaut, None))
    with job_in_flight(describer, bound, astronaut, None) as job:
        child_of(describer).kill()
        outcome = job.result(timeout=20)
    assert (outcome.status, outcome.value) == (Status.FAILED, None)
    assert "process that describes faces failed" in outcome.reason
    assert run_detector(bound, astronaut).status is Status.OK


def test_a_child_that_hangs_is_given_up(
    describer: DlibDescriber, finder: FaceDetector, astronaut: Picture
) -> None:
    bound = DescriptorDetector(describer, timeout_s=LONG_S).of(finder.detect(astronaut, None))
    hasty = DescriptorDetector(describer, timeout_s=0.2).of(finder.detect(astronaut, None))
    bound.detect(astronaut, None)
    child_of(describer).suspend()
    outcome = run_detector(hasty, astronaut)
    assert outcome.status is Status.FAILED
    assert "longer than allowed" in outcome.reason
    assert run_detector(bound, astronaut).status is Status.OK


def test_a_caller_that_leaves_frees_the_child(
    detector: DescriptorDetector, describer: DlibDescriber, finder: FaceDetector, astronaut: Picture
) -> None:
    cancelled = threading.Event()
    bound = detector.of(finder.detect(astronaut, None))
    with job_in_flight(describer, bound, astronaut, cancelled) as job:
        cancelled.set()
        assert isinstance(job.exception(timeout=20), AnalysisCancelledError)
    assert run_detector(bound, astronaut).status is Status.OK


def test_nothing_starts_before_the_first_face(astronaut: Picture) -> None:
    pytest.importorskip("dlib", reason="the extra 'people' is not installed")
    detector = DescriptorDetector.open(children=1, timeout_s=LONG_S)
    before = psutil.Process().children()
    assert detector.equipment.engine == detector.settings()["engine"] == "dlib-resnet"
    assert detector.of(Faces((), "test")).detect(astronaut, None).vectors == ()
    assert psutil.Process().children() == before
    detector.close()


def test_without_the_extra_it_is_unavailable_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, astronaut: Picture
) -> None:
    monkeypatch.setattr(resources, "_find_package", lambda _: None)
    detector = DescriptorDetector.open(children=1, timeout_s=LONG_S)
    outcome = run_detector(detector.of(Faces((), "test")), astronaut)
    assert outcome.status is Status.UNAVAILABLE
    assert "extra 'people'" in outcome.reason
    assert (detector.equipment.engine, detector.equipment.missing) == ("", outcome.reason)


def test_without_a_search_for_faces_it_is_unavailable(astronaut: Picture) -> None:
    outcome = run_detector(DescriptorDetector(QuickDescriber()), astronaut)
    assert outcome.status is Status.UNAVAILABLE
    assert "no detector looked" in outcome.reason
