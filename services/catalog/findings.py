"""What lists, search, facets and exports need to know of an image, read once when it changes.

Both stores keep these beside the image, so that no query opens a stored result.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from services.catalog.colors import Rgb
from services.catalog.conditions import TermField
from services.catalog.model import ANALYZERS, Look, NewImage
from services.catalog.states import ImageState
from services.catalog.words import fold, joined_words
from services.runtime.errors import DataLossError, Reason
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2

FINDINGS_VERSION = 1
"""Goes up with every change of what is derived; stores then make all findings anew at their next start."""

M = TypeVar("M", bound=Message)
OWN_OPTIONS = "own"
"""Stands for the settings of an analysis that the uploader chose options for: no default replaces these."""
_MAX_TAGS = 64
_MAX_FACES = 10
_MAX_TEXT_CHARS = 20_000
_NOT_MEASURED = -1


class Sheet(NamedTuple):
    """The columns of an export that come from results; None where nothing was measured or said.

    Lists are joined with ", ". Times in microseconds since 1970.
    """

    title: str | None = None
    caption: str | None = None
    tags: str | None = None
    objects: str | None = None
    caption_language: str | None = None
    caption_provider: str | None = None
    caption_model: str | None = None
    caption_degraded: int | None = None
    brightness: int | None = None
    contrast: float | None = None
    sharpness: float | None = None
    blur_level: str | None = None
    quality_score: float | None = None
    shadow_share: float | None = None
    highlight_share: float | None = None
    colorfulness: float | None = None
    dominant_colors: str | None = None
    scene: str | None = None
    scene_confidence: float | None = None
    face_count: int | None = None
    text: str | None = None
    word_count: int | None = None
    barcodes: str | None = None
    moderation_score: float | None = None
    phash: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens_model: str | None = None
    taken_time_us: int | None = None
    latitude: float | None = None
    longitude: float | None = None
    analyzer_version: str | None = None
    analyzer_elapsed_ms: float | None = None
    error_reason: str | None = None
    error_message: str | None = None


class Document(NamedTuple):
    """The words to search, as folded words joined with single spaces; most telling first."""

    names: str
    tags: str
    caption: str
    objects: str
    text: str


DOCUMENT_WEIGHTS = Document(names=5, tags=4, caption=3, objects=2, text=1)  # type: ignore[arg-type]
"""What a word counts that is found in each part."""


class FoundFace(NamedTuple):
    """A face that a detector found: box in pixels of the upright image, descriptor of 128 little-endian
    float32 or none."""

    box: tuple[int, int, int, int]
    confidence: float
    descriptor: bytes


class Findings(NamedTuple):
    """Everything that is derived. Numbers are -1 where not measured; ``quality`` is the score times 100."""

    quality: int
    face_count: int
    blur: int
    scene: int
    has_text: int
    colors: tuple[Rgb, ...]
    terms: tuple[tuple[TermField, str], ...]
    name: str
    sheet: Sheet
    document: Document
    look: Look | None
    faces: tuple[FoundFace, ...]


class Shown(NamedTuple):
    """The analyses that an image shows: result, version and settings by analyzer."""

    results: Mapping[str, bytes]
    versions: Mapping[str, tuple[str, str]]


NOTHING_SHOWN = Shown({}, {})


def read_findings(
    image: NewImage, state: ImageState, error: bytes, shown: Shown, corrections: bytes
) -> Findings:
    """Derives everything; raises ``DataLossError(DATA_DAMAGED)`` when stored bytes are not what they were."""
    insights = _parsed(analyzer_pb2.Insights(), shown.results.get("insights"))
    caption = _parsed(captioner_pb2.Caption(), shown.results.get("caption"))
    said = _parsed(catalog_pb2.Corrections(), corrections or None)
    tags = _tags(caption, said)
    colors, color_names = _colors(insights)
    light, scene = _light(insights), _scene(insights)
    sheet = _sheet(insights, caption, said, tags, color_names, light, scene, error)
    return Findings(
        _NOT_MEASURED if sheet.quality_score is None else round(sheet.quality_score * 100),
        _NOT_MEASURED if sheet.face_count is None else sheet.face_count,
        (light.blur_level if light else 0) or _NOT_MEASURED,
        (scene.type if scene else 0) or _NOT_MEASURED,
        int(bool(sheet.text)) if sheet.text is not None else _NOT_MEASURED,
        colors,
        tuple(_terms(image, state, shown, sheet, tags, light, scene)),
        fold(image.display_name),
        sheet,
        _document(image, sheet, tags, caption),
        _look(insights),
        _faces(insights),
    )


def _parsed(message: M, stored: bytes | None) -> M | None:
    if stored is None:
        return None
    try:
        message.ParseFromString(stored)
    except DecodeError as fault:
        raise DataLossError(
            Reason.DATA_DAMAGED, f"A stored {message.DESCRIPTOR.name} cannot be read; restore a backup."
        ) from fault
    return message


def _tags(caption: captioner_pb2.Caption | None, said: catalog_pb2.Corrections | None) -> list[str]:
    """Computed and added tags without the removed ones, lower case, each once."""
    given: list[str] = [*said.added_tags] if said else []
    if caption:
        given += caption.tags
    tags = dict.fromkeys([tag.strip().lower() for tag in given])
    tags.pop("", None)
    for removed in said.removed_tags if said else ():
        tags.pop(removed.strip().lower(), None)
    return list(tags)[:_MAX_TAGS]


def _terms(
    image: NewImage,
    state: ImageState,
    shown: Shown,
    sheet: Sheet,
    tags: Iterable[str],
    light: analyzer_pb2.Luminance | None,
    scene: analyzer_pb2.Scene | None,
) -> list[tuple[TermField, str]]:
    terms: list[tuple[TermField, str]] = [("state", str(int(state))), ("format", str(image.format))]
    if image.batch:
        terms.append(("batch", image.batch))
    if image.labels:
        terms += [("label", f"{key}={value}") for key, value in image.labels.items()]
    terms += [("tag", tag) for tag in tags]
    if sheet.caption_provider:
        terms.append(("provider", sheet.caption_provider))
    if sheet.camera_model:
        terms.append(("camera", sheet.camera_model))
    if light and (blur := light.blur_level):
        terms.append(("blur", str(blur)))
    if scene and (place := scene.type):
        terms.append(("scene", str(place)))
    if sheet.text is not None:
        terms.append(("has_text", "1" if sheet.text else "0"))
    if sheet.face_count is not None:
        terms.append(("faces", str(min(sheet.face_count, _MAX_FACES))))
    _add_analysis_terms(terms, image, state, shown)
    return terms


def _add_analysis_terms(
    terms: list[tuple[TermField, str]], image: NewImage, state: ImageState, shown: Shown
) -> None:
    wanted, own = _wishes(image.process_options)
    for analyzer in ANALYZERS:
        version = shown.versions.get(analyzer)
        if version is not None:
            settings = OWN_OPTIONS if analyzer in own else version[1]
            terms.append(("analysis", f"{analyzer} {version[0]} {settings}"))
        elif analyzer in wanted and state.is_final and state is not ImageState.STORED:
            terms.append(("analysis", f"{analyzer} none"))


@lru_cache(maxsize=1_024)
def _wishes(process_options: bytes) -> tuple[tuple[str, ...], frozenset[str]]:
    """The analyses that the uploader asked for, and those with options of their own."""
    options = _parsed(catalog_pb2.ProcessOptions(), process_options) or catalog_pb2.ProcessOptions()
    own = {"insights": options.analyze.ByteSize() > 0, "caption": options.caption.ByteSize() > 0}
    wanted: tuple[str, ...] = ANALYZERS[:1] if options.skip_caption else ANALYZERS
    return () if options.skip_analysis else wanted, frozenset(name for name in own if own[name])


def _light(insights: analyzer_pb2.Insights | None) -> analyzer_pb2.Luminance | None:
    return insights.luminance if insights and insights.HasField("luminance") else None


def _scene(insights: analyzer_pb2.Insights | None) -> analyzer_pb2.Scene | None:
    return insights.scene if insights and insights.HasField("scene") else None


def _sheet(
    insights: analyzer_pb2.Insights | None,
    caption: captioner_pb2.Caption | None,
    said: catalog_pb2.Corrections | None,
    tags: list[str],
    color_names: str | None,
    light: analyzer_pb2.Luminance | None,
    scene: analyzer_pb2.Scene | None,
    error: bytes,
) -> Sheet:
    # In the order of the columns.
    sheet = Sheet._make(
        (
            None,
            *_caption_cells(caption, ", ".join(tags) or None),
            *_light_cells(light),
            color_names,
            *_content_cells(insights, scene),
            *_camera_cells(insights),
            *_origin_cells(insights),
            *(_error_cells(error) if error else (None, None)),
        )
    )
    if said is None:
        return sheet
    return sheet._replace(
        caption=said.caption if said.HasField("caption") else sheet.caption,
        title=said.title if said.HasField("title") else None,
    )


def _caption_cells(caption: captioner_pb2.Caption | None, tags: str | None) -> tuple[object, ...]:
    """From ``caption`` to ``caption_degraded``."""
    if caption is None:
        return None, tags, None, None, None, None, None
    return (
        caption.text or None,
        tags,
        ", ".join(caption.objects) or None,
        caption.language or None,
        caption.provider or None,
        caption.model or None,
        int(caption.degraded),
    )


def _light_cells(light: analyzer_pb2.Luminance | None) -> tuple[object, ...]:
    """From ``brightness`` to ``colorfulness``."""
    if light is None:
        return (None,) * 8
    return (
        light.brightness,
        light.contrast,
        light.sharpness,
        _blur_name(light.blur_level),
        light.quality_score,
        light.shadow_share if light.HasField("shadow_share") else None,
        light.highlight_share if light.HasField("highlight_share") else None,
        light.colorfulness if light.HasField("colorfulness") else None,
    )


def _content_cells(
    insights: analyzer_pb2.Insights | None, scene: analyzer_pb2.Scene | None
) -> tuple[object, ...]:
    """From ``scene`` to ``phash``."""
    if insights is None:
        return (None,) * 8
    has = insights.HasField
    text = insights.text if has("text") else None
    return (
        _scene_name(scene.type) if scene else None,
        scene.confidence if scene else None,
        len(insights.faces.faces) if has("faces") else None,
        text.text[:_MAX_TEXT_CHARS] if text else None,
        text.word_count if text else None,
        ", ".join([barcode.text for barcode in insights.barcodes]) or None,
        insights.moderation.unsafe_score if has("moderation") else None,
        f"{insights.hashes.phash:016x}" if has("hashes") else None,
    )


def _camera_cells(insights: analyzer_pb2.Insights | None) -> tuple[object, ...]:
    """From ``camera_make`` to ``longitude``."""
    if insights is None or not insights.HasField("exif"):
        return (None,) * 6
    exif = insights.exif
    has_location = exif.HasField("location")
    return (
        exif.camera_make or None,
        exif.camera_model or None,
        exif.lens_model or None,
        exif.taken_time.ToMicroseconds() if exif.HasField("taken_time") else None,
        exif.location.latitude if has_location else None,
        exif.location.longitude if has_location else None,
    )


def _origin_cells(insights: analyzer_pb2.Insights | None) -> tuple[str | None, float | None]:
    """``analyzer_version`` and ``analyzer_elapsed_ms``."""
    if insights is None:
        return None, None
    elapsed = insights.elapsed
    elapsed_us = elapsed.seconds * 1_000_000 + elapsed.nanos // 1_000
    return insights.analyzer_version or None, elapsed_us / 1_000 or None


def _error_cells(error: bytes) -> tuple[str | None, str | None]:
    """``error_reason`` and ``error_message``."""
    status = _parsed(status_pb2.Status(), error) or status_pb2.Status()
    reason = ""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason = info.reason
    return reason or None, status.message or None


@lru_cache(maxsize=64)
def _blur_name(level: analyzer_pb2.BlurLevel.ValueType) -> str | None:
    return _short_name(analyzer_pb2.BlurLevel.Name(level), "BLUR_LEVEL_")


@lru_cache(maxsize=64)
def _scene_name(scene: analyzer_pb2.SceneType.ValueType) -> str | None:
    return _short_name(analyzer_pb2.SceneType.Name(scene), "SCENE_TYPE_")


def _short_name(name: str, prefix: str) -> str | None:
    short = name.removeprefix(prefix)
    return None if short == "UNSPECIFIED" else short


def _document(
    image: NewImage, sheet: Sheet, tags: list[str], caption: captioner_pb2.Caption | None
) -> Document:
    name = image.display_name
    return Document(
        joined_words(f"{sheet.title} {name}" if sheet.title else name),
        joined_words(" ".join(tags)),
        joined_words(sheet.caption or ""),
        joined_words(" ".join(caption.objects) if caption else ""),
        joined_words(sheet.text or ""),
    )


def _colors(insights: analyzer_pb2.Insights | None) -> tuple[tuple[Rgb, ...], str | None]:
    """The main colours, and their names for the sheet."""
    if insights is None:
        return (), None
    found, names = [], []
    for dominant in insights.dominant_colors:
        color = dominant.color
        found.append((color.red & 255, color.green & 255, color.blue & 255))
        names.append(color.hex)
    return tuple(found), ", ".join(names) or None


def _look(insights: analyzer_pb2.Insights | None) -> Look | None:
    if insights is None or not insights.HasField("hashes"):
        return None
    hashes = insights.hashes
    return Look(hashes.phash, hashes.dhash, hashes.color_signature)


def _faces(insights: analyzer_pb2.Insights | None) -> tuple[FoundFace, ...]:
    if insights is None or not insights.HasField("faces"):
        return ()
    found = []
    for face in insights.faces.faces:
        box = face.box
        descriptor = array("f", face.descriptor[:]).tobytes() if face.descriptor else b""
        found.append(FoundFace((box.x, box.y, box.width, box.height), face.confidence, descriptor))
    return tuple(found)
