"""A real gRPC server with ingest and catalog that does what a test tells it to, faults included."""

# ruff: noqa: ARG002  the signatures are the contract's
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.api import httpbody_pb2
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from sightmill.v1 import (
    captioner_pb2,
    captioner_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    ingest_pb2,
    ingest_pb2_grpc,
)

Image = catalog_pb2.Image
Context = grpc.aio.ServicerContext[Any, Any]


def build_status(
    code: grpc.StatusCode, reason: str, message: str, retry_after_s: float | None = None, **facts: str
) -> status_pb2.Status:
    """A status as every service of the suite sends it."""
    status = status_pb2.Status(code=code.value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="sightmill.dev", metadata=facts)
    details: list[error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo] = [info]
    if retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(retry_after_s * 1_000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


UNAVAILABLE = build_status(grpc.StatusCode.UNAVAILABLE, "DRAINING", "Shutting down.", 0.01)


@dataclass
class Ingest(ingest_pb2_grpc.IngestServiceServicer):
    """Keeps what it is sent, once per request id; faults are scripted through the fields."""

    images: dict[str, Image] = field(default_factory=dict)  # by request id
    contents: dict[str, bytes] = field(default_factory=dict)  # by request id
    # Per stream: after how many messages it breaks, or before which answer (from 1).
    break_after: deque[int] = field(default_factory=deque)
    break_before_answer: deque[int] = field(default_factory=deque)
    end_early: deque[int] = field(default_factory=deque)
    # By display name: what the image is answered with, once each.
    answers: dict[str, deque[status_pb2.Status]] = field(default_factory=dict)
    refuse_at_header: set[str] = field(default_factory=set)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0
    headers: int = 0
    received_bytes: int = 0
    largest_chunk: int = 0
    failures: deque[status_pb2.Status] = field(default_factory=deque)
    waits: deque[Image] = field(default_factory=deque)
    done: dict[str, Image] = field(default_factory=dict)  # by name
    watches: deque[list[Image]] = field(default_factory=deque)
    downloads: deque[list[bytes]] = field(default_factory=deque)
    calls: int = 0

    def __post_init__(self) -> None:
        self.released.set()

    async def UploadImages(
        self, request_iterator: AsyncIterator[ingest_pb2.UploadImagesRequest], context: Context
    ) -> AsyncIterator[ingest_pb2.UploadImagesResponse]:
        self.streams += 1
        messages_left = self.break_after.popleft() if self.break_after else -1
        broken_answer = self.break_before_answer.popleft() if self.break_before_answer else -1
        ends_at = self.end_early.popleft() if self.end_early else -1
        header, content, index, refused = ingest_pb2.UploadHeader(), bytearray(), 0, False
        async for request in request_iterator:
            if messages_left == 0:
                await context.abort_with_status(rpc_status.to_status(UNAVAILABLE))
            messages_left -= 1
            kind = request.WhichOneof("message")
            if kind == "header":
                self.headers += 1
                header, content = request.header, bytearray()
                refused = header.display_name in self.refuse_at_header
                if refused:
                    yield self._answer(header, b"", index)
            elif kind == "chunk":
                self.received_bytes += len(request.chunk)
                self.largest_chunk = max(self.largest_chunk, len(request.chunk))
                content += request.chunk
            else:
                index += 1
                if refused:
                    continue
                answer = self._answer(header, bytes(content), index - 1)
                if index == broken_answer:
                    await context.abort_with_status(rpc_status.to_status(UNAVAILABLE))
                await self.released.wait()
                yield answer
                if index == ends_at:
                    return

    def _answer(
        self, header: ingest_pb2.UploadHeader, content: bytes, index: int
    ) -> ingest_pb2.UploadImagesResponse:
        scripted = self.answers.get(header.display_name)
        if scripted:
            return ingest_pb2.UploadImagesResponse(key=header.key, index=index, error=scripted.popleft())
        if len(content) != header.size_bytes:
            error = build_status(
                grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_CHECKSUM_MISMATCH", "Not all of it came."
            )
            return ingest_pb2.UploadImagesResponse(key=header.key, index=index, error=error)
        if header.request_id not in self.images:
            self.images[header.request_id] = Image(
                name=f"images/{len(self.images) + 1}",
                display_name=header.display_name,
                size_bytes=len(content),
                state=Image.PENDING,
                labels=header.labels,
                process_options=header.options,
            )
            self.contents[header.request_id] = content
        return ingest_pb2.UploadImagesResponse(
            key=header.key, index=index, image=self.images[header.request_id]
        )

    async def WaitImage(
        self, request: ingest_pb2.WaitImageRequest, context: Context
    ) -> ingest_pb2.WaitImageResponse:
        self.calls += 1
        if self.failures:
            await context.abort_with_status(rpc_status.to_status(self.failures.popleft()))
        if self.waits:
            return ingest_pb2.WaitImageResponse(image=self.waits.popleft())
        known = {image.name: image for image in self.images.values()} | self.done
        return ingest_pb2.WaitImageResponse(image=known[request.name])

    async def WatchImage(
        self, request: ingest_pb2.WatchImageRequest, context: Context
    ) -> AsyncIterator[ingest_pb2.WatchImageResponse]:
        self.calls += 1
        for image in self.watches.popleft():
            yield ingest_pb2.WatchImageResponse(image=image, final=image.state == Image.PROCESSED)
        if self.watches:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def DownloadImage(
        self, request: ingest_pb2.DownloadImageRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        self.calls += 1
        for piece in self.downloads.popleft():
            yield httpbody_pb2.HttpBody(content_type="image/png", data=piece)
        if self.downloads:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async def UploadImage(self, request: ingest_pb2.UploadImageRequest, context: Context) -> NoReturn:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    async def ImportImage(self, request: ingest_pb2.ImportImageRequest, context: Context) -> NoReturn:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")

    async def ReanalyzeImages(self, request: ingest_pb2.ReanalyzeImagesRequest, context: Context) -> NoReturn:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "")


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Serves scripted pages and failures; whatever is not scripted is not there."""

    __abstractmethods__: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.failures: deque[status_pb2.Status] = deque()
        self.pages: dict[str, catalog_pb2.ListImagesResponse] = {}
        self.requests: list[catalog_pb2.ListImagesRequest] = []
        self.deleted: list[catalog_pb2.DeleteImageRequest] = []
        self.metadata: dict[str, str] = {}
        self.calls = 0
        self.searches: dict[str, catalog_pb2.SearchImagesResponse] = {}
        # None breaks the stream off, b"wait" is never sent.
        self.export_pieces: list[bytes | None] = []

    async def _begin(self, context: Context) -> None:
        self.calls += 1
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        if self.failures:
            await context.abort_with_status(rpc_status.to_status(self.failures.popleft()))

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        await self._begin(context)
        return catalog_pb2.GetImageResponse(image=Image(name=request.name, width=4))

    async def ListImages(
        self, request: catalog_pb2.ListImagesRequest, context: Context
    ) -> catalog_pb2.ListImagesResponse:
        await self._begin(context)
        self.requests.append(request)
        return self.pages[request.page_token]

    async def DeleteImage(
        self, request: catalog_pb2.DeleteImageRequest, context: Context
    ) -> catalog_pb2.DeleteImageResponse:
        await self._begin(context)
        self.deleted.append(request)
        return catalog_pb2.DeleteImageResponse()

    async def SearchImages(
        self, request: catalog_pb2.SearchImagesRequest, context: Context
    ) -> catalog_pb2.SearchImagesResponse:
        await self._begin(context)
        return self.searches[request.page_token]

    async def ExportResults(
        self, request: catalog_pb2.ExportResultsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        await self._begin(context)
        for piece in self.export_pieces:
            if piece is None:
                await context.abort(grpc.StatusCode.INTERNAL, "gone")
            if piece == b"wait":
                await asyncio.Event().wait()
            yield httpbody_pb2.HttpBody(content_type="text/csv", data=piece)

    async def GetStats(
        self, request: catalog_pb2.GetStatsRequest, context: Context
    ) -> catalog_pb2.GetStatsResponse:
        await self._begin(context)
        return catalog_pb2.GetStatsResponse(image_count=3, store="sqlite")


class Captioner(captioner_pb2_grpc.CaptionerServiceServicer):
    """Answers with what is scripted; failures come first, one a call."""

    __abstractmethods__: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.failures: deque[status_pb2.Status] = deque()
        self.caption = captioner_pb2.Caption()
        self.chain = captioner_pb2.ListProvidersResponse()
        self.tested = captioner_pb2.TestProviderResponse()
        self.estimate = captioner_pb2.EstimateCaptionsResponse()
        self.pages: dict[str, captioner_pb2.GetCaptionUsageResponse] = {}
        self.captioned: list[captioner_pb2.CaptionImageRequest] = []
        self.tests: list[captioner_pb2.TestProviderRequest] = []
        self.estimates: list[captioner_pb2.EstimateCaptionsRequest] = []
        self.reports: list[captioner_pb2.GetCaptionUsageRequest] = []
        self.calls = 0

    async def _begin(self, context: Context) -> None:
        self.calls += 1
        if self.failures:
            await context.abort_with_status(rpc_status.to_status(self.failures.popleft()))

    async def CaptionImage(
        self, request: captioner_pb2.CaptionImageRequest, context: Context
    ) -> captioner_pb2.CaptionImageResponse:
        await self._begin(context)
        self.captioned.append(request)
        return captioner_pb2.CaptionImageResponse(caption=self.caption)

    async def ListProviders(
        self, request: captioner_pb2.ListProvidersRequest, context: Context
    ) -> captioner_pb2.ListProvidersResponse:
        await self._begin(context)
        return self.chain

    async def TestProvider(
        self, request: captioner_pb2.TestProviderRequest, context: Context
    ) -> captioner_pb2.TestProviderResponse:
        await self._begin(context)
        self.tests.append(request)
        return self.tested

    async def EstimateCaptions(
        self, request: captioner_pb2.EstimateCaptionsRequest, context: Context
    ) -> captioner_pb2.EstimateCaptionsResponse:
        await self._begin(context)
        self.estimates.append(request)
        return self.estimate

    async def GetCaptionUsage(
        self, request: captioner_pb2.GetCaptionUsageRequest, context: Context
    ) -> captioner_pb2.GetCaptionUsageResponse:
        await self._begin(context)
        self.reports.append(request)
        return self.pages[request.page_token]


def usage_page(after: str, *rows: captioner_pb2.CaptionUsage) -> captioner_pb2.GetCaptionUsageResponse:
    """A page of a usage report; ``after`` is the token of the next, empty on the last."""
    return captioner_pb2.GetCaptionUsageResponse(usage=rows, next_page_token=after)


@dataclass
class ScriptedServer:
    """The running server."""

    address: str
    ingest: Ingest
    catalog: Catalog
    captioner: Captioner
