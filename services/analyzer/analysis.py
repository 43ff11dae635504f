"""One call from bytes to a report: decode once, run what the plan asks for, render."""

from __future__ import annotations

import enum
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from services.analyzer.decode import Decoder
from services.analyzer.detector import (
    Cancellation,
    Detector,
    Equipment,
    Outcome,
    describe_detector,
    digest_settings,
    equipment_of,
    raise_if_cancelled,
    run_detector,
)
from services.analyzer.detectors.colours import ColourDetector, Palette
from services.analyzer.detectors.exif import ExifDetector
from services.analyzer.detectors.faces import FaceDetector, Faces
from services.analyzer.detectors.hashes import HashDetector, Hashes
from services.analyzer.detectors.luminance import Luminance, LuminanceDetector
from services.analyzer.detectors.scene import Scene, SceneDetector
from services.analyzer.detectors.text import Text, TextDetector
from services.analyzer.exif import ExifFacts
from services.analyzer.picture import Box, Picture
from services.analyzer.render import Rendition, render_annotated, render_thumbnail
from services.analyzer.resources import ResourceMissingError, find_tessdata
from services.runtime.errors import InvalidArgumentError, Reason

# Changes when decode, orchestration or rendering change what comes out; detectors have versions of their own.
VERSION = "1"

# Sets of detectors that are kept; each language holds an engine a thread.
MAX_TOOLSETS = 8
LANGUAGES = re.compile(r"(?=.{2,64}$)[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*")

T = TypeVar("T")


class Insight(enum.StrEnum):
    """What can be asked for; the value is the detector's name."""

    COLOURS = "colours"
    LUMINANCE = "luminance"
    SCENE = "scene"
    FACES = "faces"
    TEXT = "text"
    HASHES = "hashes"
    EXIF = "exif"


@dataclass(frozen=True, slots=True)
class AnalyzerConfig:
    """What an operator may decide.

    ``face_model`` and ``tessdata`` override where the model file and the language data are sought;
    ``tessdata_prefix`` is the value of TESSDATA_PREFIX. ``languages`` as Tesseract writes them ("eng+deu").
    ``text_timeout_s`` bounds the reading of one picture. ``with_location`` lets GPS positions out.
    """

    max_pixels: int = 50_000_000
    thumbnail_edge_px: int = 300
    face_model: Path | None = None
    tessdata: Path | None = None
    tessdata_prefix: Path | None = None
    languages: str = "eng"
    text_timeout_s: float = 10.0
    with_location: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call wants.

    ``thumbnail_edge_px`` is the thumbnail's longer edge, 0 for the operator's default. ``annotated`` draws
    the faces found, so it needs FACES among the insights. ``languages`` "" and ``with_location`` None leave
    the choice to the operator.
    """

    insights: frozenset[Insight] = frozenset(Insight)
    thumbnail: bool = False
    thumbnail_edge_px: int = 0
    annotated: bool = False
    languages: str = ""
    with_location: bool | None = None


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the decode learnt; width and height in pixels, upright. Fields as in Picture."""

    width: int
    height: int
    format: str
    mode: str
    frames: int
    orientation: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Report:
    """All that one call found. An outcome is None where it was not asked for.

    ``annotated`` is None where it was not asked for or no face was found: the original says the same.
    """

    picture: PictureFacts
    tools: Toolset
    duration_ms: float
    colours: Outcome[Palette] | None = None
    luminance: Outcome[Luminance] | None = None
    scene: Outcome[Scene] | None = None
    faces: Outcome[Faces] | None = None
    text: Outcome[Text] | None = None
    hashes: Outcome[Hashes] | None = None
    exif: Outcome[ExifFacts] | None = None
    thumbnail: Rendition | None = None
    annotated: Rendition | None = None

    def outcomes(self) -> Iterator[tuple[Insight, Outcome[object]]]:
        """How each detector ended that was asked for."""
        for insight in Insight:
            outcome: Outcome[object] | None = getattr(self, insight.value)
            if outcome is not None:
                yield insight, outcome


@dataclass(frozen=True, slots=True)
class Detectors:
    """One detector an insight."""

    colours: Detector[Palette]
    luminance: Detector[Luminance]
    scene: Detector[Scene]
    faces: Detector[Faces]
    text: Detector[Text]
    hashes: Detector[Hashes]
    exif: Detector[ExifFacts]

    @classmethod
    def open(cls, config: AnalyzerConfig) -> Detectors:
        """Load models and engines; what can't be loaded is logged and reports itself unavailable."""
        return cls(
            colours=ColourDetector(),
            luminance=LuminanceDetector(),
            scene=SceneDetector(),
            faces=FaceDetector.open(config.face_model),
            text=TextDetector.open(
                config.tessdata, config.tessdata_prefix, config.languages, config.text_timeout_s
            ),
            hashes=HashDetector(),
            exif=ExifDetector(with_location=config.with_location),
        )

    def __iter__(self) -> Iterator[Detector[object]]:
        yield from (self.colours, self.luminance, self.scene, self.faces, self.text, self.hashes, self.exif)


@dataclass(frozen=True, slots=True)
class Toolset:
    """The detectors of one kind of plan, the languages that they read, and what their results depend on.

    ``settings_digest`` covers version and settings of every detector that the plan asks for; ``digests``
    those of one detector each.
    """

    detectors: Detectors
    languages: str
    settings_digest: str
    digests: Mapping[Insight, str]


