"""Typed queries as conditions."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    SameBytes,
    Term,
    Within,
)
from services.catalog.requests.query_conditions import parse_conditions
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2

DIGEST = "ab" * 32


def span(least: int | None = None, most: int | None = None) -> common_pb2.Int64Range:
    return common_pb2.Int64Range(min=least, max=most)


def times(start: Timestamp | None = None, end: Timestamp | None = None) -> common_pb2.TimeRange:
    return common_pb2.TimeRange(start_time=start, end_time=end)


CASES: list[tuple[dict[str, object], Condition]] = [
    ({}, EVERYTHING),
    ({"states": [4, 1, 4]}, AnyOf((Term("state", "4"), Term("state", "1")))),
    ({"formats": [common_pb2.IMAGE_FORMAT_PNG]}, Term("format", "2")),
    (
        # The first whole microsecond that is not before the start, and the last before the end.
        {"create_time": times(Timestamp(seconds=5, nanos=1), Timestamp(seconds=7))},
        Within("create_time_us", 5_000_001, 6_999_999),
    ),
    ({"create_time": times(end=Timestamp(nanos=1))}, Within("create_time_us", None, 0)),
    ({"size_bytes": span(0)}, Within("size_bytes", 0, None)),
    ({"width": span(None, 9)}, Within("width", None, 9)),
    ({"height": span(-5, 2)}, Within("height", 0, 2)),
    ({"height": span(None, -1)}, Within("height", 1, 0)),
    ({"face_count": span(1, 2**63 - 1)}, Within("face_count", 1, 2**63 - 1)),
    # No double is exactly 0.55 or 72.35: the one is above, the other below.
    ({"quality_score": {"min": 0.55, "max": 72.35}}, Within("quality", 55, 7_235)),
    ({"quality_score": {"min": 72.345, "max": 80.005}}, Within("quality", 7_235, 8_000)),
    ({"quality_score": {"max": 1e300}}, Within("quality", None, 2**63 - 1)),
    ({"quality_score": {"min": 1e300}}, Within("quality", 1, 0)),
    ({"blur_levels": [analyzer_pb2.BLUR_LEVEL_HIGH]}, Term("blur", "3")),
    ({"has_text": False}, Term("has_text", "0")),
    ({"tags": ["Sea ", "boat"]}, All((Term("tag", "sea"), Term("tag", "boat")))),
    ({"color_near": {"red": 1, "green": 2, "blue": 3}}, ColorNear(1, 2, 3)),
    ({"color_near": {"hex": "#FF0080"}}, ColorNear(255, 0, 128)),
    ({"color_near": {}}, ColorNear(0, 0, 0)),
    ({"camera_model": "Canon EOS R5"}, Term("camera", "Canon EOS R5")),
    ({"scene_types": [1, 3]}, AnyOf((Term("scene", "1"), Term("scene", "3")))),
    ({"caption_provider": "openai"}, Term("provider", "openai")),
    ({"batch": "batches/1"}, Term("batch", "batches/1")),
    ({"labels": {"b": "2", "a": ""}}, All((Term("label", "a="), Term("label", "b=2")))),
    ({"sha256": DIGEST}, SameBytes(DIGEST)),
    ({"display_name": "ÄPFEL"}, NameContains("apfel")),
]


@pytest.mark.parametrize(("fields", "condition"), CASES)
def test_every_field_is_understood(fields: dict[str, object], condition: Condition) -> None:
    query = catalog_pb2.ImageQuery(**fields)  # type: ignore[arg-type]  # the cases know the types
    assert parse_conditions(query) == condition


def test_no_field_is_left_out() -> None:
    fields = {name for case, _ in CASES for name in case}
    assert fields == {field.name for field in catalog_pb2.ImageQuery.DESCRIPTOR.fields}


def test_all_fields_and_the_filter_must_hold() -> None:
    query = catalog_pb2.ImageQuery(states=[catalog_pb2.Image.PROCESSED], sha256=DIGEST)
    condition = parse_conditions(query, "width > 5 height > 6")
    assert condition == All(
        (Term("state", "3"), SameBytes(DIGEST), Within("width", 6, None), Within("height", 7, None))
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"states": [0]}, "states"),
        ({"states": [99]}, "states"),
        ({"formats": [99]}, "formats"),
        ({"formats": [0]}, "formats"),
        ({"blur_levels": [9]}, "blur_levels"),
        ({"scene_types": [9]}, "scene_types"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"labels": {f"{index}": "" for index in range(65)}}, "labels"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"a": "x" * 1_025}}, "labels"),
        ({"tags": [f"{index}" for index in range(65)]}, "tags"),
        ({"tags": [" "]}, "tags"),
        ({"camera_model": "\0"}, "camera_model"),
        ({"batch": "x" * 1_025}, "batch"),
        ({"display_name": "\u0301"}, "display_name"),
        ({"color_near": {"red": 256}}, "color_near"),
        ({"color_near": {"hex": "red"}}, "color_near"),
        ({"quality_score": {"min": float("nan")}}, "quality_score"),
        ({"quality_score": {"max": float("inf")}}, "quality_score"),
        ({"create_time": times(end=Timestamp(seconds=2**62))}, "create_time.end_time"),
        ({"create_time": times(Timestamp(nanos=-1))}, "create_time.start_time"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        parse_conditions(catalog_pb2.ImageQuery(**fields))  # type: ignore[arg-type]
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == f"query.{field}"
