"""What list requests may say: checks them and turns them into plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.model import ImageQuery, PageOrder, Span
from services.catalog.page_tokens import read_page_token
from services.catalog.refusals import invalid_field, not_served
from services.catalog.states import ImageState
from sightmill.v1 import catalog_pb2, common_pb2

MAX_IMAGES = 1_000
DEFAULT_IMAGES = 50
MAX_ANALYSES = 100
DEFAULT_ANALYSES = 20
_MAX_LABELS = 64
_SERVED = frozenset({"states", "formats", "create_time", "size_bytes", "width", "height", "sha256", "labels"})
_NEWEST_FIRST = {"": True, "create_time desc": True, "create_time": False}
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The years 1 and 9999, beyond which a Timestamp means nothing.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799


@dataclass(frozen=True, slots=True)
class ImageList:
    """What to list. ``bound_to`` is what the next page's request must have in common with this one."""

    query: ImageQuery
    order: PageOrder
    with_results: bool
    bound_to: bytes


def parse_image_list(request: catalog_pb2.ListImagesRequest) -> ImageList:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_PAGE_TOKEN) or NOT_SERVED_YET."""
    if request.filter:
        raise not_served("filter")
    if request.show_deleted:
        raise not_served("show_deleted")
    order_by = " ".join(request.order_by.split())
    if order_by not in _NEWEST_FIRST:
        raise invalid_field("order_by", 'One of "create_time desc" (the default) and "create_time".')
    bound_to = everything_but_the_page(request)
    order = PageOrder(
        size=_page_size(request.page_size, DEFAULT_IMAGES, MAX_IMAGES),
        after=read_page_token(bound_to, request.page_token),
        newest_first=_NEWEST_FIRST[order_by],
    )
    with_results = parse_view(request.view, default=catalog_pb2.IMAGE_VIEW_BASIC)
    return ImageList(_parse_query(request.query), order, with_results, bound_to)


def parse_analysis_list(request: catalog_pb2.ListAnalysesRequest) -> tuple[PageOrder, bytes]:
    """The page, and what the next page's request must have in common with this one."""
    bound_to = everything_but_the_page(request)
    size = _page_size(request.page_size, DEFAULT_ANALYSES, MAX_ANALYSES)
    return PageOrder(size, read_page_token(bound_to, request.page_token)), bound_to


def parse_view(view: catalog_pb2.ImageView.ValueType, default: catalog_pb2.ImageView.ValueType) -> bool:
    """True when insights and caption are asked for."""
    if view not in catalog_pb2.ImageView.values():
        raise invalid_field("view", "One of IMAGE_VIEW_BASIC and IMAGE_VIEW_FULL.")
    return (view or default) == catalog_pb2.IMAGE_VIEW_FULL


def everything_but_the_page(
    request: catalog_pb2.ListImagesRequest | catalog_pb2.ListAnalysesRequest,
) -> bytes:
    """The request without page_size and page_token, the same bytes for the same content."""
    rest = type(request)()
    rest.CopyFrom(request)  # type: ignore[arg-type]  # both are of the same type
    rest.ClearField("page_size")
    rest.ClearField("page_token")
    return request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)


def _page_size(asked: int, default: int, most: int) -> int:
    if asked < 0:
        raise invalid_field("page_size", f"0 to {most}; 0 for {default}.")
    return min(asked or default, most)


def _parse_query(query: catalog_pb2.ImageQuery) -> ImageQuery:
    for field, _ in query.ListFields():
        if field.name not in _SERVED:
            raise not_served(f"query.{field.name}")
    if query.sha256 and not _SHA256.fullmatch(query.sha256):
        raise invalid_field("query.sha256", "64 hexadecimal digits, lower case.")
    if len(query.labels) > _MAX_LABELS:
        raise invalid_field("query.labels", f"At most {_MAX_LABELS}.")
    created_from_us, created_until_us = _time_bounds(query.create_time)
    return ImageQuery(
        states=frozenset(_states(query)),
        formats=frozenset(_formats(query)),
        created_from_us=created_from_us,
        created_until_us=created_until_us,
        size_bytes=_span(query.size_bytes),
        width=_span(query.width),
        height=_span(query.height),
        sha256=query.sha256,
        labels=tuple(sorted(query.labels.items())),
    )


def _states(query: catalog_pb2.ImageQuery) -> list[ImageState]:
    known = {int(state) for state in ImageState}
    if not known.issuperset(query.states):
        raise invalid_field("query.states", f"Any of {', '.join(state.name for state in ImageState)}.")
    return [ImageState(state) for state in query.states]


def _formats(query: catalog_pb2.ImageQuery) -> list[int]:
    if not set(common_pb2.ImageFormat.values()).issuperset(query.formats):
        raise invalid_field("query.formats", f"Any of {', '.join(common_pb2.ImageFormat.keys())}.")
    return list(query.formats)


def _span(numbers: common_pb2.Int64Range) -> Span:
    return Span(
        min=numbers.min if numbers.HasField("min") else None,
        max=numbers.max if numbers.HasField("max") else None,
    )


def _time_bounds(times: common_pb2.TimeRange) -> tuple[int | None, int | None]:
    return (
        _bound_us("query.create_time.start_time", times.start_time) if times.HasField("start_time") else None,
        _bound_us("query.create_time.end_time", times.end_time) if times.HasField("end_time") else None,
    )


def _bound_us(field: str, time: Timestamp) -> int:
    """The first whole microsecond that is not before ``time``: right for both kinds of bounds."""
    if not _MIN_SECONDS <= time.seconds <= _MAX_SECONDS or not 0 <= time.nanos < 1_000_000_000:
        raise invalid_field(field, "A time in the years 1 to 9999.")
    return time.seconds * 1_000_000 + -(-time.nanos // 1_000)
