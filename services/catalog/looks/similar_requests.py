"""What requests for similar images and for duplicates may say: checks them and turns them into plain data."""

from __future__ import annotations

from services.catalog.looks.duplicate_groups import MAX_DISTANCE, DuplicatesQuery
from services.catalog.looks.similar import Measure, SimilarQuery
from services.catalog.names import parse_image_name
from services.catalog.refusals import invalid_field
from services.catalog.requests.lists import parse_page_size
from services.catalog.requests.page_tokens import everything_but_the_page, read_number_token, read_page_token
from sightmill.v1 import catalog_pb2

_FARTHEST_SIMILAR = 32
_MEASURES: dict[int, Measure] = {
    catalog_pb2.SIMILARITY_MEASURE_UNSPECIFIED: "look",
    catalog_pb2.SIMILARITY_MEASURE_LOOK: "look",
    catalog_pb2.SIMILARITY_MEASURE_COLOR: "color",
}
_DEFAULT_SIMILAR = 8


def parse_similar(request: catalog_pb2.ListSimilarImagesRequest) -> SimilarQuery:
    """Raises ``InvalidArgumentError`` (INVALID_NAME, INVALID_FIELD, INVALID_PAGE_TOKEN)."""
    measure = _MEASURES.get(request.measure)
    if measure is None:
        raise invalid_field("measure", "One of SIMILARITY_MEASURE_LOOK and SIMILARITY_MEASURE_COLOR.")
    farthest = request.max_distance if request.HasField("max_distance") else _DEFAULT_SIMILAR
    bound_to = everything_but_the_page(request)
    return SimilarQuery(
        key=parse_image_name(request.name),
        measure=measure,
        max_distance=_checked_distance(farthest, _FARTHEST_SIMILAR),
        size=parse_page_size(request.page_size),
        after=read_page_token(bound_to, request.page_token),
        bound_to=bound_to,
    )


def parse_duplicates(request: catalog_pb2.ListDuplicatesRequest) -> DuplicatesQuery:
    """Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_PAGE_TOKEN)."""
    bound_to = everything_but_the_page(request)
    return DuplicatesQuery(
        max_distance=_checked_distance(request.max_distance, MAX_DISTANCE),
        size=parse_page_size(request.page_size),
        below=read_number_token(bound_to, request.page_token),
        bound_to=bound_to,
    )


def _checked_distance(distance: int, most: int) -> int:
    if not 0 <= distance <= most:
        raise invalid_field("max_distance", f"0 to {most}.")
    return distance
