"""Real gRPC servers of the rooms that ingest talks to; what they answer is written down by a test."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import AbortedError, FailedPreconditionError, NotFoundError, Reason, ServiceError
from services.runtime.interceptors import Context, interceptor_chain
from services.runtime.telemetry import build_metrics
from sightmill.v1 import (
    analyzer_pb2,
    analyzer_pb2_grpc,
    captioner_pb2,
    captioner_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
)

Image = catalog_pb2.Image
FINAL = {Image.PROCESSED, Image.FAILED, Image.STORED}
VERSION, DIGEST = "1.2.3", "5e77"


class ScriptedCatalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Keeps images in memory by the rules of the contract. ``failures`` are raised first, one a call."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.analyses: dict[str, list[catalog_pb2.Analysis]] = {}  # by digest
        self.failures: deque[ServiceError] = deque()
        self.calls: list[str] = []
        self.request_ids: list[str] = []
        self.writes: list[catalog_pb2.WriteAnalysesRequest] = []
        self.collected: dict[str, int] = {}  # generation by digest
        self.condemned: list[catalog_pb2.CondemnedBlob] = []
        self.forgotten: list[str] = []
        self.page_limit = 1_000
        self.known_blobs: set[str] = set()
        self._by_request: dict[str, str] = {}

    def add(self, **values: object) -> Image:
        """An image that is there already."""
        image = Image(name=f"images/{uuid.uuid4()}", number=len(self.images) + 1, etag="1", **values)  # type: ignore[arg-type]
        image.create_time.FromSeconds(1)
        self.images[image.name] = image
        return image

    def only(self) -> Image:
        """The image, where there is one."""
        (image,) = self.images.values()
        return image

    def find(self, name: str) -> Image:
        """By name or by number."""
        for image in self.images.values():
            if name in {image.name, f"images/{image.number}"}:
                return image
        raise NotFoundError(Reason.IMAGE_NOT_FOUND, f"There is no {name}.", name=name)

    async def CreateImage(
        self, request: catalog_pb2.CreateImageRequest, context: Context
    ) -> catalog_pb2.CreateImageResponse:
        self._begin("CreateImage")
        if name := self._by_request.get(request.request_id):
            return catalog_pb2.CreateImageResponse(image=self.images[name], created=False)
        generation = self.collected.get(request.image.sha256, 0)
        if generation != request.blob_generation:
            raise AbortedError(Reason.BLOB_COLLECTED, "The bytes were collected.", generation=generation)
        image = self.add()
        kept = Image()
        kept.CopyFrom(request.image)
        kept.MergeFrom(image)
        self.images[image.name] = kept
        if request.request_id:
            self._by_request[request.request_id] = image.name
        return catalog_pb2.CreateImageResponse(image=kept, created=True)

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        self._begin("GetImage")
        return catalog_pb2.GetImageResponse(image=self.find(request.name))

    async def DeleteImage(
        self, request: catalog_pb2.DeleteImageRequest, context: Context
    ) -> catalog_pb2.DeleteImageResponse:
        self._begin("DeleteImage")
        assert request.force
        del self.images[request.name]
        return catalog_pb2.DeleteImageResponse()

    async def ListImages(
        self, request: catalog_pb2.ListImagesRequest, context: Context
    ) -> catalog_pb2.ListImagesResponse:
        self._begin("ListImages")
        before_s = request.query.create_time.end_time.seconds
        found = [
            image
            for image in self.images.values()
            if image.state in request.query.states and image.create_time.seconds < before_s
        ]
        return catalog_pb2.ListImagesResponse(images=found[: request.page_size])

    async def ListStaleImages(
        self, request: catalog_pb2.ListStaleImagesRequest, context: Context
    ) -> catalog_pb2.ListStaleImagesResponse:
        self._begin("ListStaleImages")
        current = (request.version, request.settings_digest)
        stale = [
            image
            for image in self.images.values()
            if image.state in {Image.PROCESSED, Image.FAILED}
            and not any(
                known.analyzer == request.analyzer and (known.version, known.settings_digest) == current
                for known in self.analyses.get(image.sha256, [])
            )
        ]
        start = int(request.page_token or 0)
        end = start + min(request.page_size, self.page_limit)
        return catalog_pb2.ListStaleImagesResponse(
            images=stale[start:end], next_page_token=str(end) if end < len(stale) else ""
        )

    async def CondemnBlobs(
        self, request: catalog_pb2.CondemnBlobsRequest, context: Context
    ) -> catalog_pb2.CondemnBlobsResponse:
        self._begin("CondemnBlobs")
        return catalog_pb2.CondemnBlobsResponse(blobs=self.condemned[: request.max_count])

    async def ForgetBlobs(
        self, request: catalog_pb2.ForgetBlobsRequest, context: Context
    ) -> catalog_pb2.ForgetBlobsResponse:
        self._begin("ForgetBlobs")
        self.forgotten += request.sha256
        self.condemned = [blob for blob in self.condemned if blob.sha256 not in request.sha256]
        return catalog_pb2.ForgetBlobsResponse()

    async def AdoptBlobs(
        self, request: catalog_pb2.AdoptBlobsRequest, context: Context
    ) -> catalog_pb2.AdoptBlobsResponse:
        self._begin("AdoptBlobs")
        unknown = {blob.sha256 for blob in request.blobs} - self.known_blobs
        self.known_blobs |= unknown
        return catalog_pb2.AdoptBlobsResponse(adopted_count=len(unknown))

    async def StartImages(
        self, request: catalog_pb2.StartImagesRequest, context: Context
    ) -> catalog_pb2.StartImagesResponse:
        self._begin("StartImages")
        found = [self.images[name] for name in request.names if name in self.images]
        for image in found:
            if image.state not in FINAL:
                self.change(image, Image.PROCESSING)
        started = [
            catalog_pb2.StartedImage(image=image, analyses=self.analyses.get(image.sha256, []))
            for image in found
        ]
        return catalog_pb2.StartImagesResponse(images=started)

    async def WriteAnalyses(
        self, request_iterator: AsyncIterator[catalog_pb2.WriteAnalysesRequest], context: Context
    ) -> AsyncIterator[catalog_pb2.WriteAnalysesResponse]:
        async for request in request_iterator:
            answer = catalog_pb2.WriteAnalysesResponse(key=request.key)
            try:
                self._begin("WriteAnalyses")
                self._write(request)
            except ServiceError as error:
                answer.error.CopyFrom(statuses.to_status(error))
            yield answer

    def change(self, image: Image, state: Image.State.ValueType) -> None:
        """A new state and etag."""
        image.state = state
        image.etag = str(int(image.etag) + 1)

    def _write(self, request: catalog_pb2.WriteAnalysesRequest) -> None:
        image = self.find(request.image)
        if image.state == Image.PROCESSED and request.state == Image.FAILED:
            raise FailedPreconditionError(Reason.WRONG_STATE, "It was processed.", state="PROCESSED")
        self.writes.append(request)
        self.analyses.setdefault(image.sha256, []).extend(request.analyses)
        for analysis in request.analyses:
            image.insights.CopyFrom(analysis.insights) if analysis.HasField("insights") else None
            image.caption.CopyFrom(analysis.caption) if analysis.HasField("caption") else None
        if request.HasField("error"):
            image.error.CopyFrom(request.error)
        if image.state != request.state:
            self.change(image, request.state)

    def _begin(self, method: str) -> None:
        self.calls.append(method)
        self.request_ids.append(current_request_id())
        if self.failures:
            raise self.failures.popleft()


@dataclass
class ScriptedAnalyzer(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """Finds a face in every image. What is in ``errors`` (by blob key) comes instead, once each."""

    errors: dict[str, deque[ServiceError]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    rendered: list[analyzer_pb2.RenderImageRequest] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    faces: int = 1

    def __post_init__(self) -> None:
        self.free.set()

    async def AnalyzeImages(
        self, request_iterator: AsyncIterator[analyzer_pb2.AnalyzeImagesRequest], context: Context
    ) -> AsyncIterator[analyzer_pb2.AnalyzeImagesResponse]:
        async for request in request_iterator:
            self.asked.append(request.image.blob_key)
            await self.free.wait()
            yield self._answer(request)
            self.answered.append(request.image.blob_key)

    async def GetAnalyzerInfo(
        self, request: analyzer_pb2.GetAnalyzerInfoRequest, context: Context
    ) -> analyzer_pb2.GetAnalyzerInfoResponse:
        return analyzer_pb2.GetAnalyzerInfoResponse(analyzer_version=VERSION, settings_digest=DIGEST)

    async def RenderImage(
        self, request: analyzer_pb2.RenderImageRequest, context: Context
    ) -> analyzer_pb2.RenderImageResponse:
        self.rendered.append(request)
        await self.free.wait()
        kind = analyzer_pb2.RenditionKind.Name(request.kind)
        content = f"{kind} {request.image.blob_key} {len(request.boxes)} boxes ".encode() * 10_000
        rendition = analyzer_pb2.Rendition(content=content, media_type="image/jpeg", width=30, height=20)
        return analyzer_pb2.RenderImageResponse(rendition=rendition)

    def insights(self) -> analyzer_pb2.Insights:
        """What is found in every image."""
        found = analyzer_pb2.Insights(analyzer_version=VERSION, settings_digest=DIGEST, width=48, height=32)
        for _ in range(self.faces):
            found.faces.faces.add().box.width = 9
        return found

    def _answer(self, request: analyzer_pb2.AnalyzeImagesRequest) -> analyzer_pb2.AnalyzeImagesResponse:
        if errors := self.errors.get(request.image.blob_key):
            error = statuses.to_status(errors.popleft())
            return analyzer_pb2.AnalyzeImagesResponse(key=request.key, error=error)
        analysis = analyzer_pb2.AnalyzeImageResponse(insights=self.insights())
        if request.options.thumbnail_edge:
            analysis.thumbnail.content = b"thumbnail"
            analysis.thumbnail.media_type = "image/jpeg"
        return analyzer_pb2.AnalyzeImagesResponse(key=request.key, analysis=analysis)


@dataclass
class ScriptedCaptioner(captioner_pb2_grpc.CaptionerServiceServicer):
    """Describes every image alike; ``errors`` come first, one a request."""

    errors: deque[ServiceError] = field(default_factory=deque)
    asked: list[captioner_pb2.CaptionImagesRequest] = field(default_factory=list)

    async def CaptionImages(
        self, request_iterator: AsyncIterator[captioner_pb2.CaptionImagesRequest], context: Context
    ) -> AsyncIterator[captioner_pb2.CaptionImagesResponse]:
        async for request in request_iterator:
            self.asked.append(request)
            answer = captioner_pb2.CaptionImagesResponse(key=request.key)
            if self.errors:
                answer.error.CopyFrom(statuses.to_status(self.errors.popleft()))
            else:
                answer.caption.CopyFrom(self.caption())
            yield answer

    async def ListProviders(
        self, request: captioner_pb2.ListProvidersRequest, context: Context
    ) -> captioner_pb2.ListProvidersResponse:
        return captioner_pb2.ListProvidersResponse(prompt_version=VERSION, settings_digest=DIGEST)

    def caption(self) -> captioner_pb2.Caption:
        """What is said of every image."""
        return captioner_pb2.Caption(text="A gradient.", prompt_version=VERSION, settings_digest=DIGEST)


class Room:
    """A server on a port that stays its own when it is killed and started again."""

    def __init__(self, register: Callable[[grpc.aio.Server], None]) -> None:
        self._register = register
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """Where it listens, or will listen again."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts to serve."""
        interceptors = interceptor_chain(build_metrics(), 1_000, asyncio.Event())
        self._server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
        self._register(self._server)
        health = health_aio.HealthServicer()
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def kill(self) -> None:
        """Ends at once; calls in flight break."""
        if self._server:
            await self._server.stop(0)
            self._server = None


@dataclass
class Rooms:
    """All that ingest talks to, but for queue and blobs."""

    catalog: ScriptedCatalog
    analyzer: ScriptedAnalyzer
    captioner: ScriptedCaptioner
    catalog_room: Room
    analyzer_room: Room
    captioner_room: Room


@asynccontextmanager
async def scripted_rooms() -> AsyncIterator[Rooms]:
    """The three servers, running."""
    # What a test does not need is left out; it answers NOT_SERVED_YET.
    catalog = ScriptedCatalog()  # type: ignore[abstract]
    analyzer = ScriptedAnalyzer()  # type: ignore[abstract]
    captioner = ScriptedCaptioner()  # type: ignore[abstract]
    rooms = (
        Room(lambda server: catalog_pb2_grpc.add_CatalogServiceServicer_to_server(catalog, server)),
        Room(lambda server: analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(analyzer, server)),
        Room(lambda server: captioner_pb2_grpc.add_CaptionerServiceServicer_to_server(captioner, server)),
    )
    try:
        for room in rooms:
            await room.start()
        yield Rooms(catalog, analyzer, captioner, *rooms)
    finally:
        for room in rooms:
            await room.kill()
