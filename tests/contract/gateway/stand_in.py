"""Ingest and catalog as a script: real gRPC servers that answer what a test says, and note what came."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.api import httpbody_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.runtime import statuses
from services.runtime.channels import message_options
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError
from services.runtime.interceptors import interceptor_chain
from services.runtime.telemetry import build_metrics
from sightmill.v1 import analyzer_pb2, catalog_pb2, catalog_pb2_grpc, common_pb2, ingest_pb2, ingest_pb2_grpc

Image = catalog_pb2.Image
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Received:
    """One image as it came over the wire."""

    header: ingest_pb2.UploadHeader
    chunk_sizes: list[int] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)
    finished: bool = False

    @property
    def size_bytes(self) -> int:
        return sum(self.chunk_sizes)


@dataclass(slots=True)
class World:
    """What the services know and say."""

    images: dict[str, Image] = field(default_factory=dict)
    bytes_of: dict[tuple[str, int], tuple[str, list[bytes]]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    failures: dict[str, ServiceError] = field(default_factory=dict)
    refused: dict[str, ServiceError] = field(default_factory=dict)
    watched: list[ingest_pb2.WatchImageResponse] = field(default_factory=list)
    streams: int = 0
    health: health_aio.HealthServicer = field(default_factory=health_aio.HealthServicer)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None
    refuse_at_once: bool = False
    per_chunk_s: float = 0.0

    def add(self, state: Image.State.ValueType = Image.PROCESSED, **fields: Any) -> Image:
        number = len(self.images) + 1
        name = f"images/0198c0de-0000-7000-8000-{number:012x}"
        image = Image(name=name, number=number, state=state, **fields)
        self.images[name] = image
        return image

    def find(self, name: str) -> Image:
        last = name.removeprefix("images/")
        if last.isdecimal():
            found = next((image for image in self.images.values() if image.number == int(last)), None)
        else:
            found = self.images.get(name)
        if found is None:
            raise NotFoundError(Reason.IMAGE_NOT_FOUND, f"No image {name} in /secret/path.", name=name)
        return found

    @contextmanager
    def noticing_cancel(self) -> Iterator[None]:
        """gRPC ends a cancelled handler by cancelling its task, or by throwing its generator away."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise

    def note(self, method: str, request: Any, context: Context) -> None:
        self.requests.append(request)
        self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata() or ()})
        if failure := self.failures.get(method):
            raise failure


class ScriptedIngest(ingest_pb2_grpc.IngestServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def UploadImages(
        self, request_iterator: AsyncIterator[ingest_pb2.UploadImagesRequest], context: Context
    ) -> AsyncIterator[ingest_pb2.UploadImagesResponse]:
        world = self.world
        world.note("UploadImages", None, context)
        world.streams += 1
        first = len(world.received)
        with world.noticing_cancel():
            async for message in request_iterator:
                kind = message.WhichOneof("message")
                if kind == "header":
                    world.received.append(Received(message.header))
                    if world.refuse_at_once:
                        yield self._answer(len(world.received) - 1 - first, world.received[-1])
                elif kind == "chunk":
                    world.received[-1].chunk_sizes.append(len(message.chunk))
                    world.received[-1].digest.update(message.chunk)
                    if world.per_chunk_s:
                        await asyncio.sleep(world.per_chunk_s)
                else:
                    world.received[-1].finished = True
                    if world.hold:
                        await world.hold.wait()
                    if not world.refuse_at_once:
                        yield self._answer(len(world.received) - 1 - first, world.received[-1])
            if world.received[first:] and not world.received[-1].finished:
                error = InvalidArgumentError(Reason.UPLOAD_INCOMPLETE, "The stream ended before the finish.")
                answer = ingest_pb2.UploadImagesResponse(index=len(world.received) - 1 - first)
                answer.error.CopyFrom(statuses.to_status(error))
                yield answer

    def _answer(self, index: int, received: Received) -> ingest_pb2.UploadImagesResponse:
        header = received.header
        answer = ingest_pb2.UploadImagesResponse(key=header.key, index=index)
        if refusal := self.world.refused.get(header.display_name):
            answer.error.CopyFrom(statuses.to_status(refusal, "rid"))
        else:
            image = self.world.add(
                Image.PENDING,
                display_name=header.display_name,
                labels=header.labels,
                size_bytes=received.size_bytes,
                sha256=received.digest.hexdigest(),
            )
            answer.image.CopyFrom(image)
        return answer

    async def WaitImage(
        self, request: ingest_pb2.WaitImageRequest, context: Context
    ) -> ingest_pb2.WaitImageResponse:
        self.world.note("WaitImage", request, context)
        with self.world.noticing_cancel():
            if self.world.hold:
                await self.world.hold.wait()
            return ingest_pb2.WaitImageResponse(image=self.world.find(request.name))

    async def WatchImage(
        self, request: ingest_pb2.WatchImageRequest, context: Context
    ) -> AsyncIterator[ingest_pb2.WatchImageResponse]:
        self.world.note("WatchImage", request, context)
        self.world.find(request.name)
        with self.world.noticing_cancel():
            for state in self.world.watched:
                yield state
            if self.world.hold:
                await self.world.hold.wait()
            if failure := self.world.failures.get("WatchImage late"):
                raise failure

    async def DownloadImage(
        self, request: ingest_pb2.DownloadImageRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        self.world.note("DownloadImage", request, context)
        image = self.world.find(request.name)
        kind = request.rendition or analyzer_pb2.RENDITION_KIND_ORIGINAL
        media_type, chunks = self.world.bytes_of[image.name, kind]
        with self.world.noticing_cancel():
            for chunk in chunks:
                yield httpbody_pb2.HttpBody(content_type=media_type, data=chunk)
            if failure := self.world.failures.get("DownloadImage late"):
                raise failure


class ScriptedCatalog(catalog_pb2_grpc.CatalogServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        self.world.note("GetImage", request, context)
        return catalog_pb2.GetImageResponse(image=self.world.find(request.name))

    async def ListImages(
        self, request: catalog_pb2.ListImagesRequest, context: Context
    ) -> catalog_pb2.ListImagesResponse:
        self.world.note("ListImages", request, context)
        images = list(self.world.images.values())
        return catalog_pb2.ListImagesResponse(images=images, total_size=len(images))

    async def DeleteImage(
        self, request: catalog_pb2.DeleteImageRequest, context: Context
    ) -> catalog_pb2.DeleteImageResponse:
        self.world.note("DeleteImage", request, context)
        del self.world.images[self.world.find(request.name).name]
        return catalog_pb2.DeleteImageResponse()

    async def GetStats(
        self, request: catalog_pb2.GetStatsRequest, context: Context
    ) -> catalog_pb2.GetStatsResponse:
        self.world.note("GetStats", request, context)
        counts = [common_pb2.Count(value="PENDING", count=2), common_pb2.Count(value="PROCESSED", count=5)]
        return catalog_pb2.GetStatsResponse(image_count=7, states=counts, store="sqlite 3.45.1")


@asynccontextmanager
async def serve(world: World) -> AsyncIterator[str]:
    """Both services on one port of this machine; yields the address."""
    server = grpc.aio.server(
        interceptors=interceptor_chain(build_metrics(), 1_000, asyncio.Event()),
        options=message_options(8 * 1024 * 1024),
    )
    # The runtime answers for methods that a servicer leaves out.
    ingest_servicer = ScriptedIngest(world)  # type: ignore[abstract]
    catalog_servicer = ScriptedCatalog(world)  # type: ignore[abstract]
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(ingest_servicer, server)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog_servicer, server)
    health = world.health
    for name in ("", "dependency/queue"):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
