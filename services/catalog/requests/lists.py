"""What requests for lists may say: checks them and turns them into plain data."""

from __future__ import annotations

from dataclasses import dataclass

from services.catalog.conditions import Condition, TermField
from services.catalog.model import ANALYZERS, ImageQuery, OrderKey, PageOrder, SearchPlace, SearchWords
from services.catalog.refusals import invalid_field
from services.catalog.requests.contract_values import FACET_FIELDS
from services.catalog.requests.page_tokens import everything_but_the_page, read_count_token, read_page_token
from services.catalog.requests.query_conditions import parse_conditions
from services.catalog.requests.search_words import parse_search_words
from sightmill.v1 import catalog_pb2

MAX_LISTED = 1_000
DEFAULT_LISTED = 50
MAX_ANALYSES = 100
DEFAULT_ANALYSES = 20
_MAX_VERSION_CHARS = 128
_ORDERS: dict[str, OrderKey] = {
    "create_time": "create_time_us",
    "size_bytes": "size_bytes",
    "quality_score": "quality",
}


@dataclass(frozen=True, slots=True)
class ImageList:
    """What to list. ``bound_to`` is what the next page's request must have in common with this one."""

    query: ImageQuery
    order: PageOrder
    with_results: bool
    bound_to: bytes


@dataclass(frozen=True, slots=True)
class Search:
    """What to search, and among which images."""

    words: SearchWords
    condition: Condition
    size: int
    after: SearchPlace | None
    with_results: bool
    bound_to: bytes


@dataclass(frozen=True, slots=True)
class FacetList:
    """Which field to count by, in all or in one batch."""

    field: TermField
    batch: str
    size: int
    after: tuple[int, str] | None
    bound_to: bytes


@dataclass(frozen=True, slots=True)
class StaleList:
    """The analysis that is current, as ``Term("analysis", ...)`` says it, and where to look for others."""

    analyzer: str
    current: str
    condition: Condition
    order: PageOrder
    bound_to: bytes


def parse_image_list(request: catalog_pb2.ListImagesRequest) -> ImageList:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_FILTER, INVALID_PAGE_TOKEN)."""
    bound_to = everything_but_the_page(request)
    key, descending = _parse_order(request.order_by)
    return ImageList(
        ImageQuery(parse_conditions(request.query, request.filter), with_hidden=request.show_deleted),
        PageOrder(
            size=parse_page_size(request.page_size),
            after=read_page_token(bound_to, request.page_token),
            descending=descending,
            key=key,
        ),
        parse_view(request.view, default=catalog_pb2.IMAGE_VIEW_BASIC),
        bound_to,
    )


def parse_search(request: catalog_pb2.SearchImagesRequest) -> Search:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_FILTER, INVALID_PAGE_TOKEN)."""
    bound_to = everything_but_the_page(request)
    place = read_page_token(bound_to, request.page_token)
    return Search(
        words=parse_search_words(request.text),
        condition=parse_conditions(request.query, request.filter),
        size=parse_page_size(request.page_size),
        after=SearchPlace(*place) if place else None,
        with_results=parse_view(request.view, default=catalog_pb2.IMAGE_VIEW_BASIC),
        bound_to=bound_to,
    )


def parse_facet_list(request: catalog_pb2.ListFacetsRequest) -> FacetList:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_PAGE_TOKEN)."""
    if request.field not in FACET_FIELDS:
        raise invalid_field("field", f"One of {', '.join(FACET_FIELDS)}.")
    for field, _ in request.query.ListFields():
        if field.name != "batch":
            raise invalid_field(
                f"query.{field.name}", "Values are counted over all images or those of one batch."
            )
    bound_to = everything_but_the_page(request)
    return FacetList(
        field=FACET_FIELDS[request.field],
        batch=request.query.batch,
        size=parse_page_size(request.page_size),
        after=read_count_token(bound_to, request.page_token),
        bound_to=bound_to,
    )


def parse_stale_list(request: catalog_pb2.ListStaleImagesRequest) -> StaleList:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_FILTER, INVALID_PAGE_TOKEN)."""
    if request.analyzer not in ANALYZERS:
        raise invalid_field("analyzer", f"One of {', '.join(ANALYZERS)}.")
    for field, value in (("version", request.version), ("settings_digest", request.settings_digest)):
        if not 1 <= len(value) <= _MAX_VERSION_CHARS:
            raise invalid_field(field, f"1 to {_MAX_VERSION_CHARS} characters: what is current.")
    bound_to = everything_but_the_page(request)
    return StaleList(
        analyzer=request.analyzer,
        current=f"{request.analyzer} {request.version} {request.settings_digest}",
        condition=parse_conditions(catalog_pb2.ImageQuery(), request.filter),
        order=PageOrder(parse_page_size(request.page_size), read_page_token(bound_to, request.page_token)),
        bound_to=bound_to,
    )


def parse_analysis_list(request: catalog_pb2.ListAnalysesRequest) -> tuple[PageOrder, bytes]:
    """The page, and what the next page's request must have in common with this one."""
    bound_to = everything_but_the_page(request)
    size = parse_page_size(request.page_size, DEFAULT_ANALYSES, MAX_ANALYSES)
    return PageOrder(size, read_page_token(bound_to, request.page_token)), bound_to


def parse_view(view: catalog_pb2.ImageView.ValueType, default: catalog_pb2.ImageView.ValueType) -> bool:
    """True when insights and caption are asked for."""
    if view not in catalog_pb2.ImageView.values():
        raise invalid_field("view", "One of IMAGE_VIEW_BASIC and IMAGE_VIEW_FULL.")
    return (view or default) == catalog_pb2.IMAGE_VIEW_FULL


def parse_page_size(asked: int, default: int = DEFAULT_LISTED, most: int = MAX_LISTED) -> int:
    """The size of a page: ``default`` for 0, cut to ``most``."""
    if asked < 0:
        raise invalid_field("page_size", f"0 to {most:,}; 0 for {default}.")
    return min(asked or default, most)


def _parse_order(order_by: str) -> tuple[OrderKey, bool]:
    """What to order by, and whether the largest comes first."""
    match order_by.split():
        case []:
            return "create_time_us", True
        case [name] if name in _ORDERS:
            return _ORDERS[name], False
        case [name, "desc" | "asc" as direction] if name in _ORDERS:
            return _ORDERS[name], direction == "desc"
    raise invalid_field("order_by", f'One of {", ".join(_ORDERS)}, with " desc" for largest first.')
