"""What workers may report."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from services.catalog.model import AnalysisRecord, Outcome
from services.catalog.requests.outcomes import MAX_RESULT_BYTES, parse_outcome
from services.catalog.states import ImageState
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2

FAILURE = status_pb2.Status(code=3)


def analysis(**fields: object) -> catalog_pb2.Analysis:
    given: dict[str, object] = {
        "sha256": "ab" * 32,
        "analyzer": "caption",
        "version": "1",
        "settings_digest": "0011",
        "caption": captioner_pb2.Caption(text="A boat."),
        **fields,
    }
    return catalog_pb2.Analysis(**given)  # type: ignore[arg-type]  # the tests know the types


def request(**fields: object) -> catalog_pb2.WriteAnalysesRequest:
    return catalog_pb2.WriteAnalysesRequest(**{"key": "a", "image": "images/1", **fields})  # type: ignore[arg-type]


def refused(item: catalog_pb2.WriteAnalysesRequest) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        parse_outcome(item)
    return refusal.value


def test_everything_is_understood() -> None:
    item = request(
        analyses=[
            analysis(create_time=Timestamp(seconds=5, nanos=6_999), elapsed=Duration(seconds=1, nanos=2_000)),
            analysis(caption=None, analyzer="insights", insights=analyzer_pb2.Insights()),
        ],
        state=catalog_pb2.Image.PROCESSED,
    )
    assert parse_outcome(item) == Outcome(
        image=1,
        analyses=(
            AnalysisRecord("ab" * 32, "caption", "1", "0011", b"\n\x07A boat.", 5_000_006, 1_000_002),
            AnalysisRecord("ab" * 32, "insights", "1", "0011", b"", 0, 0),
        ),
        state=ImageState.PROCESSED,
        error=b"",
    )


def test_a_processed_image_may_say_what_is_missing() -> None:
    item = request(state=catalog_pb2.Image.PROCESSED, error=FAILURE)
    assert parse_outcome(item).error == FAILURE.SerializeToString()


def test_a_failure_comes_with_its_error() -> None:
    item = request(state=catalog_pb2.Image.FAILED, error=FAILURE)
    assert parse_outcome(item).error == FAILURE.SerializeToString()


def test_analyses_may_come_alone() -> None:
    parsed = parse_outcome(request(image="", analyses=[analysis()]))
    assert (parsed.image, parsed.state, len(parsed.analyses)) == (None, None, 1)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "x" * 129}, "key"),
        ({"analyses": [analysis()] * 17}, "analyses"),
        ({"state": catalog_pb2.Image.PENDING}, "state"),
        ({"state": catalog_pb2.Image.STORED}, "state"),
        ({"state": 77}, "state"),
        ({"state": catalog_pb2.Image.PROCESSED, "image": ""}, "image"),
        ({"state": catalog_pb2.Image.FAILED}, "error"),
        ({"error": FAILURE}, "error"),
        ({"analyses": [analysis(analyzer="insights")]}, "analyses.result"),
        ({"analyses": [analysis(analyzer="other")]}, "analyses.result"),
        ({"analyses": [analysis(caption=None)]}, "analyses.result"),
        (
            {"analyses": [analysis(caption=captioner_pb2.Caption(text="x" * MAX_RESULT_BYTES))]},
            "analyses.result",
        ),
        ({"analyses": [analysis(sha256="x")]}, "analyses.sha256"),
        ({"analyses": [analysis(version="")]}, "analyses.version"),
        ({"analyses": [analysis(settings_digest="x" * 129)]}, "analyses.settings_digest"),
        ({"analyses": [analysis(create_time=Timestamp(seconds=-1))]}, "analyses.create_time"),
        ({"analyses": [analysis(create_time=Timestamp(seconds=2**62))]}, "analyses.create_time"),
        ({"analyses": [analysis(elapsed=Duration(seconds=-1))]}, "analyses.elapsed"),
        ({"analyses": [analysis(elapsed=Duration(nanos=-5))]}, "analyses.elapsed"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(fields: dict[str, object], field: str) -> None:
    refusal = refused(request(**fields))
    assert refusal.reason == Reason.INVALID_FIELD
    assert refusal.metadata["field"] == field


def test_a_wrong_name_is_refused() -> None:
    assert refused(request(image="images/../1")).reason == Reason.INVALID_NAME
