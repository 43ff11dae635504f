"""What a call may ask for, and the detectors that answer it."""

from __future__ import annotations

import enum
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.analyzer.detector import Detector, describe_detector, digest_settings
from services.analyzer.detectors.colours import ColourDetector
from services.analyzer.detectors.exif import ExifDetector
from services.analyzer.detectors.faces import FaceDetector
from services.analyzer.detectors.hashes import HashDetector
from services.analyzer.detectors.luminance import LuminanceDetector
from services.analyzer.detectors.scene import SceneDetector
from services.analyzer.detectors.text import TextDetector
from services.analyzer.resources import ResourceMissingError, find_tessdata
from services.runtime.errors import InvalidArgumentError, Reason

# Changes when decode, orchestration or rendering change what comes out; detectors have versions of their own.
VERSION = "1"

# Sets of detectors that are kept; each language holds an engine a thread.
MAX_TOOLSETS = 8
LANGUAGES = re.compile(r"(?=.{2,64}$)[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*")


class Insight(enum.StrEnum):
    """What can be asked for, in the order in which it is computed; the value is the detector's name."""

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

    ``thumbnail_edge_px`` is the thumbnail's longer edge, 0 for the operator's default. ``languages`` "" and
    ``with_location`` None leave the choice to the operator.
    """

    insights: frozenset[Insight] = frozenset(Insight)
    thumbnail: bool = False
    thumbnail_edge_px: int = 0
    languages: str = ""
    with_location: bool | None = None


Detectors = Mapping[Insight, Detector[Any]]


def open_detectors(config: AnalyzerConfig) -> Detectors:
    """Load models and engines; what can't be loaded is logged and reports itself unavailable."""
    return {
        Insight.COLOURS: ColourDetector(),
        Insight.LUMINANCE: LuminanceDetector(),
        Insight.SCENE: SceneDetector(),
        Insight.FACES: FaceDetector.open(config.face_model),
        Insight.TEXT: TextDetector.open(
            config.tessdata, config.tessdata_prefix, config.languages, config.text_timeout_s
        ),
        Insight.HASHES: HashDetector(),
        Insight.EXIF: ExifDetector(with_location=config.with_location),
    }


@dataclass(frozen=True, slots=True)
class Toolset:
    """The detectors of one kind of plan, the languages that they read, and what their results depend on.

    ``settings_digest`` covers version and settings of all of them; ``digests`` those of one detector each.
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
        special: dict[Insight, Detector[Any]] = {}
        if languages != self._config.languages and Insight.TEXT in insights:
            special[Insight.TEXT] = self._reader(languages)
        if with_location != self._config.with_location:
            special[Insight.EXIF] = ExifDetector(with_location=with_location)
        available = {**self.standard, **special}
        detectors = {insight: available[insight] for insight in Insight if insight in insights}
        described = {insight: describe_detector(each) for insight, each in detectors.items()}
        return Toolset(
            detectors=detectors,
            languages=languages,
            settings_digest=digest_settings({"version": VERSION, "detectors": list(described.values())}),
            digests={insight: digest_settings(each) for insight, each in described.items()},
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


def _invalid_language(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_FIELD, rule, field="text_language")
