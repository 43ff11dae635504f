"""What workers may report: checks it and turns it into plain data."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.model import ANALYZERS, AnalysisRecord, Outcome
from services.catalog.names import parse_image_name
from services.catalog.refusals import invalid_field
from services.catalog.requests.images import SHA256
from services.catalog.states import ImageState
from sightmill.v1 import catalog_pb2

MAX_KEY_CHARS = 128
MAX_ANALYSES = 16
# MongoDB takes documents of 16 MB; half of that leaves room for everything beside the result.
MAX_RESULT_BYTES = 8 * 1024 * 1024
_MAX_VERSION_CHARS = 128
_OUTCOMES = {
    catalog_pb2.Image.PROCESSED: ImageState.PROCESSED,
    catalog_pb2.Image.FAILED: ImageState.FAILED,
}


def parse_outcome(request: catalog_pb2.WriteAnalysesRequest) -> Outcome:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_NAME)."""
    if not 1 <= len(request.key) <= MAX_KEY_CHARS:
        raise invalid_field("key", f"1 to {MAX_KEY_CHARS} characters.")
    if len(request.analyses) > MAX_ANALYSES:
        raise invalid_field("analyses", f"At most {MAX_ANALYSES} an item.")
    state = _parse_state(request)
    if state is ImageState.FAILED and not request.HasField("error"):
        raise invalid_field("error", "Required with state FAILED.")
    if state is None and request.HasField("error"):
        raise invalid_field("error", "Only with a state.")
    return Outcome(
        image=parse_image_name(request.image) if request.image else None,
        analyses=tuple(_parse_analysis(analysis) for analysis in request.analyses),
        state=state,
        error=request.error.SerializeToString(deterministic=True),
    )


def _parse_state(request: catalog_pb2.WriteAnalysesRequest) -> ImageState | None:
    if not request.state:
        return None
    if request.state not in _OUTCOMES:
        raise invalid_field("state", "PROCESSED or FAILED, or nothing to leave it.")
    if not request.image:
        raise invalid_field("image", "Required with a state.")
    return _OUTCOMES[request.state]


def _parse_analysis(analysis: catalog_pb2.Analysis) -> AnalysisRecord:
    for analyzer in ANALYZERS:
        if analysis.analyzer == analyzer and analysis.WhichOneof("result") == analyzer:
            break
    else:
        raise invalid_field("analyses.result", 'Insights of "insights", or the caption of "caption".')
    if not SHA256.fullmatch(analysis.sha256):
        raise invalid_field("analyses.sha256", "64 hexadecimal digits, lower case.")
    for field in ("version", "settings_digest"):
        if not 1 <= len(getattr(analysis, field)) <= _MAX_VERSION_CHARS:
            raise invalid_field(f"analyses.{field}", f"1 to {_MAX_VERSION_CHARS} characters.")
    result = analysis.insights if analyzer == "insights" else analysis.caption
    stored = result.SerializeToString(deterministic=True)
    if len(stored) > MAX_RESULT_BYTES:
        raise invalid_field("analyses.result", f"At most {MAX_RESULT_BYTES:,} bytes.")
    return AnalysisRecord(
        sha256=analysis.sha256,
        analyzer=analyzer,
        version=analysis.version,
        settings_digest=analysis.settings_digest,
        result=stored,
        create_time_us=_positive_us("analyses.create_time", analysis.create_time),
        elapsed_us=_positive_us("analyses.elapsed", analysis.elapsed),
    )


def _positive_us(field: str, time: Timestamp | Duration) -> int:
    """Microseconds, 0 for an absent value. The bound is the year 9999."""
    if not 0 <= time.seconds <= 253_402_300_799 or not 0 <= time.nanos < 1_000_000_000:
        raise invalid_field(field, "Not negative, and in the range of its type.")
    return time.seconds * 1_000_000 + time.nanos // 1_000
