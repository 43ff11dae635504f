"""One call from bytes to a report: decode once, run what the plan asks for, render."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from services.analyzer.decode import Decoder, open_decode_children
from services.analyzer.detector import (
    Cancellation,
    Detector,
    Equipment,
    Outcome,
    equipment_of,
    raise_if_cancelled,
    run_detector,
)
from services.analyzer.detectors.descriptors import DescriptorDetector
from services.analyzer.picture import Box, Picture
from services.analyzer.plan import AnalyzerConfig, Insight, Plan
from services.analyzer.render import Rendition, render_annotated, render_thumbnail
from services.analyzer.toolbox import VERSION, Detectors, Toolbox, Toolset, open_detectors
from services.runtime.child_processes import ChildProcesses


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
    """All that one call found: an outcome for every insight that was asked for, in the order of Insight."""

    picture: PictureFacts
    tools: Toolset
    duration_ms: float
    outcomes: Mapping[Insight, Outcome[Any]]
    thumbnail: Rendition | None = None

    def value(self, insight: Insight) -> Any:
        """What was found; None where it was not asked for or its detector did not end well."""
        outcome = self.outcomes.get(insight)
        return outcome.value if outcome else None


class Analyzer:
    """Analyzes images; safe to call from many threads at once, one image a thread and core."""

    def __init__(
        self,
        config: AnalyzerConfig,
        detectors: Detectors | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Load everything once (about half a second); ``detectors`` replaces the standard set.

        ``registry`` takes the metrics of child processes. ``close`` ends them.
        """
        self._config = config
        self._children: ChildProcesses | None = None
        if config.decode_processes:
            self._children = open_decode_children(config.decode, config.decode_processes, registry)
        self._decoder = Decoder(config.decode, self._children)
        self._toolbox = Toolbox(config, detectors or open_detectors(config, registry))
        self.version = VERSION
        self.default_insights = config.insights
        self.settings_digest = self._toolbox.pick(Plan()).settings_digest

    def close(self) -> None:
        """End the child processes that decode and describe."""
        if self._children:
            self._children.close()
        for detector in self._toolbox.standard.values():
            if isinstance(detector, DescriptorDetector):
                detector.close()

    def equipment(self) -> dict[Insight, tuple[str, Equipment]]:
        """Version and equipment of each detector."""
        detectors = self._toolbox.standard
        return {insight: (each.version, equipment_of(each)) for insight, each in detectors.items()}

    def analyze(self, data: bytes, plan: Plan, cancelled: Cancellation = None) -> Report:
        """Analyze one encoded image; blocks for milliseconds to seconds, so call it in a worker thread.

        Raises InvalidArgumentError if the image doesn't decode, has too many pixels or ``plan`` names a
        language that is not installed, and AnalysisCancelledError soon after ``cancelled`` is set. A
        detector's own trouble is in its outcome.
        """
        started = time.perf_counter()
        raise_if_cancelled(cancelled)
        tools = self._toolbox.pick(plan)
        picture = self._decoder.decode(data, cancelled)
        outcomes: dict[Insight, Outcome[Any]] = {}
        for insight, detector in tools.detectors.items():
            outcomes[insight] = run_detector(_bind(detector, outcomes), picture, cancelled)
        raise_if_cancelled(cancelled)
        thumbnail = self._shrink(picture, plan.thumbnail_edge_px) if plan.thumbnail else None
        return Report(
            picture=_list_facts(picture),
            tools=tools,
            duration_ms=(time.perf_counter() - started) * 1_000,
            outcomes=outcomes,
            thumbnail=thumbnail,
        )

    def make_thumbnail(self, data: bytes, edge_px: int = 0, cancelled: Cancellation = None) -> Rendition:
        """The thumbnail alone, of ``edge_px`` or the operator's default; errors as ``analyze``."""
        return self._shrink(self._decoder.decode(data, cancelled), edge_px)

    def make_annotated(self, data: bytes, boxes: Iterable[Box], cancelled: Cancellation = None) -> Rendition:
        """The upright picture with ``boxes``, which may reach over its edge; errors as ``analyze``."""
        rgb, kind = self._decoder.decode_colour(data, cancelled)
        return render_annotated(rgb, boxes, kind)

    def _shrink(self, picture: Picture, edge_px: int) -> Rendition:
        return render_thumbnail(picture, edge_px or self._config.thumbnail_edge_px)


def _bind(detector: Detector[Any], outcomes: Mapping[Insight, Outcome[Any]]) -> Detector[Any]:
    """The same detector, told what it builds on: descriptors are of the faces that were found before."""
    if isinstance(detector, DescriptorDetector) and (faces := outcomes[Insight.FACES].value):
        return detector.of(faces)
    return detector


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
