"""Reports of the domain as messages of the contract, and options of the contract as plans of the domain."""

from __future__ import annotations

from collections.abc import Callable

from services.analyzer.analysis import Analyzer, Report
from services.analyzer.detector import Cancellation, Status
from services.analyzer.insight_messages import DETECTORS, INSIGHTS, STATUSES, insights
from services.analyzer.picture import Box
from services.analyzer.plan import Plan, TextEngineName
from services.analyzer.render import Rendition
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import analyzer_pb2

THUMBNAIL_EDGES = range(16, 2_049)
DEFAULT_THUMBNAIL_EDGE = 300
MAX_BOXES = 1_000
TEXT_ENGINES: dict[int, TextEngineName] = {
    analyzer_pb2.TEXT_ENGINE_UNSPECIFIED: "tesseract",
    analyzer_pb2.TEXT_ENGINE_TESSERACT: "tesseract",
    analyzer_pb2.TEXT_ENGINE_RAPIDOCR: "rapidocr",
}


def plan(options: analyzer_pb2.AnalyzeOptions) -> Plan:
    """What a caller asks for. Raises InvalidArgumentError (INVALID_FIELD) for what makes no sense."""
    edge = options.thumbnail_edge
    if edge and edge not in THUMBNAIL_EDGES:
        raise _edge_out_of_range()
    if unknown := set(options.detectors) - set(analyzer_pb2.Detector.values()):
        raise InvalidArgumentError(
            Reason.INVALID_FIELD, f"This version knows no detector {min(unknown)}.", field="detectors"
        )
    if options.text_engine not in TEXT_ENGINES:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD, "text_engine is TESSERACT or RAPIDOCR.", field="text_engine"
        )
    wanted = frozenset(INSIGHTS[detector] for detector in options.detectors if detector in INSIGHTS)
    return Plan(
        insights=wanted if options.detectors else None,
        thumbnail=bool(edge),
        thumbnail_edge_px=edge,
        languages=options.text_language,
        text_engine=TEXT_ENGINES[options.text_engine],
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
        return lambda data, cancelled: analyzer.make_annotated(data, boxes, cancelled)
    if request.kind == analyzer_pb2.RENDITION_KIND_THUMBNAIL:
        edge = request.thumbnail_edge or DEFAULT_THUMBNAIL_EDGE
        if edge not in THUMBNAIL_EDGES:
            raise _edge_out_of_range()
        return lambda data, cancelled: analyzer.make_thumbnail(data, edge, cancelled)
    raise InvalidArgumentError(Reason.INVALID_FIELD, "kind is ANNOTATED or THUMBNAIL.", field="kind")


def rendition(drawn: Rendition) -> analyzer_pb2.Rendition:
    """A drawn picture as message."""
    return analyzer_pb2.Rendition(
        content=drawn.data, media_type=drawn.media_type, width=drawn.width, height=drawn.height
    )


def analysis(report: Report) -> analyzer_pb2.AnalyzeImageResponse:
    """A report as message."""
    answer = analyzer_pb2.AnalyzeImageResponse(insights=insights(report))
    if report.thumbnail:
        answer.thumbnail.CopyFrom(rendition(report.thumbnail))
    return answer


def detector_infos(analyzer: Analyzer) -> list[analyzer_pb2.DetectorInfo]:
    """Every detector of the contract and whether it can work here."""
    return [
        analyzer_pb2.DetectorInfo(
            detector=DETECTORS[insight],
            status=STATUSES[Status.OK if equipment.engine else Status.UNAVAILABLE],
            engine=equipment.engine,
            fallback=equipment.fallback,
            version=version,
            message=equipment.missing,
            on_by_default=insight in analyzer.default_insights,
        )
        for insight, (version, equipment) in analyzer.equipment().items()
    ]


def fallbacks(analyzer: Analyzer) -> dict[str, str]:
    """What runs by default with less than intended, or not at all, and the way out: for the health report."""
    return {
        str(insight): equipment.missing
        for insight, (_, equipment) in analyzer.equipment().items()
        if equipment.missing and insight in analyzer.default_insights
    }


def _edge_out_of_range() -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_FIELD,
        f"thumbnail_edge is {THUMBNAIL_EDGES.start} to {THUMBNAIL_EDGES.stop - 1}, or 0.",
        field="thumbnail_edge",
    )
