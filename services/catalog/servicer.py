"""CatalogService: messages in, store calls, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from services.catalog.convert import analysis_message, image_message, started_message, stats_message
from services.catalog.image_requests import parse_label_update, parse_new_image, parse_started
from services.catalog.list_requests import parse_analysis_list, parse_image_list, parse_view
from services.catalog.names import ImageKey, parse_image_name
from services.catalog.outcome_requests import parse_outcome
from services.catalog.page_tokens import make_page_token
from services.catalog.store import CatalogStore
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import NotFoundError
from services.runtime.keyed_answers import keyed_answers
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, people_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


def register_servicers(
    server: grpc.aio.Server, store: CatalogStore, stream_window: int, stopping: asyncio.Event
) -> None:
    """Adds CatalogService and PeopleService to a server.

    ``stream_window`` bounds the items of one WriteAnalyses stream that are in hand.
    """
    # Abstract to the type checker alone: the generated bases have a body for every method.
    catalog = CatalogServicer(store, stream_window, stopping)  # type: ignore[abstract]
    people = PeopleServicer()  # type: ignore[abstract]
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)
    people_pb2_grpc.add_PeopleServiceServicer_to_server(people, server)


class PeopleServicer(people_pb2_grpc.PeopleServiceServicer):
    """Answers NOT_SERVED_YET to everything, as every method does that a servicer leaves out."""


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """See the contract; what is left out here answers NOT_SERVED_YET."""

    def __init__(self, store: CatalogStore, stream_window: int, stopping: asyncio.Event) -> None:
        self._store = store
        self._stream_window = stream_window
        self._stopping = stopping
        self._log = structlog.get_logger("catalog")

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        """See the contract."""
        with_results = parse_view(request.view, default=catalog_pb2.IMAGE_VIEW_FULL)
        image = await self._store.get_image(parse_image_name(request.name), with_results=with_results)
        return catalog_pb2.GetImageResponse(image=image_message(image))

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

    async def UpdateImage(
        self, request: catalog_pb2.UpdateImageRequest, context: Context
    ) -> catalog_pb2.UpdateImageResponse:
        """See the contract."""
        image = await self._store.update_labels(*parse_label_update(request))
        return catalog_pb2.UpdateImageResponse(image=image_message(image))

    async def DeleteImage(
        self, request: catalog_pb2.DeleteImageRequest, context: Context
    ) -> catalog_pb2.DeleteImageResponse:
        """See the contract."""
        key = parse_image_name(request.name)
        try:
            blob_keys = await self._delete(key, force=request.force)
        except NotFoundError:
            if not request.allow_missing:
                raise
            blob_keys = ()
        return catalog_pb2.DeleteImageResponse(unreferenced_blob_keys=blob_keys)

    async def UndeleteImage(
        self, request: catalog_pb2.UndeleteImageRequest, context: Context
    ) -> catalog_pb2.UndeleteImageResponse:
        """See the contract."""
        image = await self._store.restore_image(parse_image_name(request.name))
        return catalog_pb2.UndeleteImageResponse(image=image_message(image))

    async def ListAnalyses(
        self, request: catalog_pb2.ListAnalysesRequest, context: Context
    ) -> catalog_pb2.ListAnalysesResponse:
        """See the contract."""
        order, bound_to = parse_analysis_list(request)
        page = await self._store.list_analyses(parse_image_name(request.parent), order)
        return catalog_pb2.ListAnalysesResponse(
            analyses=[analysis_message(analysis) for analysis in page.analyses],
            next_page_token=make_page_token(bound_to, page.next),
        )

    async def GetStats(
        self, request: catalog_pb2.GetStatsRequest, context: Context
    ) -> catalog_pb2.GetStatsResponse:
        """See the contract."""
        return stats_message(await self._store.read_stats())

    async def CreateImage(
        self, request: catalog_pb2.CreateImageRequest, context: Context
    ) -> catalog_pb2.CreateImageResponse:
        """See the contract."""
        image, created = await self._store.create_image(parse_new_image(request), request.request_id)
        return catalog_pb2.CreateImageResponse(image=image_message(image), created=created)

    async def StartImages(
        self, request: catalog_pb2.StartImagesRequest, context: Context
    ) -> catalog_pb2.StartImagesResponse:
        """See the contract."""
        started = await self._store.start_images(parse_started(request))
        return catalog_pb2.StartImagesResponse(images=[started_message(image) for image in started])

    async def WriteAnalyses(
        self, request_iterator: AsyncIterator[catalog_pb2.WriteAnalysesRequest], context: Context
    ) -> AsyncIterator[catalog_pb2.WriteAnalysesResponse]:
        """See the contract."""
        stream = keyed_answers(request_iterator, self._write, self._stream_window, self._stopping)
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response

    async def _delete(self, key: ImageKey, *, force: bool) -> tuple[str, ...]:
        if force:
            return await self._store.delete_image(key)
        await self._store.hide_image(key)
        return ()

    async def _write(self, request: catalog_pb2.WriteAnalysesRequest) -> catalog_pb2.WriteAnalysesResponse:
        response = catalog_pb2.WriteAnalysesResponse(key=request.key)
        try:
            await self._store.write_outcome(parse_outcome(request))
        except Exception as fault:  # noqa: BLE001  whatever befalls one item must not end the stream
            error = statuses.translate(fault)
            if error is None:
                self._log.exception("fault", method="WriteAnalyses")
                error = statuses.internal_error(current_request_id())
            response.error.CopyFrom(statuses.to_status(error, current_request_id()))
        return response
