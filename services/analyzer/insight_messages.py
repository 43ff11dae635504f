"""A report of the domain as the message Insights: one writer an insight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.analyzer.analysis import Report
from services.analyzer.detector import Outcome, Status, equipment_of
from services.analyzer.detectors.codes import Codes
from services.analyzer.detectors.colours import Palette
from services.analyzer.detectors.descriptors import Descriptors
from services.analyzer.detectors.faces import Faces
from services.analyzer.detectors.hashes import Hashes
from services.analyzer.detectors.luminance import BlurLevel, Luminance
from services.analyzer.detectors.moderation import Moderation
from services.analyzer.detectors.scene import Scene, SceneType
from services.analyzer.detectors.text import Text
from services.analyzer.detectors.thumbhash import ThumbHash
from services.analyzer.exif import ExifFacts
from services.analyzer.picture import Box
from services.analyzer.plan import Insight
from services.analyzer.toolbox import VERSION, Toolset
from sightmill.v1 import analyzer_pb2, common_pb2

INSIGHTS = {
    analyzer_pb2.DETECTOR_COLORS: Insight.COLOURS,
    analyzer_pb2.DETECTOR_LUMINANCE: Insight.LUMINANCE,
    analyzer_pb2.DETECTOR_SCENE: Insight.SCENE,
    analyzer_pb2.DETECTOR_FACES: Insight.FACES,
    analyzer_pb2.DETECTOR_TEXT: Insight.TEXT,
    analyzer_pb2.DETECTOR_HASHES: Insight.HASHES,
    analyzer_pb2.DETECTOR_EXIF: Insight.EXIF,
    analyzer_pb2.DETECTOR_CODES: Insight.CODES,
    analyzer_pb2.DETECTOR_PLACEHOLDER: Insight.THUMBHASH,
    analyzer_pb2.DETECTOR_MODERATION: Insight.MODERATION,
    analyzer_pb2.DETECTOR_DESCRIPTORS: Insight.DESCRIPTORS,
}
DETECTORS = {insight: detector for detector, insight in INSIGHTS.items()}
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
# Names as the decoder gives them.
FORMATS = {
    "JPEG": common_pb2.IMAGE_FORMAT_JPEG,
    "PNG": common_pb2.IMAGE_FORMAT_PNG,
    "WEBP": common_pb2.IMAGE_FORMAT_WEBP,
    "GIF": common_pb2.IMAGE_FORMAT_GIF,
    "BMP": common_pb2.IMAGE_FORMAT_BMP,
    "TIFF": common_pb2.IMAGE_FORMAT_TIFF,
    "HEIF": common_pb2.IMAGE_FORMAT_HEIC,
    "AVIF": common_pb2.IMAGE_FORMAT_AVIF,
}


def insights(report: Report) -> analyzer_pb2.Insights:
    """Everything in the report but the thumbnail."""
    picture = report.picture
    message = analyzer_pb2.Insights(
        analyzer_version=VERSION,
        settings_digest=report.tools.settings_digest,
        width=picture.width,
        height=picture.height,
        color_mode=picture.mode,
        format=FORMATS[picture.format],
        frame_count=picture.frames,
        truncated=picture.truncated,
        elapsed=_duration(report.duration_ms),
    )
    for insight, outcome in report.outcomes.items():
        message.detectors.append(_detector_report(insight, outcome, report.tools))
        if outcome.value is not None:
            WRITERS[insight](message, outcome.value, report)
    return message


def _detector_report(insight: Insight, outcome: Outcome[Any], tools: Toolset) -> analyzer_pb2.DetectorReport:
    equipment = equipment_of(tools.detectors[insight])
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


def _write_colors(message: analyzer_pb2.Insights, palette: Palette, _report: Report) -> None:
    for each in palette.colours:
        message.dominant_colors.add(
            color=common_pb2.Color(red=each.red, green=each.green, blue=each.blue, hex=each.hex),
            share=each.share,
            css_name=each.name,
        )


def _write_luminance(message: analyzer_pb2.Insights, measured: Luminance, _report: Report) -> None:
    message.luminance.CopyFrom(
        analyzer_pb2.Luminance(
            brightness=measured.brightness,
            contrast=measured.contrast,
            sharpness=measured.sharpness,
            blur_level=BLUR_LEVELS[measured.blur_level],
            quality_score=measured.quality,
            laplacian_variance=measured.laplacian_variance,
            clipped_share=measured.clipped_share,
            shadow_share=measured.shadow_share,
            highlight_share=measured.highlight_share,
            colorfulness=measured.colorfulness,
        )
    )


def _write_scene(message: analyzer_pb2.Insights, scene: Scene, _report: Report) -> None:
    message.scene.CopyFrom(
        analyzer_pb2.Scene(
            type=SCENE_TYPES[scene.type],
            confidence=scene.confidence,
            blue_share=scene.blue_share,
            green_share=scene.green_share,
            mean_value=scene.mean_value,
            mean_saturation=scene.mean_saturation,
        )
    )


def _write_faces(message: analyzer_pb2.Insights, found: Faces, report: Report) -> None:
    width, height = report.picture.width, report.picture.height
    message.faces.SetInParent()
    for face in found.faces:
        message.faces.faces.add(
            box=_box(face.box, width, height),
            confidence=face.confidence or 0.0,
            landmarks=[
                common_pb2.Point(x=x, y=y, normalized_x=x / width, normalized_y=y / height)
                for x, y in face.landmarks
            ],
        )


def _write_text(message: analyzer_pb2.Insights, read: Text, report: Report) -> None:
    width, height = report.picture.width, report.picture.height
    message.text.text = read.text
    message.text.word_count = read.word_count
    message.text.language = report.tools.languages
    message.text.orientation = read.orientation
    for word in read.words:
        message.text.words.add(
            text=word.text, box=_box(word.box, width, height), confidence=100 * word.confidence
        )


def _write_hashes(message: analyzer_pb2.Insights, hashes: Hashes, _report: Report) -> None:
    message.hashes.phash = hashes.phash
    message.hashes.dhash = hashes.dhash
    message.hashes.color_signature = hashes.color_signature


def _write_exif(message: analyzer_pb2.Insights, facts: ExifFacts, _report: Report) -> None:
    exif = message.exif
    exif.camera_make = facts.make
    exif.camera_model = facts.model
    exif.lens_model = facts.lens
    exif.orientation = facts.orientation
    exif.location_withheld = facts.location_withheld
    if facts.taken_at:
        taken = facts.taken_at if facts.taken_at.tzinfo else facts.taken_at.replace(tzinfo=UTC)
        exif.taken_time.CopyFrom(_timestamp(taken))
    if facts.location:
        exif.location.latitude = facts.location.latitude_deg
        exif.location.longitude = facts.location.longitude_deg
        if facts.location.altitude_m is not None:
            exif.location.altitude = facts.location.altitude_m


def _write_codes(message: analyzer_pb2.Insights, read: Codes, report: Report) -> None:
    for code in read.codes:
        box = _box(code.box, report.picture.width, report.picture.height)
        message.barcodes.add(format=code.format, text=code.text, box=box)


def _write_thumbhash(message: analyzer_pb2.Insights, hashed: ThumbHash, _report: Report) -> None:
    message.thumbhash = hashed.data


def _write_moderation(message: analyzer_pb2.Insights, judged: Moderation, _report: Report) -> None:
    message.moderation.unsafe_score = judged.unsafe_score


def _write_descriptors(message: analyzer_pb2.Insights, described: Descriptors, _report: Report) -> None:
    for face, vector in zip(message.faces.faces, described.vectors, strict=True):
        face.descriptor.extend(vector)


WRITERS: dict[Insight, Callable[[analyzer_pb2.Insights, Any, Report], None]] = {
    Insight.COLOURS: _write_colors,
    Insight.LUMINANCE: _write_luminance,
    Insight.SCENE: _write_scene,
    Insight.FACES: _write_faces,
    Insight.TEXT: _write_text,
    Insight.HASHES: _write_hashes,
    Insight.EXIF: _write_exif,
    Insight.CODES: _write_codes,
    Insight.THUMBHASH: _write_thumbhash,
    Insight.MODERATION: _write_moderation,
    Insight.DESCRIPTORS: _write_descriptors,
}


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
