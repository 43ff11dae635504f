"""IngestService: messages in, calls of the domain, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.api import httpbody_pb2

from services.ingest.admission import Admission
from services.ingest.intake import Intake
from services.ingest.reanalysis import Reanalysis
from services.ingest.renditions import Renditions
from services.ingest.spool import Spool
from services.ingest.upload_stream import Requests, UploadStream, upload_one
from services.ingest.watching import FINAL, GET_TIMEOUT_S, Watching
from services.runtime.blobs.port import Blobs
from services.runtime.errors import InvalidArgumentError, Reason, not_served_yet
from sightmill.v1 import analyzer_pb2, catalog_pb2, catalog_pb2_grpc, common_pb2, ingest_pb2, ingest_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
DEFAULT_WAIT_S = 30.0
MAX_WAIT_S = 60.0
BODY_CHUNK_BYTES = 262_144
MEDIA_TYPES = {
    common_pb2.IMAGE_FORMAT_JPEG: "image/jpeg",
    common_pb2.IMAGE_FORMAT_PNG: "image/png",
    common_pb2.IMAGE_FORMAT_WEBP: "image/webp",
    common_pb2.IMAGE_FORMAT_GIF: "image/gif",
    common_pb2.IMAGE_FORMAT_BMP: "image/bmp",
    common_pb2.IMAGE_FORMAT_TIFF: "image/tiff",
    common_pb2.IMAGE_FORMAT_HEIC: "image/heic",
    common_pb2.IMAGE_FORMAT_AVIF: "image/avif",
}


@dataclass(frozen=True, slots=True)
class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Translates between the contract and the rooms of this service."""

    intake: Intake
    admission: Admission
    new_spool: Callable[[], Spool]
    chunk_timeout_s: float
    stopping: asyncio.Event
    watching: Watching
    renditions: Renditions
    blobs: Blobs
    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    reanalysis: Reanalysis

    async def UploadImages(
        self, request_iterator: Requests, context: Context
    ) -> AsyncGenerator[ingest_pb2.UploadImagesResponse, None]:
        """See the proto."""
        stream = UploadStream(
            self.intake, self.admission, self.new_spool, self.chunk_timeout_s, self.stopping
        )
        async with aclosing(stream.answers(request_iterator)) as answers:
            async for answer in answers:
                yield answer

    async def UploadImage(
        self, request: ingest_pb2.UploadImageRequest, context: Context
    ) -> ingest_pb2.UploadImageResponse:
        """See the proto."""
        image = await upload_one(self.intake, self.admission, self.new_spool, request)
        return ingest_pb2.UploadImageResponse(image=image)

    async def WaitImage(
        self, request: ingest_pb2.WaitImageRequest, context: Context
    ) -> ingest_pb2.WaitImageResponse:
        """See the proto."""
        timeout_s = (
            request.timeout.ToMilliseconds() / 1_000 if request.HasField("timeout") else DEFAULT_WAIT_S
        )
        if not 0 <= timeout_s <= MAX_WAIT_S:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD, f"timeout is 0 to {MAX_WAIT_S:g} seconds.", field="timeout"
            )
        name = await self._canonical(request.name)
        return ingest_pb2.WaitImageResponse(image=await self.watching.wait(name, timeout_s))

    async def WatchImage(
        self, request: ingest_pb2.WatchImageRequest, context: Context
    ) -> AsyncGenerator[ingest_pb2.WatchImageResponse, None]:
        """See the proto."""
        name = await self._canonical(request.name)
        async with aclosing(self.watching.watch(name)) as images:
            async for image in images:
                yield ingest_pb2.WatchImageResponse(image=image, final=image.state in FINAL)

    async def DownloadImage(
        self, request: ingest_pb2.DownloadImageRequest, context: Context
    ) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """See the proto."""
        image = await self._get(request.name)
        if request.rendition == analyzer_pb2.RENDITION_KIND_THUMBNAIL:
            rendition = await self.renditions.thumbnail(image)
        elif request.rendition == analyzer_pb2.RENDITION_KIND_ANNOTATED and image.insights.faces.faces:
            rendition = await self.renditions.annotated(image)
        else:
            async with aclosing(self._original(image)) as bodies:
                async for body in bodies:
                    yield body
            return
        for start in range(0, len(rendition.content), BODY_CHUNK_BYTES):
            chunk = rendition.content[start : start + BODY_CHUNK_BYTES]
            yield httpbody_pb2.HttpBody(content_type=rendition.media_type, data=chunk)

    async def ImportImage(
        self, request: ingest_pb2.ImportImageRequest, context: Context
    ) -> ingest_pb2.ImportImageResponse:
        """See the proto."""
        raise not_served_yet("ImportImage")

    async def ReanalyzeImages(
        self, request: ingest_pb2.ReanalyzeImagesRequest, context: Context
    ) -> ingest_pb2.ReanalyzeImagesResponse:
        """See the proto."""
        return await self.reanalysis.queue_images(request)

    async def _original(self, image: catalog_pb2.Image) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        media_type = MEDIA_TYPES.get(image.format, "application/octet-stream")
        async for chunk in self.blobs.stream(image.blob_key, chunk_bytes=BODY_CHUNK_BYTES):
            yield httpbody_pb2.HttpBody(content_type=media_type, data=bytes(chunk))

    async def _get(self, name: str) -> catalog_pb2.Image:
        answer = await self.catalog.GetImage(catalog_pb2.GetImageRequest(name=name), timeout=GET_TIMEOUT_S)
        return answer.image

    async def _canonical(self, name: str) -> str:
        """An image may be named by its number; changes are announced under its id."""
        if not name.removeprefix("images/").isdecimal():
            return name
        view = catalog_pb2.IMAGE_VIEW_BASIC
        request = catalog_pb2.GetImageRequest(name=name, view=view)
        return (await self.catalog.GetImage(request, timeout=GET_TIMEOUT_S)).image.name
