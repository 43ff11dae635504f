"""One call from bytes to a report: decode once, run what the plan asks for, render."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.analyzer.colours import ColourDetector, Palette
from services.analyzer.decode import Decoder
from services.analyzer.detector import (
    Cancellation,
    Detector,
    Outcome,
    describe_detector,
    digest_settings,
    raise_if_cancelled,
    run_detector,
)
from services.analyzer.exif import ExifFacts
from services.analyzer.exif_detector import ExifDetector
from services.analyzer.faces import FaceDetector, Faces
from services.analyzer.hashes import HashDetector, Hashes
from services.analyzer.luminance import Luminance, LuminanceDetector
from services.analyzer.picture import Box, Picture
from services.analyzer.render import Rendition, render_annotated, render_thumbnail
from services.analyzer.scene import Scene, SceneDetector
from services.analyzer.text import Text, TextDetector

# Changes when decode, orchestration or rendering change what comes out; detectors have versions of their own.
VERSION = "1"

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
    the faces found, so it needs FACES among the insights.
    """

    insights: frozenset[Insight] = frozenset(Insight)
    thumbnail: bool = False
    thumbnail_edge_px: int = 0
    annotated: bool = False


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
    colours: Outcome[Palette] | None = None
    luminance: Outcome[Luminance] | None = None
    scene: Outcome[Scene] | None = None
    faces: Outcome[Faces] | None = None
    text: Outcome[Text] | None = None
    hashes: Outcome[Hashes] | None = None
    exif: Outcome[ExifFacts] | None = None
    thumbnail: Rendition | None = None
    annotated: Rendition | None = None


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


class Analyzer:
    """Analyzes images; safe to call from many threads at once, one image a thread and core."""

    def __init__(self, config: AnalyzerConfig, detectors: Detectors | None = None) -> None:
        """Load everything once (about half a second); ``detectors`` replaces the standard set."""
        self._config = config
        self._decoder = Decoder(config.max_pixels)
        self._detectors = detectors or Detectors.open(config)
        self.version = VERSION
        self.settings_digest = digest_settings(
            {"version": VERSION, "detectors": [describe_detector(each) for each in self._detectors]}
        )

    def describe(self) -> list[dict[str, object]]:
        """Name, version and settings of each detector."""
        return [describe_detector(each) for each in self._detectors]

    def analyze(self, data: bytes, plan: Plan, cancelled: Cancellation = None) -> Report:
        """Analyze one encoded image; blocks for milliseconds to seconds, so call it in a worker thread.

        Raises InvalidArgumentError if the image doesn't decode or has too many pixels, and
        AnalysisCancelledError soon after ``cancelled`` is set. A detector's own trouble is in its outcome.
        """
        raise_if_cancelled(cancelled)
        picture = self._decoder.decode(data)
        detectors = self._detectors

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
        return Report(
            picture=_list_facts(picture),
            colours=colours,
            luminance=luminance,
            scene=scene,
            faces=faces,
            text=text,
            hashes=hashes,
            exif=exif,
            thumbnail=self._shrink(picture, plan.thumbnail_edge_px) if plan.thumbnail else None,
            annotated=self._annotate(data, picture, faces) if plan.annotated else None,
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
