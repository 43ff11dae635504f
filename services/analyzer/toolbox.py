"""The detectors that answer what a call asks for."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry

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
from services.analyzer.plan import AnalyzerConfig, Insight, Plan, TextEngineName
from services.analyzer.resources import ResourceMissingError, find_tessdata
from services.runtime.errors import InvalidArgumentError, Reason

# Changes when decode, orchestration or rendering change what comes out; detectors have versions of their own.
VERSION = "2"

# Sets of detectors that are kept, and text engines besides the standard one: those hold megabytes a thread.
MAX_TOOLSETS = 64
MAX_READERS = 4
LANGUAGES = re.compile(r"(?=.{2,64}$)[A-Za-z0-9_]+(\+[A-Za-z0-9_]+)*")


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
        Insight.TEXT: _open_reader(config, config.languages, "tesseract"),
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


class _Choice(NamedTuple):
    """What tells one toolset from another."""

    languages: str
    text_engine: TextEngineName
    with_location: bool
    thorough_codes: bool
    insights: frozenset[Insight]


class Toolbox:
    """Picks the detectors that a plan needs; those that hold an engine are opened once and kept."""

    def __init__(self, config: AnalyzerConfig, standard: Detectors) -> None:
        self.standard = standard
        self._config = config
        self._lock = threading.Lock()
        self._sets: dict[_Choice, Toolset] = {}
        self._readers: dict[str, TextDetector] = {}

    def pick(self, plan: Plan) -> Toolset:
        """The detectors for ``plan``. Raises InvalidArgumentError for a language that is not installed."""
        choice = self._choose(plan)
        with self._lock:
            tools = self._sets.get(choice)
            if tools is None:
                tools = self._sets[choice] = self._make(choice)
                if len(self._sets) > MAX_TOOLSETS:
                    self._sets.pop(next(iter(self._sets)))
            return tools

    def _choose(self, plan: Plan) -> _Choice:
        config = self._config
        insights = config.insights if plan.insights is None else plan.insights
        if Insight.DESCRIPTORS in insights:
            insights |= {Insight.FACES}
        return _Choice(
            languages=plan.languages or config.languages,
            text_engine=plan.text_engine,
            with_location=config.with_location if plan.with_location is None else plan.with_location,
            # Who names the codes gets all of them; who takes what comes gets those that cost little to find.
            thorough_codes=plan.insights is not None and Insight.CODES in insights,
            insights=insights,
        )

    def _make(self, choice: _Choice) -> Toolset:
        detectors = {insight: self.standard[insight] for insight in Insight if insight in choice.insights}
        if Insight.TEXT in detectors:
            detectors[Insight.TEXT] = self._reader(choice)
        if Insight.EXIF in detectors and choice.with_location != self._config.with_location:
            detectors[Insight.EXIF] = ExifDetector(with_location=choice.with_location)
        if choice.thorough_codes:
            detectors[Insight.CODES] = CodeDetector(thorough=True)
        described = {insight: describe_detector(each) for insight, each in detectors.items()}
        if Insight.DESCRIPTORS in described:  # of the faces that were found
            described[Insight.DESCRIPTORS]["faces"] = described[Insight.FACES]
        return Toolset(
            detectors=detectors,
            languages="" if choice.text_engine == "rapidocr" else choice.languages,
            settings_digest=digest_settings({"version": VERSION, "detectors": list(described.values())}),
            digests={insight: digest_settings(each) for insight, each in described.items()},
        )

    def _reader(self, choice: _Choice) -> Detector[Any]:
        if choice.text_engine == "rapidocr":
            return self._keep_reader("rapidocr", choice)
        if choice.languages == self._config.languages:
            return self.standard[Insight.TEXT]
        if not LANGUAGES.fullmatch(choice.languages):
            raise _invalid_language(
                "text_language is up to 64 characters of Tesseract codes joined with '+'."
            )
        try:
            find_tessdata(self._config.tessdata, self._config.tessdata_prefix, choice.languages)
        except ResourceMissingError as error:
            raise _invalid_language(str(error)) from None
        return self._keep_reader(f"tesseract {choice.languages}", choice)

    def _keep_reader(self, name: str, choice: _Choice) -> TextDetector:
        reader = self._readers.pop(name, None) or _open_reader(
            self._config, choice.languages, choice.text_engine
        )
        self._readers[name] = reader  # the last used is the last to go
        if len(self._readers) > MAX_READERS:
            self._readers.pop(next(iter(self._readers)))
        return reader


def _open_reader(config: AnalyzerConfig, languages: str, engine: TextEngineName) -> TextDetector:
    timeout_s = config.accurate_text_timeout_s if engine == "rapidocr" else config.text_timeout_s
    return TextDetector.open(config.tessdata, config.tessdata_prefix, languages, timeout_s, engine)


def _invalid_language(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_FIELD, rule, field="text_language")
