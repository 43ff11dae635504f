"""The methods of CatalogService that are about one image, and those that ingest calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc

from services.catalog.convert import analysis_message, image_message
from services.catalog.model import ImageChange, ImageRecord
from services.catalog.names import parse_image_name
from services.catalog.requests.images import parse_condemned, parse_forgotten, parse_new_image, parse_strays
from services.catalog.requests.lists import parse_analysis_list, parse_view
from services.catalog.requests.page_tokens import make_page_token
from services.catalog.requests.updates import ImageUpdate, parse_corrections, parse_update
from services.catalog.store import CatalogStore
from services.runtime.errors import AbortedError, NotFoundError
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# Changes of parts by several people at once: each round one of them gets through.
_MAX_TRIES = 8


def wall_clock_us() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1_000


class ImageServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """One image, and what nobody needs any more."""

    _store: CatalogStore
    _now_us: Callable[[], int]

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        """See the contract."""
        with_results = parse_view(request.view, default=catalog_pb2.IMAGE_VIEW_FULL)
        image = await self._store.get_image(parse_image_name(request.name), with_results=with_results)
        return catalog_pb2.GetImageResponse(image=image_message(image))

    async def CreateImage(
        self, request: catalog_pb2.CreateImageRequest, context: Context
    ) -> catalog_pb2.CreateImageResponse:
        """See the contract."""
        new, corrections = parse_new_image(request), parse_corrections(request.image.corrections)
        image, created = await self._store.create_image(new, request.request_id, request.blob_generation)
        # A first call that ended between the two steps is made good by its repetition.
        if corrections and not image.corrections:
            image = await self._store.change_image(image.uuid, ImageChange(corrections=corrections), None)
        return catalog_pb2.CreateImageResponse(image=image_message(image), created=created)

    async def UpdateImage(
        self, request: catalog_pb2.UpdateImageRequest, context: Context
    ) -> catalog_pb2.UpdateImageResponse:
        """See the contract."""
        update = parse_update(request)
        return catalog_pb2.UpdateImageResponse(image=image_message(await self._update(update, _MAX_TRIES)))

    async def DeleteImage(
        self, request: catalog_pb2.DeleteImageRequest, context: Context
    ) -> catalog_pb2.DeleteImageResponse:
        """See the contract."""
        key = parse_image_name(request.name)
        try:
            await (self._store.delete_image(key) if request.force else self._store.hide_image(key))
        except NotFoundError:
            if not request.allow_missing:
                raise
        return catalog_pb2.DeleteImageResponse()

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

    async def CondemnBlobs(
        self, request: catalog_pb2.CondemnBlobsRequest, context: Context
    ) -> catalog_pb2.CondemnBlobsResponse:
        """See the contract."""
        age_us, most = parse_condemned(request)
        blobs = await self._store.condemn_blobs(self._now_us() - age_us, most)
        return catalog_pb2.CondemnBlobsResponse(
            blobs=[catalog_pb2.CondemnedBlob(sha256=blob.sha256, blob_key=blob.blob_key) for blob in blobs]
        )

    async def AdoptBlobs(
        self, request: catalog_pb2.AdoptBlobsRequest, context: Context
    ) -> catalog_pb2.AdoptBlobsResponse:
        """See the contract."""
        return catalog_pb2.AdoptBlobsResponse(
            adopted_count=await self._store.adopt_blobs(parse_strays(request))
        )

    async def ForgetBlobs(
        self, request: catalog_pb2.ForgetBlobsRequest, context: Context
    ) -> catalog_pb2.ForgetBlobsResponse:
        """See the contract."""
        await self._store.forget_blobs(parse_forgotten(request))
        return catalog_pb2.ForgetBlobsResponse()

    async def _update(self, update: ImageUpdate, tries: int) -> ImageRecord:
        """Parts are changed in what is read, on condition that it is still so when it is written."""
        if not update.needs_current:
            return await self._store.change_image(update.key, update.change(None), update.revision)
        current = await self._store.get_image(update.key, with_results=False)
        revision = current.revision if update.revision is None else update.revision
        try:
            return await self._store.change_image(update.key, update.change(current), revision)
        except AbortedError:
            # Not the caller's etag: somebody changed the image since it was read here.
            if update.revision is not None or tries == 1:
                raise
        return await self._update(update, tries - 1)
