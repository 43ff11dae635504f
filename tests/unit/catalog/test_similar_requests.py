"""Requests for similar images and for duplicates."""

from __future__ import annotations

import pytest

from services.catalog.looks.similar_requests import parse_duplicates, parse_similar
from services.catalog.requests.page_tokens import make_page_token
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import catalog_pb2, errors_pb2

Similar = catalog_pb2.ListSimilarImagesRequest
Duplicates = catalog_pb2.ListDuplicatesRequest
MALFORMED = "x"


def test_what_is_left_out_has_a_default() -> None:
    similar = parse_similar(Similar(name="images/7"))
    assert (similar.key, similar.measure, similar.max_distance, similar.size) == (7, "look", 8, 50)
    assert similar.after is None
    duplicates = parse_duplicates(Duplicates())
    assert (duplicates.max_distance, duplicates.size, duplicates.below) == (0, 50, None)


def test_a_distance_of_zero_is_not_the_default() -> None:
    assert parse_similar(Similar(name="images/7", max_distance=0)).max_distance == 0


@pytest.mark.parametrize(
    ("measure", "expected"),
    [(catalog_pb2.SIMILARITY_MEASURE_LOOK, "look"), (catalog_pb2.SIMILARITY_MEASURE_COLOR, "color")],
)
def test_measures(measure: catalog_pb2.SimilarityMeasure.ValueType, expected: str) -> None:
    assert parse_similar(Similar(name="images/7", measure=measure)).measure == expected


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Similar(name="7"), Reason.INVALID_NAME),
        (Similar(), Reason.INVALID_NAME),
        (Similar(name="images/7", max_distance=33), Reason.INVALID_FIELD),
        (Similar(name="images/7", max_distance=-1), Reason.INVALID_FIELD),
        (Similar(name="images/7", page_size=-1), Reason.INVALID_FIELD),
        (Similar(name="images/7", measure=9), Reason.INVALID_FIELD),  # type: ignore[arg-type]
        (Similar(name="images/7", page_token=MALFORMED), Reason.INVALID_PAGE_TOKEN),
    ],
)
def test_similar_outside_the_rules_is_refused(
    request_: catalog_pb2.ListSimilarImagesRequest, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_similar(request_)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Duplicates(max_distance=15), Reason.INVALID_FIELD),
        (Duplicates(max_distance=-1), Reason.INVALID_FIELD),
        (Duplicates(page_size=-1), Reason.INVALID_FIELD),
        (Duplicates(page_token=MALFORMED), Reason.INVALID_PAGE_TOKEN),
    ],
)
def test_duplicates_outside_the_rules_are_refused(
    request_: catalog_pb2.ListDuplicatesRequest, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_duplicates(request_)
    assert refusal.value.reason == reason


def test_pages_are_bounded_and_go_on_where_they_ended() -> None:
    assert parse_similar(Similar(name="images/7", page_size=5_000)).size == 1_000
    first = parse_similar(Similar(name="images/7"))
    token = make_page_token(first.bound_to, (3, 12))
    assert parse_similar(Similar(name="images/7", page_size=9, page_token=token)).after == (3, 12)
    with pytest.raises(InvalidArgumentError):
        parse_similar(Similar(name="images/8", page_token=token))
    token = make_page_token(parse_duplicates(Duplicates(max_distance=4)).bound_to, (12,))
    assert parse_duplicates(Duplicates(max_distance=4, page_token=token)).below == 12
