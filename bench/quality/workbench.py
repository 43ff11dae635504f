"""What every subject works with: the analyzer, one insight at a time, and the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from bench.quality.samples import Samples
from services.analyzer.analysis import Analyzer, Report
from services.analyzer.detector import Status
from services.analyzer.detectors.colours import Palette
from services.analyzer.detectors.faces import Faces
from services.analyzer.detectors.hashes import Hashes
from services.analyzer.detectors.luminance import Luminance
from services.analyzer.detectors.scene import Scene
from services.analyzer.detectors.text import Text
from services.analyzer.picture import Box
from services.analyzer.plan import Insight, Plan

T = TypeVar("T")
VIEW = frozenset(
    {Insight.COLOURS, Insight.LUMINANCE, Insight.SCENE, Insight.FACES, Insight.TEXT, Insight.HASHES}
)


@dataclass(frozen=True, slots=True)
class View:
    """The insights of one file that are computed from its pixels."""

    colours: Palette
    luminance: Luminance
    scene: Scene
    faces: Faces
    text: Text
    hashes: Hashes

    @property
    def face_boxes(self) -> list[Box]:
        """Boxes of the faces."""
        return [face.box for face in self.faces.faces]

    @property
    def word_boxes(self) -> list[Box]:
        """Boxes of the words."""
        return [word.box for word in self.text.words]


class InsightMissingError(Exception):
    """A detector did not answer; there is nothing to measure."""


class Workbench:
    """Asks the analyzer for single insights of encoded images."""

    def __init__(self, analyzer: Analyzer, samples: Samples) -> None:
        self.samples = samples
        self._analyzer = analyzer

    def colours(self, data: bytes) -> Palette:
        """The palette."""
        return self._look(data, Insight.COLOURS, Palette)

    def luminance(self, data: bytes) -> Luminance:
        """Brightness, contrast, sharpness."""
        return self._look(data, Insight.LUMINANCE, Luminance)

    def faces(self, data: bytes) -> Faces:
        """The faces."""
        return self._look(data, Insight.FACES, Faces)

    def text(self, data: bytes) -> Text:
        """The text."""
        return self._look(data, Insight.TEXT, Text)

    def hashes(self, data: bytes) -> Hashes:
        """The perceptual hashes."""
        return self._look(data, Insight.HASHES, Hashes)

    def view(self, data: bytes) -> View:
        """All of them, from one decode."""
        report = self._analyzer.analyze(data, Plan(insights=VIEW))
        return View(
            colours=_take(report, Insight.COLOURS, Palette),
            luminance=_take(report, Insight.LUMINANCE, Luminance),
            scene=_take(report, Insight.SCENE, Scene),
            faces=_take(report, Insight.FACES, Faces),
            text=_take(report, Insight.TEXT, Text),
            hashes=_take(report, Insight.HASHES, Hashes),
        )

    def _look(self, data: bytes, insight: Insight, kind: type[T]) -> T:
        return _take(self._analyzer.analyze(data, Plan(insights=frozenset({insight}))), insight, kind)


def _take(report: Report, insight: Insight, kind: type[T]) -> T:
    outcome = report.outcomes[insight]
    if outcome.status is not Status.OK or not isinstance(outcome.value, kind):
        raise InsightMissingError(f"{insight}: {outcome.reason}")
    return outcome.value
