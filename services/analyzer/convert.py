"""Reports of the domain as messages of the contract, and options of the contract as plans of the domain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.analyzer.analysis import VERSION, Analyzer, Insight, Plan, Report, Toolset
from services.analyzer.detector import Cancellation, Outcome, Status, equipment_of
from services.analyzer.detectors.colours import Palette
from services.analyzer.detectors.faces import Faces
from services.analyzer.detectors.hashes import Hashes
from services.analyzer.detectors.luminance import BlurLevel, Luminance
from services.analyzer.detectors.scene import Scene, SceneType
from services.analyzer.detectors.text import Text
from services.analyzer.exif import ExifFacts
from services.analyzer.picture import Box
from services.analyzer.render import Rendition
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import analyzer_pb2, common_pb2

THUMBNAIL_EDGES = range(16, 2_049)
DEFAULT_THUMBNAIL_EDGE = 300
MAX_BOXES = 1_000

INSIGHTS = {
    analyzer_pb2.DETECTOR_COLORS: Insight.COLOURS,
    analyzer_pb2.DETECTOR_LUMINANCE: Insight.LUMINANCE,
    analyzer_pb2.DETECTOR_SCENE: Insight.SCENE,
    analyzer_pb2.DETECTOR_FACES: Insight.FACES,
    analyzer_pb2.DETECTOR_TEXT: Insight.TEXT,
    analyzer_pb2.DETECTOR_HASHES: Insight.HASHES,
    analyzer_pb2.DETECTOR_EXIF: Insight.EXIF,
}
DETECTORS = {insight: detector for detector, insight in INSIGHTS.items()}
# In the contract, but not in this version.
MISSING = (
    analyzer_pb2.DETECTOR_CODES,
    analyzer_pb2.DETECTOR_PLACEHOLDER,
    analyzer_pb2.DETECTOR_MODERATION,
)
MISSING_MESSAGE = "This version has no such detector; CHANGELOG.md lists what is missing."
STATUSES = {
    Status.OK: analyzer_pb2.DETECTOR_STATUS_OK,
    Status.UNAVAILABLE: analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE,
    Status.FAILED: analyzer_pb2.DETECTOR_STATUS_FAILED,
}
BLUR_LEVELS = {
    BlurLevel.LOW: analyzer_pb2.BLUR_LEVEL_LOW,
    BlurLevel.MEDIUM: analyzer_pb2.BLUR_LEVEL_MEDIUM,
    BlurLevel.HIGH: analyzer_pb2.BLUR_LEVEL_HIGH,
}
SCENE_TYPES = {
    SceneType.INDOOR: analyzer_pb2.SCENE_TYPE_INDOOR,
    SceneType.OUTDOOR: analyzer_pb2.SCENE_TYPE_OUTDOOR,
    SceneType.NATURE: analyzer_pb2.SCENE_TYPE_NATURE,
}


def plan(options: analyzer_pb2.AnalyzeOptions) -> Plan:
    """What a caller asks for. Raises InvalidArgumentError (INVALID_FIELD) for what makes no sense."""
    edge = options.thumbnail_edge
    if edge and edge not in THUMBNAIL_EDGES:
        raise _edge_out_of_range()
    wanted = frozenset(INSIGHTS[detector] for detector in options.detectors if detector in INSIGHTS)
    return Plan(
        insights=wanted if options.detectors else frozenset(Insight),
        thumbnail=bool(edge),
        thumbnail_edge_px=edge,
        languages=options.text_language,
        with_location=not options.withhold_location,
    )


def drawing(
    analyzer: Analyzer, request: analyzer_pb2.RenderImageRequest
) -> Callable[[bytes, Cancellation], Rendition]:
    """The work that draws a rendition. Raises InvalidArgumentError (INVALID_FIELD)."""
    if request.kind == analyzer_pb2.RENDITION_KIND_ANNOTATED:
        if len(request.boxes) > MAX_BOXES:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD, f"boxes has at most {MAX_BOXES} entries.", field="boxes"
            )
        boxes = [Box(box.x, box.y, box.width, box.height) for box in request.boxes]
        return lambda data, _cancelled: analyzer.make_annotated(data, boxes)
    if request.kind == analyzer_pb2.RENDITION_KIND_THUMBNAIL:
        edge = request.thumbnail_edge or DEFAULT_THUMBNAIL_EDGE
        if edge not in THUMBNAIL_EDGES:
            raise _edge_out_of_range()
        return lambda data, _cancelled: analyzer.make_thumbnail(data, edge)
    raise InvalidArgumentError(Reason.INVALID_FIELD, "kind is ANNOTATED or THUMBNAIL.", field="kind")


def rendition(drawn: Rendition) -> analyzer_pb2.Rendition:
    """A drawn picture as message."""
    return analyzer_pb2.Rendition(
        content=drawn.data, media_type=drawn.media_type, width=drawn.width, height=drawn.height
    )


def analysis(report: Report, options: analyzer_pb2.AnalyzeOptions) -> analyzer_pb2.AnalyzeImageResponse:
    """A report as message; detectors that this version lacks are reported where they were asked for."""
    answer = analyzer_pb2.AnalyzeImageResponse(insights=_insights(report))
    for detector in MISSING:
        if detector in options.detectors:
            answer.insights.detectors.add(
                detector=detector, status=analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE, message=MISSING_MESSAGE
            )
    if report.thumbnail:
        answer.thumbnail.CopyFrom(rendition(report.thumbnail))
    return answer


def detector_infos(analyzer: Analyzer) -> list[analyzer_pb2.DetectorInfo]:
    """Every detector of the contract and whether it can work here."""
    installed = [
        analyzer_pb2.DetectorInfo(
            detector=DETECTORS[insight],
            status=STATUSES[Status.OK if equipment.engine else Status.UNAVAILABLE],
            engine=equipment.engine,
            fallback=equipment.fallback,
            version=version,
            message=equipment.missing,
            on_by_default=True,
        )
        for insight, (version, equipment) in analyzer.equipment().items()
    ]
    missing = [
        analyzer_pb2.DetectorInfo(
            detector=detector, status=analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE, message=MISSING_MESSAGE
        )
        for detector in MISSING
    ]
    return installed + missing


def fallbacks(analyzer: Analyzer) -> dict[str, str]:
    """What works with less than intended, or not at all, and how to get it: for the health report."""
    return {
        str(insight): equipment.missing
        for insight, (_, equipment) in analyzer.equipment().items()
        if equipment.missing
    }


def _insights(report: Report) -> analyzer_pb2.Insights:
    picture = report.picture
    insights = analyzer_pb2.Insights(
        analyzer_version=VERSION,
        settings_digest=report.tools.settings_digest,
        width=picture.width,
        height=picture.height,
        color_mode=picture.mode,
        elapsed=_duration(report.duration_ms),
        detectors=[
            _detector_report(insight, outcome, report.tools) for insight, outcome in report.outcomes()
        ],
    )
    if report.colours and report.colours.value:
        insights.dominant_colors.extend(_colors(report.colours.value))
    if report.luminance and report.luminance.value:
        insights.luminance.CopyFrom(_luminance(report.luminance.value))
    if report.scene and report.scene.value:
        insights.scene.CopyFrom(_scene(report.scene.value))
    if report.faces and report.faces.value:
        insights.faces.CopyFrom(_faces(report.faces.value, picture.width, picture.height))
    if report.text and report.text.value:
        insights.text.CopyFrom(
            _text(report.text.value, report.tools.languages, picture.width, picture.height)
        )
    if report.hashes and report.hashes.value:
        insights.hashes.CopyFrom(_hashes(report.hashes.value))
    if report.exif and report.exif.value:
        insights.exif.CopyFrom(_exif(report.exif.value))
    return insights


def _detector_report(
    insight: Insight, outcome: Outcome[object], tools: Toolset
) -> analyzer_pb2.DetectorReport:
    equipment = equipment_of(getattr(tools.detectors, insight.value))
    return analyzer_pb2.DetectorReport(
        detector=DETECTORS[insight],
        status=STATUSES[outcome.status],
        message=outcome.reason,
        engine=equipment.engine,
        fallback=equipment.fallback,
        version=outcome.version,
        settings_digest=tools.digests[insight],
        elapsed=_duration(outcome.duration_ms),
    )


def _colors(palette: Palette) -> list[analyzer_pb2.DominantColor]:
    return [
        analyzer_pb2.DominantColor(
            color=common_pb2.Color(red=each.red, green=each.green, blue=each.blue, hex=each.hex),
            share=each.share,
            css_name=each.name,
        )
        for each in palette.colours
    ]


def _luminance(measured: Luminance) -> analyzer_pb2.Luminance:
    return analyzer_pb2.Luminance(
        brightness=measured.brightness,
        contrast=measured.contrast,
        sharpness=measured.sharpness,
        blur_level=BLUR_LEVELS[measured.blur_level],
        quality_score=measured.quality,
        laplacian_variance=measured.laplacian_variance,
    )


def _scene(scene: Scene) -> analyzer_pb2.Scene:
    return analyzer_pb2.Scene(
        type=SCENE_TYPES[scene.type],
        confidence=scene.confidence,
        blue_share=scene.blue_share,
        green_share=scene.green_share,
        mean_value=scene.mean_value,
        mean_saturation=scene.mean_saturation,
    )


def _faces(found: Faces, width: int, height: int) -> analyzer_pb2.FaceInsight:
    return analyzer_pb2.FaceInsight(
        faces=[
            analyzer_pb2.Face(
                box=_box(face.box, width, height),
                confidence=face.confidence or 0.0,
                landmarks=[common_pb2.Point(x=x, y=y) for x, y in face.landmarks],
            )
            for face in found.faces
        ]
    )


def _text(read: Text, languages: str, width: int, height: int) -> analyzer_pb2.TextInsight:
    return analyzer_pb2.TextInsight(
        text=read.text,
        word_count=read.word_count,
        language=languages,
        words=[
            analyzer_pb2.Word(
                text=word.text, box=_box(word.box, width, height), confidence=100 * word.confidence
            )
            for word in read.words
        ],
    )


def _hashes(hashes: Hashes) -> analyzer_pb2.Hashes:
    return analyzer_pb2.Hashes(phash=hashes.phash, dhash=hashes.dhash)


def _exif(facts: ExifFacts) -> analyzer_pb2.Exif:
    exif = analyzer_pb2.Exif(
        camera_make=facts.make,
        camera_model=facts.model,
        lens_model=facts.lens,
        orientation=facts.orientation,
        location_withheld=facts.location_withheld,
    )
    if facts.taken_at:
        taken = facts.taken_at if facts.taken_at.tzinfo else facts.taken_at.replace(tzinfo=UTC)
        exif.taken_time.CopyFrom(_timestamp(taken))
    if facts.location:
        exif.location.latitude = facts.location.latitude_deg
        exif.location.longitude = facts.location.longitude_deg
        if facts.location.altitude_m is not None:
            exif.location.altitude = facts.location.altitude_m
    return exif


def _box(box: Box, width: int, height: int) -> common_pb2.BoundingBox:
    return common_pb2.BoundingBox(
        x=box.x,
        y=box.y,
        width=box.width,
        height=box.height,
        normalized=common_pb2.NormalizedBox(
            x=box.x / width, y=box.y / height, width=box.width / width, height=box.height / height
        ),
    )


def _duration(milliseconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(milliseconds * 1_000))
    return duration


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _edge_out_of_range() -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_FIELD,
        f"thumbnail_edge is {THUMBNAIL_EDGES.start} to {THUMBNAIL_EDGES.stop - 1}, or 0.",
        field="thumbnail_edge",
    )
