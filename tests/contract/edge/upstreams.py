"""What stands behind the edge in these tests: two gRPC servers and one HTTP server, all real, all small."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvicorn
from google.api import httpbody_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.runtime.errors import NotFoundError, Reason
from services.runtime.interceptors import interceptor_chain
from services.runtime.telemetry import build_metrics
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from tests.servers.waiting import until

INGEST = "sightmill.v1.IngestService"
CATALOG = "sightmill.v1.CatalogService"
# Above the 1 MiB that Envoy would buffer by itself.
LARGE_BYTES = 10_000_000
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Seen:
    """What reached the servers behind the edge."""

    metadata: dict[str, str] = field(default_factory=dict)
    remaining_s: float | None = None
    upload_bytes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    release: asyncio.Event = field(default_factory=asyncio.Event)


class Ingest(ingest_pb2_grpc.IngestServiceServicer):
    """Streams both ways, bytes out, and a watch that the test steps through."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def UploadImages(
        self, request_iterator: AsyncIterator[ingest_pb2.UploadImagesRequest], _: Context
    ) -> AsyncIterator[ingest_pb2.UploadImagesResponse]:
        async for message in request_iterator:
            if message.HasField("header"):
                yield ingest_pb2.UploadImagesResponse(key=message.header.key)

    async def UploadImage(
        self, request: ingest_pb2.UploadImageRequest, _: Context
    ) -> ingest_pb2.UploadImageResponse:
        image = catalog_pb2.Image(display_name=request.header.display_name, size_bytes=len(request.content))
        return ingest_pb2.UploadImageResponse(image=image)

    async def WatchImage(
        self, request: ingest_pb2.WatchImageRequest, _: Context
    ) -> AsyncIterator[ingest_pb2.WatchImageResponse]:
        yield ingest_pb2.WatchImageResponse(image=catalog_pb2.Image(name=request.name, number=1))
        await self.seen.release.wait()
        yield ingest_pb2.WatchImageResponse(image=catalog_pb2.Image(name=request.name), final=True)

    async def DownloadImage(
        self, _request: ingest_pb2.DownloadImageRequest, _: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        for number in range(40):
            yield httpbody_pb2.HttpBody(content_type="image/png", data=bytes([number]) * 256 * 1024)

    async def WaitImage(
        self, request: ingest_pb2.WaitImageRequest, context: Context
    ) -> ingest_pb2.WaitImageResponse:
        self.seen.remaining_s = context.time_remaining()
        return ingest_pb2.WaitImageResponse(image=catalog_pb2.Image(name=request.name))


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    """Reads that say what came in, and an error with a reason."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, context: Context
    ) -> catalog_pb2.GetImageResponse:
        self.seen.metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.seen.remaining_s = context.time_remaining()
        if request.name == "images/none":
            raise NotFoundError(Reason.IMAGE_NOT_FOUND, "There is no images/none.", name=request.name)
        if request.name == "images/large":
            return catalog_pb2.GetImageResponse(image=catalog_pb2.Image(display_name="x" * LARGE_BYTES))
        return catalog_pb2.GetImageResponse(image=catalog_pb2.Image(name=request.name, number=7))

    async def ListImages(
        self, request: catalog_pb2.ListImagesRequest, _: Context
    ) -> catalog_pb2.ListImagesResponse:
        return catalog_pb2.ListImagesResponse(next_page_token=f"after {request.page_size}")


def gateway_app(seen: Seen) -> Starlette:
    """The HTTP side: counts an upload as it arrives and answers everything else with what it saw."""

    async def upload(request: Request) -> Response:
        seen.upload_bytes = 0
        async for chunk in request.stream():
            seen.upload_bytes += len(chunk)
        return JSONResponse({"bytes": seen.upload_bytes})

    async def echo(request: Request) -> Response:
        seen.headers = dict(request.headers)
        code = 404 if "missing" in request.url.path else 200
        return JSONResponse({"path": request.url.path, "server": "gateway"}, code)

    methods = ["GET", "POST", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/v1/images:upload", upload, methods=["POST"]),
            Route("/{path:path}", echo, methods=methods),
        ]
    )


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Ports of the servers and what they saw."""

    ingest: int
    catalog: int
    gateway: int
    seen: Seen


@contextlib.asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    """All three servers, while the context is open."""
    seen = Seen()
    ingest, catalog = _grpc_server(), _grpc_server()
    # The stubs declare every method abstract; what a servicer leaves out is answered by the interceptors.
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(Ingest(seen), ingest)  # type: ignore[abstract]
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(Catalog(seen), catalog)  # type: ignore[abstract]
    reflection.enable_server_reflection([INGEST, CATALOG, reflection.SERVICE_NAME], ingest)
    ingest_port, catalog_port = (server.add_insecure_port("127.0.0.1:0") for server in (ingest, catalog))
    gateway = uvicorn.Server(
        uvicorn.Config(gateway_app(seen), port=0, log_level="error", ws="none", lifespan="off")
    )
    thread = threading.Thread(target=gateway.run)
    try:
        for server in (ingest, catalog):
            await server.start()
        thread.start()
        await until(lambda: gateway.started, "the HTTP server listens")
        gateway_port = gateway.servers[0].sockets[0].getsockname()[1]
        yield Upstreams(ingest_port, catalog_port, gateway_port, seen)
    finally:
        gateway.should_exit = True
        await asyncio.gather(ingest.stop(0), catalog.stop(0), asyncio.to_thread(thread.join, 10))


def _grpc_server() -> grpc.aio.Server:
    limit = 72 * 1024 * 1024
    server = grpc.aio.server(
        interceptors=interceptor_chain(build_metrics(), 100, asyncio.Event()),
        options=[("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", limit)],
    )
    health = health_aio.HealthServicer()
    health._server_status[""] = health_pb2.HealthCheckResponse.SERVING
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    return server
