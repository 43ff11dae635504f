"""Single calls: masks, the three ways in which a detector ends, and what is said of what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.analyzer.detectors.colours import ColourDetector
from services.analyzer.detectors.scene import SceneDetector
from services.runtime.errors import Reason
from sightmill.v1 import analyzer_pb2
from tests.contract.analyzer.conftest import (
    analyzer_stub,
    analyzer_with,
    answers_of,
    item,
    plain,
    refusal,
    single,
    source,
)
from tests.servers.running_app import RunningApp

Detectors = list[analyzer_pb2.Detector.ValueType]
OK = analyzer_pb2.DETECTOR_STATUS_OK
UNAVAILABLE = analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE
FAILED = analyzer_pb2.DETECTOR_STATUS_FAILED
# Part of Insights that each detector fills for any picture, and those that may find nothing.
PARTS = {
    analyzer_pb2.DETECTOR_LUMINANCE: "luminance",
    analyzer_pb2.DETECTOR_SCENE: "scene",
    analyzer_pb2.DETECTOR_FACES: "faces",
    analyzer_pb2.DETECTOR_TEXT: "text",
    analyzer_pb2.DETECTOR_HASHES: "hashes",
    analyzer_pb2.DETECTOR_EXIF: "exif",
}


def asking(*detectors: analyzer_pb2.Detector.ValueType, **options: Any) -> analyzer_pb2.AnalyzeOptions:
    return analyzer_pb2.AnalyzeOptions(detectors=detectors, **options)


def statuses(insights: analyzer_pb2.Insights) -> dict[int, int]:
    return {report.detector: report.status for report in insights.detectors}


async def test_a_mask_gives_what_it_names_and_nothing_else(running: RunningApp) -> None:
    stub = analyzer_stub(running.channel)
    masks: list[Detectors] = [[each] for each in PARTS]
    masks += [[analyzer_pb2.DETECTOR_FACES, analyzer_pb2.DETECTOR_EXIF, analyzer_pb2.DETECTOR_FACES]]
    for mask in masks:
        insights = (await stub.AnalyzeImage(single(plain(), asking(*mask)))).insights

        assert statuses(insights) == dict.fromkeys(mask, OK)
        assert {part for part in PARTS.values() if insights.HasField(part)} == {  # type: ignore[arg-type]
            PARTS[each] for each in mask
        }
        assert not insights.dominant_colors


async def test_looked_and_found_nothing_is_ok_and_empty(running: RunningApp) -> None:
    mask = asking(analyzer_pb2.DETECTOR_FACES, analyzer_pb2.DETECTOR_TEXT)

    insights = (await analyzer_stub(running.channel).AnalyzeImage(single(plain(), mask))).insights

    assert statuses(insights) == {analyzer_pb2.DETECTOR_FACES: OK, analyzer_pb2.DETECTOR_TEXT: OK}
    assert insights.HasField("faces")
    assert not insights.faces.faces
    assert insights.HasField("text")
    assert (insights.text.text, insights.text.word_count) == ("", 0)


async def test_what_is_missing_is_said_everywhere(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    async with analyzer_with(
        tmp_path,
        analyzer_face_model=nowhere,
        analyzer_tessdata=nowhere,
    ) as running:
        stub = analyzer_stub(running.channel)
        insights = (await stub.AnalyzeImage(single(plain(), analyzer_pb2.AnalyzeOptions()))).insights
        listed = await stub.GetAnalyzerInfo(analyzer_pb2.GetAnalyzerInfoRequest())
        fallbacks = running.app.health.report()["fallbacks"]
        health = await health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest())

    reports = {report.detector: report for report in insights.detectors}
    infos = {info.detector: info for info in listed.detectors}
    for told in (reports, infos):
        faces, text = told[analyzer_pb2.DETECTOR_FACES], told[analyzer_pb2.DETECTOR_TEXT]
        assert (faces.status, faces.fallback, faces.engine) == (OK, True, "haar")
        assert (text.status, text.engine) == (UNAVAILABLE, "")
        assert text.message
    assert insights.HasField("faces")
    assert not insights.HasField("text")
    assert isinstance(fallbacks, dict)
    assert {"faces", "text"} <= fallbacks.keys()
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_detector_that_fails_costs_its_own_part_alone(
    running: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("in secret.py")

    monkeypatch.setattr(SceneDetector, "detect", fault)
    monkeypatch.setattr(ColourDetector, "detect", fault)
    mask = asking(analyzer_pb2.DETECTOR_COLORS, analyzer_pb2.DETECTOR_SCENE, analyzer_pb2.DETECTOR_LUMINANCE)
    stub = analyzer_stub(running.channel)
    found = await answers_of(stub.AnalyzeImages(iter([item("0", plain(), options=mask), item("1", b"")])))
    insights = found["0"].analysis.insights

    assert statuses(insights) == {
        analyzer_pb2.DETECTOR_COLORS: FAILED,
        analyzer_pb2.DETECTOR_SCENE: FAILED,
        analyzer_pb2.DETECTOR_LUMINANCE: OK,
    }
    assert not insights.HasField("scene")
    assert insights.luminance.brightness
    assert "secret" not in insights.detectors[0].message


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (analyzer_pb2.AnalyzeImageRequest(), Reason.INVALID_FIELD),
        (single(b"no picture"), Reason.IMAGE_UNDECODABLE),
        (single(plain(), asking(thumbnail_edge=5_000)), Reason.INVALID_FIELD),
        (single(plain(), asking(text_language="klingon")), Reason.INVALID_FIELD),
    ],
    ids=["nothing", "noise", "edge", "language"],
)
async def test_a_bad_call_is_told_why(
    running: RunningApp, request_: analyzer_pb2.AnalyzeImageRequest, expected: Reason.ValueType
) -> None:
    assert (await refusal(analyzer_stub(running.channel).AnalyzeImage(request_))).reason == expected


async def test_a_rendition_is_drawn_in_turn(running: RunningApp) -> None:
    request = analyzer_pb2.RenderImageRequest(
        image=source(plain(300)), kind=analyzer_pb2.RENDITION_KIND_THUMBNAIL, thumbnail_edge=100
    )

    drawn = (await analyzer_stub(running.channel).RenderImage(request)).rendition

    assert (drawn.media_type, drawn.width, drawn.height) == ("image/jpeg", 100, 16)
