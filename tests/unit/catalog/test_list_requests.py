"""What list requests may say."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.list_requests import parse_analysis_list, parse_image_list, parse_view
from services.catalog.model import ImageQuery, PageOrder, Span
from services.catalog.page_tokens import make_page_token
from services.catalog.states import ImageState
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import catalog_pb2, common_pb2

SERVED = {"states", "formats", "create_time", "size_bytes", "width", "height", "sha256", "labels"}


def refused(request: catalog_pb2.ListImagesRequest) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        parse_image_list(request)
    return refusal.value


def time_of(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


def test_nothing_asked_is_the_newest_fifty() -> None:
    asked = parse_image_list(catalog_pb2.ListImagesRequest())
    assert asked.query == ImageQuery()
    assert asked.order == PageOrder(50, None, newest_first=True)
    assert asked.with_results is False


def test_every_condition_is_understood() -> None:
    query = catalog_pb2.ImageQuery(
        states=[catalog_pb2.Image.FAILED, catalog_pb2.Image.FAILED],
        formats=[common_pb2.IMAGE_FORMAT_PNG],
        create_time=common_pb2.TimeRange(start_time=time_of(5, 1), end_time=time_of(7)),
        size_bytes=common_pb2.Int64Range(min=0),
        width=common_pb2.Int64Range(max=9),
        height=common_pb2.Int64Range(min=1, max=2),
        sha256="ab" * 32,
        labels={"b": "2", "a": "1"},
    )
    asked = parse_image_list(catalog_pb2.ListImagesRequest(query=query, order_by=" create_time  "))
    assert asked.order.newest_first is False
    assert asked.query == ImageQuery(
        states=frozenset({ImageState.FAILED}),
        formats=frozenset({2}),
        # The first whole microsecond that is not before the time.
        created_from_us=5_000_001,
        created_until_us=7_000_000,
        size_bytes=Span(min=0),
        width=Span(max=9),
        height=Span(1, 2),
        sha256="ab" * 32,
        labels=(("a", "1"), ("b", "2")),
    )


@pytest.mark.parametrize(
    "field", [field for field in catalog_pb2.ImageQuery.DESCRIPTOR.fields if field.name not in SERVED]
)
def test_every_other_condition_is_refused_by_name(field) -> None:  # type: ignore[no-untyped-def]
    query = catalog_pb2.ImageQuery()
    value = getattr(query, field.name)
    if field.message_type:
        value.SetInParent()
    elif field.is_repeated:
        value.append("tag" if field.cpp_type == field.CPPTYPE_STRING else 1)
    else:
        setattr(query, field.name, "x" if field.cpp_type == field.CPPTYPE_STRING else False)
    refusal = refused(catalog_pb2.ListImagesRequest(query=query))
    assert refusal.reason == Reason.NOT_SERVED_YET
    assert refusal.metadata["field"] == f"query.{field.name}"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (catalog_pb2.ListImagesRequest(page_size=-1), "page_size"),
        (catalog_pb2.ListImagesRequest(order_by="width"), "order_by"),
        (catalog_pb2.ListImagesRequest(order_by="create_time desc, number"), "order_by"),
        (catalog_pb2.ListImagesRequest(view=9), "view"),  # type: ignore[arg-type]
        (catalog_pb2.ListImagesRequest(query=catalog_pb2.ImageQuery(states=[0])), "query.states"),  # type: ignore[list-item]
        (catalog_pb2.ListImagesRequest(query=catalog_pb2.ImageQuery(states=[99])), "query.states"),  # type: ignore[list-item]
        (catalog_pb2.ListImagesRequest(query=catalog_pb2.ImageQuery(formats=[99])), "query.formats"),  # type: ignore[list-item]
        (catalog_pb2.ListImagesRequest(query=catalog_pb2.ImageQuery(sha256="AB" * 32)), "query.sha256"),
        (
            catalog_pb2.ListImagesRequest(
                query=catalog_pb2.ImageQuery(labels={f"{index}": "" for index in range(65)})
            ),
            "query.labels",
        ),
        (
            catalog_pb2.ListImagesRequest(
                query=catalog_pb2.ImageQuery(create_time=common_pb2.TimeRange(end_time=time_of(2**62)))
            ),
            "query.create_time.end_time",
        ),
        (
            catalog_pb2.ListImagesRequest(
                query=catalog_pb2.ImageQuery(create_time=common_pb2.TimeRange(start_time=time_of(0, -1)))
            ),
            "query.create_time.start_time",
        ),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(request_: catalog_pb2.ListImagesRequest, field: str) -> None:
    refusal = refused(request_)
    assert refusal.reason == Reason.INVALID_FIELD
    assert refusal.metadata["field"] == field


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1_000, 1_000), (2**31 - 1, 1_000)])
def test_page_sizes_are_cut(asked: int, given: int) -> None:
    assert parse_image_list(catalog_pb2.ListImagesRequest(page_size=asked)).order.size == given


def test_analyses_have_pages_of_their_own() -> None:
    for asked, given in ((0, 20), (100, 100), (101, 100)):
        order, _ = parse_analysis_list(catalog_pb2.ListAnalysesRequest(parent="images/1", page_size=asked))
        assert order.size == given
    _, bound_to = parse_analysis_list(catalog_pb2.ListAnalysesRequest(parent="images/1"))
    token = make_page_token(bound_to, (7, 8))
    order, _ = parse_analysis_list(catalog_pb2.ListAnalysesRequest(parent="images/1", page_token=token))
    assert order.after == (7, 8)
    with pytest.raises(ServiceError) as refusal:
        parse_analysis_list(catalog_pb2.ListAnalysesRequest(parent="images/2", page_token=token))
    assert refusal.value.reason == Reason.INVALID_PAGE_TOKEN


def test_the_same_query_is_bound_to_the_same_bytes_in_any_order_of_its_labels() -> None:
    labels = {f"key-{index}": f"{index}" for index in range(30)}
    turned = dict(reversed(labels.items()))
    one, other = (
        parse_image_list(catalog_pb2.ListImagesRequest(query=catalog_pb2.ImageQuery(labels=given))).bound_to
        for given in (labels, turned)
    )
    assert one == other


def test_a_view_left_out_is_the_default() -> None:
    basic, full = catalog_pb2.IMAGE_VIEW_BASIC, catalog_pb2.IMAGE_VIEW_FULL
    assert parse_view(catalog_pb2.IMAGE_VIEW_UNSPECIFIED, default=full)
    assert not parse_view(catalog_pb2.IMAGE_VIEW_UNSPECIFIED, default=basic)
    assert parse_view(full, default=basic)
    assert not parse_view(basic, default=full)
