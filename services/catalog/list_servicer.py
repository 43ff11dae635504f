"""The methods of CatalogService that list, search and count."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from services.catalog.conditions import Condition, all_of, any_term
from services.catalog.convert import count_messages, image_message, stats_message
from services.catalog.model import Hit, ImagePage, ImageQuery, ImageRecord
from services.catalog.requests.lists import (
    Search,
    StaleList,
    parse_facet_list,
    parse_image_list,
    parse_search,
    parse_stale_list,
)
from services.catalog.requests.page_tokens import make_page_token
from services.catalog.requests.snippets import is_in_names, make_snippet
from services.catalog.store import CatalogStore
from services.runtime.errors import NotFoundError
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# Reads of one search that wait at a time.
_MAX_READS = 32
_FACETS_AT_A_TIME = 1_000
# Far more kinds of analyses than a catalog has; the most frequent come first.
_MAX_STALE_KINDS = 1_000


class ListServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Lists, search and counts."""

    _store: CatalogStore

    async def ListImages(
        self, request: catalog_pb2.ListImagesRequest, context: Context
    ) -> catalog_pb2.ListImagesResponse:
        """See the contract."""
        asked = parse_image_list(request)
        page = await self._store.list_images(asked.query, asked.order, with_results=asked.with_results)
        return catalog_pb2.ListImagesResponse(
            images=[image_message(image) for image in page.images],
            next_page_token=make_page_token(asked.bound_to, page.next),
            total_size=page.total,
        )

    async def SearchImages(
        self, request: catalog_pb2.SearchImagesRequest, context: Context
    ) -> catalog_pb2.SearchImagesResponse:
        """See the contract."""
        asked = parse_search(request)
        page = await self._store.search_images(asked.words, asked.condition, asked.size, asked.after)
        place = (page.next.below, page.next.skip) if page.next else None
        return catalog_pb2.SearchImagesResponse(
            hits=[
                hit
                for start in range(0, len(page.hits), _MAX_READS)
                for hit in await asyncio.gather(
                    *(self._hit(asked, hit) for hit in page.hits[start : start + _MAX_READS])
                )
            ],
            next_page_token=make_page_token(asked.bound_to, place),
        )

    async def ListFacets(
        self, request: catalog_pb2.ListFacetsRequest, context: Context
    ) -> catalog_pb2.ListFacetsResponse:
        """See the contract."""
        asked = parse_facet_list(request)
        page = await self._store.list_facets(asked.field, asked.batch, asked.size, asked.after)
        return catalog_pb2.ListFacetsResponse(
            counts=count_messages(asked.field, page.counts),
            next_page_token=make_page_token(asked.bound_to, page.next),
        )

    async def ListStaleImages(
        self, request: catalog_pb2.ListStaleImagesRequest, context: Context
    ) -> catalog_pb2.ListStaleImagesResponse:
        """See the contract."""
        asked = parse_stale_list(request)
        stale = await self._stale(asked)
        page = ImagePage((), None, 0)
        if stale is not None:
            query = ImageQuery(all_of((stale, asked.condition)))
            page = await self._store.list_images(query, asked.order, with_results=False)
        return catalog_pb2.ListStaleImagesResponse(
            images=[image_message(image) for image in page.images],
            next_page_token=make_page_token(asked.bound_to, page.next),
        )

    async def GetStats(
        self, request: catalog_pb2.GetStatsRequest, context: Context
    ) -> catalog_pb2.GetStatsResponse:
        """See the contract."""
        return stats_message(await self._store.read_stats())

    async def _hit(self, asked: Search, hit: Hit) -> catalog_pb2.SearchHit:
        """Reads the results of a hit only where the view or the snippet needs them."""
        record = hit.image
        if asked.with_results or not is_in_names(record, asked.words):
            record = await self._with_results(record)
        return catalog_pb2.SearchHit(
            image=image_message(record if asked.with_results else hit.image),
            score=hit.score,
            snippet=make_snippet(record, asked.words),
        )

    async def _with_results(self, record: ImageRecord) -> ImageRecord:
        try:
            return await self._store.get_image(record.uuid, with_results=True)
        except NotFoundError:
            # Deleted since it was found: shown as it was then.
            return record

    async def _stale(self, asked: StaleList) -> Condition | None:
        """An analysis of any other kind than the current one, or its lack; None when there is no other."""
        kinds: list[str] = []
        after: tuple[int, str] | None = None
        while len(kinds) < _MAX_STALE_KINDS:
            page = await self._store.list_facets("analysis", "", _FACETS_AT_A_TIME, after)
            kinds += [
                value
                for value, _ in page.counts
                if value.startswith(f"{asked.analyzer} ") and value != asked.current
            ]
            after = page.next
            if after is None:
                break
        return any_term("analysis", kinds[:_MAX_STALE_KINDS]) if kinds else None
