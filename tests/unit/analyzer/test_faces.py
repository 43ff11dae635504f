"""Faces: found where they are, absent where they are not, and honest about who looked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.analyzer.decode import Decoder
from services.analyzer.detector import AnalysisCancelledError, DetectorUnavailableError
from services.analyzer.detectors.faces import FaceDetector
from services.analyzer.faces.haar_cascade import HaarCascade
from services.analyzer.picture import Box
from services.analyzer.resources import ResourceMissingError, find_cascade, find_face_model

Photo = Callable[[str], bytes]
Encode = Callable[..., bytes]
# From hairline to chin, by hand.
ASTRONAUT = Box(180, 62, 92, 116)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector.open(None)


def overlap(box: Box, other: Box) -> float:
    across = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    down = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    shared = max(0, across) * max(0, down)
    return shared / (box.width * box.height + other.width * other.height - shared)


def test_the_astronaut_has_one_face_with_landmarks(
    detector: FaceDetector, decoder: Decoder, photo: Photo
) -> None:
    result = detector.detect(decoder.decode(photo("astronaut.png")), None)
    assert result.engine == "centerface"
    (face,) = result.faces
    assert overlap(face.box, ASTRONAUT) > 0.6
    assert face.confidence is not None
    assert 0.7 < face.confidence <= 1
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    for x, y in face.landmarks:
        assert face.box.x <= x <= face.box.x + face.box.width
        assert face.box.y <= y <= face.box.y + face.box.height


@pytest.mark.parametrize(
    "name",
    # A look at 320 px alone takes the motorcycle's headlight for a face.
    [
        "china.jpg",
        "flower.jpg",
        "coffee.png",
        "chelsea.png",
        "rocket.jpg",
        "page.png",
        "motorcycle_right.png",
    ],
)
def test_no_face_is_a_result(detector: FaceDetector, decoder: Decoder, photo: Photo, name: str) -> None:
    assert detector.detect(decoder.decode(photo(name)), None).faces == ()


def test_small_faces_in_a_large_photo_are_found_in_a_finer_pass(
    detector: FaceDetector, decoder: Decoder, photo: Photo, encode: Encode
) -> None:
    astronaut = np.asarray(decoder.decode(photo("astronaut.png")).rgb)
    scene = np.full((3000, 4000, 3), 120, np.uint8)
    truth = []
    for x, y, edge in ((400, 300, 900), (2900, 2300, 300)):
        scene[y : y + edge, x : x + edge] = cv2.resize(astronaut, (edge, edge), interpolation=cv2.INTER_AREA)
        parts = (ASTRONAUT.x, ASTRONAUT.y, ASTRONAUT.width, ASTRONAUT.height)
        left, top, width, height = (round(part * edge / 512) for part in parts)
        truth.append(Box(x + left, y + top, width, height))
    picture = decoder.decode(encode(scene, "JPEG", quality=90))
    assert picture.reduction == 4
    found = sorted((face.box for face in detector.detect(picture, None).faces), key=lambda box: box.x)
    assert len(found) == 2
    assert min(overlap(box, other) for box, other in zip(found, truth, strict=True)) > 0.6


def test_a_face_that_the_first_look_only_suspects_is_found(
    detector: FaceDetector, decoder: Decoder, photo: Photo, encode: Encode
) -> None:
    astronaut = np.asarray(decoder.decode(photo("astronaut.png")).rgb)
    scene = np.asarray(decoder.decode(photo("coffee.png")).rgb).copy()
    scene[100:220, 200:320] = cv2.resize(astronaut, (120, 120), interpolation=cv2.INTER_AREA)
    (face,) = detector.detect(decoder.decode(encode(scene)), None).faces
    left, top = 200 + ASTRONAUT.x * 120 / 512, 100 + ASTRONAUT.y * 120 / 512
    expected = Box(round(left), round(top), round(ASTRONAUT.width * 120 / 512), 27)
    assert overlap(face.box, expected) > 0.5


def test_faces_at_the_edge_stay_inside(
    detector: FaceDetector, decoder: Decoder, photo: Photo, encode: Encode
) -> None:
    cut = np.ascontiguousarray(decoder.decode(photo("astronaut.png")).rgb[85:190, 190:270])
    for face in detector.detect(decoder.decode(encode(cut)), None).faces:
        assert 0 <= face.box.x < face.box.x + face.box.width <= 80
        assert 0 <= face.box.y < face.box.y + face.box.height <= 105


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (31, 33)])
def test_odd_sizes_are_looked_at(
    detector: FaceDetector, decoder: Decoder, encode: Encode, size: tuple[int, int]
) -> None:
    assert detector.detect(decoder.decode(encode(np.zeros((*size, 3), np.uint8))), None).faces == ()


def test_a_call_given_up_takes_no_second_look(detector: FaceDetector, decoder: Decoder, photo: Photo) -> None:
    given_up = threading.Event()
    given_up.set()
    doubtful = decoder.decode(photo("motorcycle_right.png"))
    with pytest.raises(AnalysisCancelledError):
        detector.detect(doubtful, given_up)


def test_without_the_model_the_cascade_looks_and_says_so(
    decoder: Decoder, photo: Photo, tmp_path: Path
) -> None:
    fallback = FaceDetector.open(tmp_path / "none.onnx")
    result = fallback.detect(decoder.decode(photo("astronaut.png")), None)
    assert result.engine == "haar"
    (face,) = result.faces
    assert overlap(face.box, ASTRONAUT) > 0.4
    assert (face.confidence, face.landmarks) == (None, ())
    assert fallback.detect(decoder.decode(photo("flower.jpg")), None).faces == ()


def test_a_broken_model_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x08\x03broken")
    assert FaceDetector.open(path).settings()["engine"] == "haar"


def test_without_any_engine_it_is_unavailable(decoder: Decoder, photo: Photo) -> None:
    with pytest.raises(DetectorUnavailableError, match="no engine here"):
        FaceDetector(None, "no engine here").detect(decoder.decode(photo("coffee.png")), None)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceMissingError, match=r"face model \(none.onnx\) is missing") as caught:
        find_face_model(tmp_path / "none.onnx")
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.places == (str(tmp_path / "none.onnx"),)
    assert find_cascade().is_file()
    with pytest.raises(ResourceMissingError):
        HaarCascade(tmp_path / "none.xml")


def test_all_18_faces_of_the_group_photos_and_no_others(
    detector: FaceDetector, decoder: Decoder, shared_data: Path
) -> None:
    truth = json.loads((shared_data / "faces" / "truth.json").read_text())
    found = false = 0
    for name, boxes in truth.items():
        faces = detector.detect(decoder.decode((shared_data / "faces" / name).read_bytes()), None).faces
        expected = [Box(box["x"], box["y"], box["width"], box["height"]) for box in boxes]
        found += sum(any(overlap(face.box, box) > 0.3 for face in faces) for box in expected)
        false += sum(all(overlap(face.box, box) <= 0.3 for box in expected) for face in faces)
    assert (found, false) == (18, 0)