class Toolbox:
    """Makes the detectors that a plan's languages and its view of locations need, and keeps a few sets."""

    def __init__(self, config: AnalyzerConfig, standard: Detectors) -> None:
        self.standard = standard
        self._config = config
        self._lock = threading.Lock()
        self._sets: dict[tuple[object, ...], Toolset] = {}

    def pick(self, plan: Plan) -> Toolset:
        """The detectors for ``plan``. Raises InvalidArgumentError for a language that is not installed."""
        languages = plan.languages or self._config.languages
        with_location = self._config.with_location if plan.with_location is None else plan.with_location
        key = (languages, with_location, plan.insights)
        with self._lock:
            tools = self._sets.get(key)
            if tools is None:
                tools = self._sets[key] = self._make(languages, with_location, plan.insights)
                if len(self._sets) > MAX_TOOLSETS:
                    self._sets.pop(next(iter(self._sets)))
            return tools

    def _make(self, languages: str, with_location: bool, insights: frozenset[Insight]) -> Toolset:
        detectors = self.standard
        if languages != self._config.languages:
            detectors = replace(detectors, text=self._reader(languages))
        if with_location != self._config.with_location:
            detectors = replace(detectors, exif=ExifDetector(with_location=with_location))
        wanted = [
            (insight, describe_detector(each))
            for insight, each in zip(Insight, detectors, strict=True)
            if insight in insights
        ]
        return Toolset(
            detectors=detectors,
            languages=languages,
            settings_digest=digest_settings({"version": VERSION, "detectors": [each for _, each in wanted]}),
            digests={insight: digest_settings(each) for insight, each in wanted},
        )

    def _reader(self, languages: str) -> TextDetector:
        config = self._config
        if not LANGUAGES.fullmatch(languages):
            raise _invalid_language(
                "text_language is up to 64 characters of Tesseract codes joined with '+'."
            )
        try:
            find_tessdata(config.tessdata, config.tessdata_prefix, languages)
        except ResourceMissingError as error:
            raise _invalid_language(str(error)) from None
        return TextDetector.open(config.tessdata, config.tessdata_prefix, languages, config.text_timeout_s)


class Analyzer:
    """Analyzes images; safe to call from many threads at once, one image a thread and core."""

    def __init__(self, config: AnalyzerConfig, detectors: Detectors | None = None) -> None:
        """Load everything once (about half a second); ``detectors`` replaces the standard set."""
        self._config = config
        self._decoder = Decoder(config.max_pixels)
        self._toolbox = Toolbox(config, detectors or Detectors.open(config))
        self.version = VERSION
        self.settings_digest = self._toolbox.pick(Plan()).settings_digest

    def equipment(self) -> dict[Insight, tuple[str, Equipment]]:
        """Version and equipment of each detector."""
        detectors = self._toolbox.standard
        return {
            insight: (each.version, equipment_of(each))
            for insight, each in zip(Insight, detectors, strict=True)
        }

    def analyze(self, data: bytes, plan: Plan, cancelled: Cancellation = None) -> Report:
        """Analyze one encoded image; blocks for milliseconds to seconds, so call it in a worker thread.

        Raises InvalidArgumentError if the image doesn't decode, has too many pixels or ``plan`` names a
        language that is not installed, and AnalysisCancelledError soon after ``cancelled`` is set. A
        detector's own trouble is in its outcome.
        """
        started = time.perf_counter()
        raise_if_cancelled(cancelled)
        tools = self._toolbox.pick(plan)
        picture = self._decoder.decode(data)
        detectors = tools.detectors

        def run(insight: Insight, detector: Detector[T]) -> Outcome[T] | None:
            return run_detector(detector, picture, cancelled) if insight in plan.insights else None

        colours = run(Insight.COLOURS, detectors.colours)
        luminance = run(Insight.LUMINANCE, detectors.luminance)
        scene = run(Insight.SCENE, detectors.scene)
        hashes = run(Insight.HASHES, detectors.hashes)
        exif = run(Insight.EXIF, detectors.exif)
        faces = run(Insight.FACES, detectors.faces)
        text = run(Insight.TEXT, detectors.text)
        raise_if_cancelled(cancelled)
        thumbnail = self._shrink(picture, plan.thumbnail_edge_px) if plan.thumbnail else None
        annotated = self._annotate(data, picture, faces) if plan.annotated else None
        return Report(
            picture=_list_facts(picture),
            tools=tools,
            duration_ms=(time.perf_counter() - started) * 1_000,
            colours=colours,
            luminance=luminance,
            scene=scene,
            faces=faces,
            text=text,
            hashes=hashes,
            exif=exif,
            thumbnail=thumbnail,
            annotated=annotated,
        )

    def make_thumbnail(self, data: bytes, edge_px: int = 0) -> Rendition:
        """The thumbnail alone, of ``edge_px`` or the operator's default; errors as ``analyze``."""
        return self._shrink(self._decoder.decode(data), edge_px)

    def make_annotated(self, data: bytes, boxes: Iterable[Box]) -> Rendition:
        """The upright picture with ``boxes``, which may reach over its edge; errors as ``analyze``."""
        rgb, kind = self._decoder.decode_colour(data)
        return render_annotated(rgb, boxes, kind)

    def _shrink(self, picture: Picture, edge_px: int) -> Rendition:
        return render_thumbnail(picture, edge_px or self._config.thumbnail_edge_px)

    def _annotate(self, data: bytes, picture: Picture, faces: Outcome[Faces] | None) -> Rendition | None:
        if faces is None or faces.value is None or not faces.value.faces:
            return None
        boxes = [face.box for face in faces.value.faces]
        if picture.reduction > 1:
            return self.make_annotated(data, boxes)
        return render_annotated(picture.rgb.copy(), boxes, picture.format)


def _invalid_language(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_FIELD, rule, field="text_language")


def _list_facts(picture: Picture) -> PictureFacts:
    return PictureFacts(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        mode=picture.mode,
        frames=picture.frames,
        orientation=picture.orientation,
        truncated=picture.truncated,
    )
