"""The whole call: three ways to end, nothing lost, the same answer for every orientation."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from services.analyzer.analysis import Analyzer, Report
from services.analyzer.detector import (
    AnalysisCancelledError,
    Cancellation,
    DetectorUnavailableError,
    Status,
    digest_settings,
)
from services.analyzer.picture import Box, Picture
from services.analyzer.plan import STANDARD, AnalyzerConfig, Insight, Plan
from services.analyzer.text.engine import TextTimeoutError
from services.analyzer.toolbox import Toolbox, open_detectors
from services.runtime.errors import InvalidArgumentError, Reason

Encode = Callable[..., bytes]
Photo = Callable[[str], bytes]
EVERYTHING = Plan(thumbnail=True)


def test_everything_at_once(analyzer: Analyzer, photo: Photo) -> None:
    report = analyzer.analyze(photo("astronaut.png"), EVERYTHING)
    assert list(report.outcomes) == [insight for insight in Insight if insight in STANDARD]
    for name, outcome in report.outcomes.items():
        assert (outcome.detector, outcome.status, outcome.reason) == (name, Status.OK, "")
        assert outcome.value is not None
        assert outcome.duration_ms > 0
    assert (report.picture.width, report.picture.height, report.picture.format) == (512, 512, "PNG")
    assert report.thumbnail is not None
    assert (report.thumbnail.width, report.thumbnail.media_type) == (300, "image/jpeg")


def test_only_what_was_asked_for_runs(analyzer: Analyzer, photo: Photo) -> None:
    report = analyzer.analyze(photo("coffee.png"), Plan(frozenset({Insight.SCENE})))
    assert list(report.outcomes) == [Insight.SCENE]
    assert report.thumbnail is None


def test_a_call_may_choose_the_size_of_its_thumbnail(analyzer: Analyzer, photo: Photo) -> None:
    plan = Plan(frozenset(), thumbnail=True, thumbnail_edge_px=64)
    thumbnail = analyzer.analyze(photo("coffee.png"), plan).thumbnail
    assert thumbnail is not None
    assert (thumbnail.width, thumbnail.height) == (64, 43)


def test_a_thumbnail_alone_equals_that_of_a_report(analyzer: Analyzer, photo: Photo) -> None:
    data = photo("astronaut.png")
    assert analyzer.make_thumbnail(data) == analyzer.analyze(data, EVERYTHING).thumbnail
    assert analyzer.make_thumbnail(data, 50).width == 50


def test_boxes_are_drawn_where_they_are(analyzer: Analyzer, photo: Photo) -> None:
    data = photo("astronaut.png")
    box = analyzer.analyze(data, EVERYTHING).value(Insight.FACES).faces[0].box
    annotated = analyzer.make_annotated(data, [box])
    assert annotated.media_type == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(annotated.data)))
    assert (pixels[box.y, box.x : box.x + box.width] == (0, 255, 0)).all()


def test_large_photos_are_annotated_at_full_size(analyzer: Analyzer, photo: Photo, encode: Encode) -> None:
    large = Image.open(io.BytesIO(photo("astronaut.png"))).resize((2000, 2000))
    annotated = analyzer.make_annotated(encode(large, "JPEG"), [Box(10, 10, 50, 50)])
    assert (annotated.width, annotated.height) == (2000, 2000)


def test_finding_nothing_is_a_result(analyzer: Analyzer, photo: Photo) -> None:
    report = analyzer.analyze(photo("coffee.png"), EVERYTHING)
    assert {outcome.status for outcome in report.outcomes.values()} == {Status.OK}
    assert (report.value(Insight.FACES).faces, report.value(Insight.TEXT).text) == ((), "")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_gives_the_same_insights_and_matching_boxes(
    analyzer: Analyzer, photo: Photo, encode: Encode, orientation: int
) -> None:
    upright = Image.open(io.BytesIO(photo("astronaut.png"))).crop((60, 0, 400, 300))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = analyzer.analyze(encode(upright), EVERYTHING)
    turned = analyzer.analyze(encode(upright.transpose(undo[orientation]), exif=exif), EVERYTHING)
    assert turned.picture == dataclasses.replace(expected.picture, orientation=orientation)
    for name, outcome in expected.outcomes.items():
        if name != "exif":
            assert turned.outcomes[name].value == outcome.value, name
    assert turned.thumbnail == expected.thumbnail


class StubDetector:
    """Ends as it is told."""

    version: ClassVar[str] = "7"

    def __init__(self, name: str, end: Exception | Callable[[], object]) -> None:
        self.name = name
        self._end = end

    def settings(self) -> Mapping[str, object]:
        return {"b": 1, "a": [2]}

    def detect(self, _picture: Picture, _cancelled: Cancellation, /) -> Any:
        if isinstance(self._end, Exception):
            raise self._end
        return self._end()


def with_scene(detector: StubDetector) -> Analyzer:
    config = AnalyzerConfig()
    return Analyzer(config, {**open_detectors(config), Insight.SCENE: detector})


def test_a_failing_detector_leaves_the_others(photo: Photo) -> None:
    analyzer = with_scene(StubDetector("scene", ZeroDivisionError("secret detail")))
    report = analyzer.analyze(photo("coffee.png"), Plan())
    assert report.outcomes[Insight.SCENE].status is Status.FAILED
    assert report.outcomes[Insight.SCENE].value is None
    assert report.outcomes[Insight.SCENE].reason == "The scene detector failed with ZeroDivisionError."
    assert all(outcome.status is Status.OK for name, outcome in report.outcomes.items() if name != "scene")


def test_a_failure_with_a_public_message_shows_it(photo: Photo) -> None:
    report = with_scene(StubDetector("scene", TextTimeoutError())).analyze(photo("coffee.png"), Plan())
    assert report.outcomes[Insight.SCENE].status is Status.FAILED
    assert report.outcomes[Insight.SCENE].reason.startswith("Reading the text took longer than allowed")


def test_unavailable_is_not_failed(photo: Photo) -> None:
    analyzer = with_scene(StubDetector("scene", DetectorUnavailableError("scene", "Install it.")))
    report = analyzer.analyze(photo("coffee.png"), Plan())
    assert (report.outcomes[Insight.SCENE].status, report.outcomes[Insight.SCENE].reason) == (
        Status.UNAVAILABLE,
        "Install it.",
    )


def test_a_call_given_up_at_the_start_does_nothing(analyzer: Analyzer, photo: Photo) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(AnalysisCancelledError) as caught:
        analyzer.analyze(photo("coffee.png"), Plan(), cancelled)
    assert caught.value.reason == Reason.DEADLINE


def test_a_call_given_up_midway_runs_no_further_detector(photo: Photo) -> None:
    cancelled = threading.Event()
    ran: list[str] = []
    config = AnalyzerConfig()
    detectors = {
        **open_detectors(config),
        Insight.SCENE: StubDetector("scene", cancelled.set),
        Insight.FACES: StubDetector("faces", lambda: ran.append("faces")),
        Insight.TEXT: StubDetector("text", lambda: ran.append("text")),
    }
    with pytest.raises(AnalysisCancelledError):
        Analyzer(config, detectors).analyze(photo("coffee.png"), Plan(), cancelled)
    assert ran == []


def test_bad_images_are_typed_errors(analyzer: Analyzer) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        analyzer.analyze(b"no image", Plan())
    assert caught.value.reason == Reason.IMAGE_UNDECODABLE


def test_the_digest_follows_versions_and_settings(tmp_path: Path) -> None:
    standard = Analyzer(AnalyzerConfig())
    assert standard.version == "2"
    assert len(standard.settings_digest) == 16
    assert int(standard.settings_digest, 16) >= 0
    assert Analyzer(AnalyzerConfig()).settings_digest == standard.settings_digest
    others = [
        Analyzer(AnalyzerConfig(with_location=True)),
        Analyzer(AnalyzerConfig(insights=STANDARD - {Insight.SCENE})),
        Analyzer(AnalyzerConfig(languages="eng+deu")),
        Analyzer(AnalyzerConfig(face_model=tmp_path / "none.onnx")),
        with_scene(StubDetector("scene", ValueError())),
    ]
    digests = {standard.settings_digest, *(other.settings_digest for other in others)}
    assert len(digests) == 6
    assert list(standard.equipment()) == list(Insight)


def test_descriptors_bring_the_faces_and_belong_to_them(analyzer: Analyzer, photo: Photo) -> None:
    report = analyzer.analyze(photo("astronaut.png"), Plan(frozenset({Insight.DESCRIPTORS})))
    assert list(report.outcomes) == [Insight.FACES, Insight.DESCRIPTORS]
    (face,) = report.value(Insight.FACES).faces
    (vector,) = report.value(Insight.DESCRIPTORS).vectors
    assert (face.box.width > 50, len(vector)) == (True, 128)


def test_the_digest_of_descriptors_follows_the_face_detector(tmp_path: Path) -> None:
    plan = Plan(frozenset({Insight.DESCRIPTORS}))
    detectors = [
        open_detectors(config)
        for config in (AnalyzerConfig(), AnalyzerConfig(face_model=tmp_path / "none.onnx"))
    ]
    tools = [Toolbox(AnalyzerConfig(), each).pick(plan) for each in detectors]
    assert tools[0].digests[Insight.DESCRIPTORS] != tools[1].digests[Insight.DESCRIPTORS]


def test_digests_are_of_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":1,"b":[2,3]}').hexdigest()[:16]
    assert digest_settings({"a": 1, "b": [2, 3]}) == digest_settings({"b": [2, 3], "a": 1}) == expected


def test_many_threads_analyze_at_once(analyzer: Analyzer, photo: Photo) -> None:
    names = ["astronaut.png", "china.jpg", "coffee.png", "page.png", "chelsea.png"] * 2
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda name: analyzer.analyze(photo(name), EVERYTHING), names))
    for first, second in zip(reports[:5], reports[5:], strict=True):
        for name, outcome in first.outcomes.items():
            assert second.outcomes[name].value == outcome.value, name
        assert first.thumbnail == second.thumbnail


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)
def test_hostile_files_are_analyzed_or_refused(analyzer: Analyzer, shared_data: Path) -> None:
    cheap = Plan(STANDARD - {Insight.FACES, Insight.TEXT}, thumbnail=True)
    reports: list[Report] = []
    reasons: list[int] = []
    for path in sorted((shared_data / "hostile").iterdir()):
        try:
            reports.append(analyzer.analyze(path.read_bytes(), cheap))
        except InvalidArgumentError as error:
            reasons.append(error.reason)
    assert len(reports) > 200
    assert len(reasons) > 20
    assert set(reasons) <= {Reason.IMAGE_UNDECODABLE, Reason.IMAGE_TOO_MANY_PIXELS}
    ended = {outcome.status for report in reports for outcome in report.outcomes.values()}
    assert ended == {Status.OK}
