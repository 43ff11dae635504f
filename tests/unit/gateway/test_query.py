"""Queries as messages, and what callers prefer."""

from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams

from gateway.query import parse_query
from gateway.requests import prefers_html
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import catalog_pb2, common_pb2


def parsed(query: str) -> catalog_pb2.ListImagesRequest:
    return parse_query(catalog_pb2.ListImagesRequest(), QueryParams(query))


def test_both_spellings_nesting_and_lists() -> None:
    request = parsed("pageSize=3&query.formats=IMAGE_FORMAT_PNG&query.formats=1&query.color_near.red=7")
    assert request.page_size == 3
    assert list(request.query.formats) == [common_pb2.IMAGE_FORMAT_PNG, common_pb2.IMAGE_FORMAT_JPEG]
    assert request.query.color_near.red == 7


@pytest.mark.parametrize(
    "query",
    [
        "x=1",
        "query.x=1",
        "page_size.x=1",
        "query.labels.a=b",
        "query.states.x=1",
        "page_size=1.5",
        "=1",
        ".=1",
    ],
)
def test_what_does_not_fit_is_named(query: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parsed(query)
    assert caught.value.reason == Reason.INVALID_FIELD


def test_a_field_of_the_path_is_no_parameter() -> None:
    with pytest.raises(InvalidArgumentError):
        parse_query(catalog_pb2.GetImageRequest(name="images/1"), QueryParams("name=images/2"))


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("text/html", True),
        ("TEXT/HTML ; Q=0.9, */*;q=0.8", True),
        ("text/html;q=0.4, application/json;q=0.5", False),
        ("text/html;q=nan", False),
        ("text/html;q=x", False),
        (",;,", False),
    ],
)
def test_html_is_sent_to_whom_prefers_it(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html
