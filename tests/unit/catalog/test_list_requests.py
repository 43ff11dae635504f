"""What requests for lists may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.catalog.conditions import All, Term, Within
from services.catalog.model import ImageQuery, PageOrder, SearchPlace, SearchWords
from services.catalog.requests.lists import (
    parse_analysis_list,
    parse_facet_list,
    parse_image_list,
    parse_search,
    parse_stale_list,
    parse_view,
)
from services.catalog.requests.page_tokens import make_page_token
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import catalog_pb2

STALE: dict[str, Any] = {"analyzer": "insights", "version": "2", "settings_digest": "00"}


def refused(call: Callable[[], object]) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        call()
    return refusal.value


def test_nothing_asked_is_the_newest_fifty() -> None:
    asked = parse_image_list(catalog_pb2.ListImagesRequest())
    assert asked.query == ImageQuery()
    assert asked.order == PageOrder(50, None, descending=True, key="create_time_us")
    assert asked.with_results is False


def test_the_query_and_the_filter_both_count() -> None:
    asked = parse_image_list(
        catalog_pb2.ListImagesRequest(
            filter="width > 9",
            query=catalog_pb2.ImageQuery(states=[catalog_pb2.Image.PROCESSED]),
            show_deleted=True,
        )
    )
    assert asked.query == ImageQuery(All((Term("state", "3"), Within("width", 10))), with_hidden=True)


@pytest.mark.parametrize(
    ("order_by", "key", "descending"),
    [
        ("create_time", "create_time_us", False),
        (" create_time  desc ", "create_time_us", True),
        ("size_bytes", "size_bytes", False),
        ("size_bytes desc", "size_bytes", True),
        ("quality_score asc", "quality", False),
        ("quality_score desc", "quality", True),
    ],
)
def test_orders(order_by: str, key: str, descending: bool) -> None:
    order = parse_image_list(catalog_pb2.ListImagesRequest(order_by=order_by)).order
    assert (order.key, order.descending) == (key, descending)


@pytest.mark.parametrize(
    ("call", "reason", "field"),
    [
        (lambda: parse_image_list(catalog_pb2.ListImagesRequest(page_size=-1)), "INVALID_FIELD", "page_size"),
        (
            lambda: parse_image_list(catalog_pb2.ListImagesRequest(order_by="width")),
            "INVALID_FIELD",
            "order_by",
        ),
        (
            lambda: parse_image_list(catalog_pb2.ListImagesRequest(order_by="size_bytes desc, number")),
            "INVALID_FIELD",
            "order_by",
        ),
        (lambda: parse_image_list(catalog_pb2.ListImagesRequest(view=9)), "INVALID_FIELD", "view"),  # type: ignore[arg-type]
        (lambda: parse_image_list(catalog_pb2.ListImagesRequest(filter="x")), "INVALID_FILTER", None),
        (lambda: parse_search(catalog_pb2.SearchImagesRequest()), "INVALID_FIELD", "text"),
        (lambda: parse_search(catalog_pb2.SearchImagesRequest(text="a", filter="x")), "INVALID_FILTER", None),
        (lambda: parse_facet_list(catalog_pb2.ListFacetsRequest()), "INVALID_FIELD", "field"),
        (lambda: parse_facet_list(catalog_pb2.ListFacetsRequest(field="faces")), "INVALID_FIELD", "field"),
        (
            lambda: parse_facet_list(
                catalog_pb2.ListFacetsRequest(
                    field="tag", query=catalog_pb2.ImageQuery(states=[catalog_pb2.Image.PROCESSED], batch="b")
                )
            ),
            "INVALID_FIELD",
            "query.states",
        ),
        (
            lambda: parse_stale_list(catalog_pb2.ListStaleImagesRequest(**{**STALE, "analyzer": "x"})),
            "INVALID_FIELD",
            "analyzer",
        ),
        (
            lambda: parse_stale_list(catalog_pb2.ListStaleImagesRequest(**{**STALE, "version": ""})),
            "INVALID_FIELD",
            "version",
        ),
        (
            lambda: parse_stale_list(
                catalog_pb2.ListStaleImagesRequest(**{**STALE, "settings_digest": "x" * 129})
            ),
            "INVALID_FIELD",
            "settings_digest",
        ),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(
    call: Callable[[], object], reason: str, field: str | None
) -> None:
    refusal = refused(call)
    assert refusal.reason_name == reason
    assert refusal.metadata.get("field") == field


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1_000, 1_000), (2**31 - 1, 1_000)])
def test_page_sizes_are_cut(asked: int, given: int) -> None:
    assert parse_image_list(catalog_pb2.ListImagesRequest(page_size=asked)).order.size == given
    assert parse_search(catalog_pb2.SearchImagesRequest(text="a", page_size=asked)).size == given


def test_analyses_have_pages_of_their_own() -> None:
    for asked, given in ((0, 20), (100, 100), (101, 100)):
        order, _ = parse_analysis_list(catalog_pb2.ListAnalysesRequest(parent="images/1", page_size=asked))
        assert order.size == given


def test_a_search_goes_on_at_its_place() -> None:
    request = catalog_pb2.SearchImagesRequest(text="red boat", filter="width > 9", page_size=5)
    asked = parse_search(request)
    assert (asked.words, asked.condition, asked.after) == (
        SearchWords(("red", "boat")),
        Within("width", 10),
        None,
    )
    request.page_token = make_page_token(asked.bound_to, (2**63 - 1, 5))
    assert parse_search(request).after == SearchPlace(2**63 - 1, 5)


def test_facets_go_on_at_their_place() -> None:
    request = catalog_pb2.ListFacetsRequest(
        field="blur_level", query=catalog_pb2.ImageQuery(batch="batches/1")
    )
    asked = parse_facet_list(request)
    assert (asked.field, asked.batch, asked.size) == ("blur", "batches/1", 50)
    request.page_token = make_page_token(asked.bound_to, (9, "KEY=\u6d77"))
    assert parse_facet_list(request).after == (9, "KEY=\u6d77")


def test_the_current_analysis_is_named_as_the_facets_do() -> None:
    asked = parse_stale_list(catalog_pb2.ListStaleImagesRequest(**STALE, filter="state = PROCESSED"))
    assert asked.current == "insights 2 00"
    assert asked.condition == Term("state", "3")


REQUESTS: list[tuple[Any, Callable[[Any], Any], tuple[int | str, ...]]] = [
    (catalog_pb2.ListImagesRequest(), parse_image_list, (1, 2)),
    (catalog_pb2.SearchImagesRequest(text="a"), parse_search, (1, 2)),
    (catalog_pb2.ListFacetsRequest(field="tag"), parse_facet_list, (1, "a")),
    (catalog_pb2.ListStaleImagesRequest(**STALE), parse_stale_list, (1, 2)),
]


@pytest.mark.parametrize(("request_", "parse", "place"), REQUESTS)
def test_a_token_serves_its_own_request_alone(
    request_: Any, parse: Callable[[Any], Any], place: tuple[int | str, ...]
) -> None:
    for other, _, _ in REQUESTS:
        token_of = next(parse_ for item, parse_, _ in REQUESTS if item is other)(other).bound_to
        again = type(request_)()
        again.CopyFrom(request_)
        again.page_size = 7
        again.page_token = make_page_token(token_of, place)
        if other is request_:
            parse(again)
        else:
            refusal = refused(lambda again=again: parse(again))  # type: ignore[misc]
            assert refusal.reason == Reason.INVALID_PAGE_TOKEN


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
