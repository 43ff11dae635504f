"""Answers to requests for similar images and for duplicates."""

from __future__ import annotations

from services.catalog.convert import image_message
from services.catalog.looks.duplicate_groups import DuplicateGroup, DuplicateGroups
from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.look_index import LookIndex
from services.catalog.looks.similar import find_similar
from services.catalog.looks.similar_requests import parse_duplicates, parse_similar
from services.catalog.names import image_name
from services.catalog.requests.page_tokens import make_page_token
from services.catalog.store import CatalogStore, LookStore
from sightmill.v1 import catalog_pb2


class LookAnswers:
    """Answers by how images look: messages in, messages out."""

    def __init__(
        self, catalog: CatalogStore, looks: LookStore, index: LookIndex, pairs: DuplicatePairs
    ) -> None:
        self._catalog = catalog
        self._looks = looks
        self._index = index
        self._groups = DuplicateGroups(catalog, looks, index, pairs)

    async def list_similar(
        self, request: catalog_pb2.ListSimilarImagesRequest
    ) -> catalog_pb2.ListSimilarImagesResponse:
        """See ``CatalogService.ListSimilarImages``."""
        query = parse_similar(request)
        page = await find_similar(self._catalog, self._looks, self._index, query)
        return catalog_pb2.ListSimilarImagesResponse(
            images=[
                catalog_pb2.SimilarImage(
                    image=image_message(similar.image),
                    distance=similar.distance,
                    color_distance=similar.color_distance,
                )
                for similar in page.images
            ],
            next_page_token=make_page_token(query.bound_to, page.next),
        )

    async def list_duplicates(
        self, request: catalog_pb2.ListDuplicatesRequest
    ) -> catalog_pb2.ListDuplicatesResponse:
        """See ``CatalogService.ListDuplicates``."""
        query = parse_duplicates(request)
        page = await self._groups.list_groups(query)
        return catalog_pb2.ListDuplicatesResponse(
            groups=[_group_message(group) for group in page.groups],
            next_page_token=make_page_token(query.bound_to, None if page.next is None else (page.next,)),
            compared_count=page.compared,
            comparable_count=page.comparable,
        )


def _group_message(group: DuplicateGroup) -> catalog_pb2.DuplicateGroup:
    return catalog_pb2.DuplicateGroup(
        images=[image_message(image) for image in group.images],
        suggested_keeper=image_name(group.keeper.uuid),
        reason=group.reason,
    )
