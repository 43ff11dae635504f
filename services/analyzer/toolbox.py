"""What a call may ask for, and the detectors that answer it."""

from __future__ import annotations

import enum
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services.analyzer.decode import DecodeLimits
from services.analyzer.detector import Detector, describe_detector, digest_settings
from services.analyzer.detectors.codes import CodeDetector
from services.analyzer.detectors.colours import ColourDetector
from services.analyzer.detectors.descriptors import DescriptorDetector
from services.analyzer.detectors.exif import ExifDetector
from services.analyzer.detectors.faces import FaceDetector
from services.analyzer.detectors.hashes import HashDetector
from services.analyzer.detectors.luminance import LuminanceDetector
from services.analyzer.detectors.moderation import ModerationDetector
from services.analyzer.detectors.scene import SceneDetector
from services.analyzer.detectors.text import TextDetector
from services.analyzer.detectors.thumbhash import ThumbHashDetector
from services.analyzer.resources import ResourceMissingError, find_tessdata
from services.runtime.errors import InvalidArgumentError, Reason

# Changes when decode, orchestration or rendering change what comes out; detectors have versions of their own.
VERSION = "2"

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
    CODES = "codes"
    THUMBHASH = "thumbhash"
    MODERATION = "moderation"
    DESCRIPTORS = "descriptors"


# What must be asked for: it costs much, needs an extra, or is nobody's business by default.
ON_REQUEST = frozenset({Insight.MODERATION, Insight.DESCRIPTORS})
STANDARD = frozenset(Insight) - ON_REQUEST


@dataclass(frozen=True, slots=True)
class AnalyzerConfig:
    """What an operator may decide.

    ``face_model`` and ``tessdata`` override where the model file and the language data are sought;
    ``tessdata_prefix`` is the value of TESSDATA_PREFIX. ``languages`` as Tesseract writes them ("eng+deu").
    ``text_timeout_s`` bounds the reading of one picture. ``with_location`` lets GPS positions out.
    ``insights`` run for who does not choose. ``decode_processes`` decode what might hang or crash; with 0 it
    is decoded in this process, which is for files of one's own. ``people_processes`` describe faces, within
    ``people_timeout_s`` a picture.
    """

    decode: DecodeLimits = field(default_factory=DecodeLimits)
    decode_processes: int = 0
    insights: frozenset[Insight] = STANDARD
    thumbnail_edge_px: int = 300
    face_model: Path | None = None
    tessdata: Path | None = None
    tessdata_prefix: Path | None = None
    languages: str = "eng"
    text_timeout_s: float = 10.0
    with_location: bool = False
    people_processes: int = 1
    people_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call wants.

    ``thumbnail_edge_px`` is the thumbnail's longer edge, 0 for the operator's default. ``insights`` None,
    ``languages`` "" and ``with_location`` None leave the choice to the operator. DESCRIPTORS brings FACES.
    """

    insights: frozenset[Insight] | None = None
    thumbnail: bool = False
    thumbnail_edge_px: int = 0
    languages: str = ""
    with_location: bool | None = None


Detectors = Mapping[Insight, Detector[Any]]


def open_detectors(config: AnalyzerConfig, registry: CollectorRegistry | None = None) -> Detectors:
    """Load models and engines; what can't be loaded is logged and reports itself unavailable.

    ``registry`` takes the metrics of the child processes that some of them use.
    """
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
        Insight.CODES: CodeDetector(thorough=False),
        Insight.THUMBHASH: ThumbHashDetector(),
        Insight.MODERATION: ModerationDetector.open(),
        Insight.DESCRIPTORS: DescriptorDetector.open(
            config.people_processes, config.people_timeout_s, registry
        ),
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
        self._sets: dict[tuple[str, bool, bool, frozenset[Insight]], Toolset] = {}

    def pick(self, plan: Plan) -> Toolset:
        """The detectors for ``plan``. Raises InvalidArgumentError for a language that is not installed."""
        config = self._config
        languages = plan.languages or config.languages
        with_location = config.with_location if plan.with_location is None else plan.with_location
        insights = config.insights if plan.insights is None else plan.insights
        if Insight.DESCRIPTORS in insights:
            insights |= {Insight.FACES}
        # Who names the codes gets all of them; who takes what comes gets those that cost little to find.
        thorough = plan.insights is not None and Insight.CODES in insights
        key = (languages, with_location, thorough, insights)
        with self._lock:
            tools = self._sets.get(key)
            if tools is None:
                tools = self._sets[key] = self._make(*key)
                if len(self._sets) > MAX_TOOLSETS:
                    self._sets.pop(next(iter(self._sets)))
            return tools

    def _make(
        self, languages: str, with_location: bool, thorough: bool, insights: frozenset[Insight]
    ) -> Toolset:
        special: dict[Insight, Detector[Any]] = {}
        if languages != self._config.languages and Insight.TEXT in insights:
            special[Insight.TEXT] = self._reader(languages)
        if with_location != self._config.with_location:
            special[Insight.EXIF] = ExifDetector(with_location=with_location)
        if thorough:
            special[Insight.CODES] = CodeDetector(thorough=True)
        available = {**self.standard, **special}
        detectors = {insight: available[insight] for insight in Insight if insight in insights}
        described = {insight: describe_detector(each) for insight, each in detectors.items()}
        if Insight.DESCRIPTORS in described:  # of the faces that were found
            described[Insight.DESCRIPTORS]["faces"] = described[Insight.FACES]
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
