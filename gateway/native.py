"""The native interface where no edge stands in front, and multipart uploads everywhere.

Answers are JSON to the letter as the edge's transcoder prints it.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response
from google.protobuf.message import Message

from gateway.clients import Gateway
from gateway.dialects.forms import file_form
from gateway.images import FINAL, NO_STORE, get_image, send_picture
from gateway.messages import compact
from gateway.native_upload import upload_images
from gateway.native_watch import watch_image
from gateway.query import parse_query
from gateway.requests import gateway_of, while_connected
from sightmill.v1 import analyzer_pb2, catalog_pb2, ingest_pb2

PREFIXES = ("/v1/",)
_WAIT_GRACE_S = 5.0
_MAX_WAIT_S = 60.0


def add_routes(app: FastAPI) -> None:
    """Verbs before names: ``{image}`` would take ``id:wait`` for an id."""
    app.add_api_route(
        "/v1/images:upload", upload_images, methods=["POST"], tags=["images"], openapi_extra=file_form("file")
    )
    app.add_api_route("/v1/images/{image}:wait", wait_image, methods=["GET"], tags=["images"])
    app.add_api_route("/v1/images/{image}:watch", watch_image, methods=["GET"], tags=["images"])
    app.add_api_route("/v1/images/{image}:download", download_image, methods=["GET"], tags=["images"])
    app.add_api_route("/v1/images/{image}", read_image, methods=["GET"], tags=["images"])
    app.add_api_route("/v1/images/{image}", delete_image, methods=["DELETE"], tags=["images"])
    app.add_api_route("/v1/images", list_images, methods=["GET"], tags=["images"])
    app.add_api_route("/v1/stats", read_stats, methods=["GET"], tags=["images"])


async def list_images(request: Request) -> Response:
    """Lists images, newest first. Parameters as in ListImagesRequest."""
    gateway = gateway_of(request)
    message = parse_query(catalog_pb2.ListImagesRequest(), request.query_params)
    return _json(await gateway.clients.catalog.ListImages(message, timeout=_timeout(gateway)))


async def read_image(request: Request, image: str) -> Response:
    """Returns one image with insights and caption."""
    gateway = gateway_of(request)
    message = parse_query(catalog_pb2.GetImageRequest(name=f"images/{image}"), request.query_params)
    return _json(await gateway.clients.catalog.GetImage(message, timeout=_timeout(gateway)))


async def delete_image(request: Request, image: str) -> Response:
    """Deletes an image; `force=true` for good at once."""
    gateway = gateway_of(request)
    message = parse_query(catalog_pb2.DeleteImageRequest(name=f"images/{image}"), request.query_params)
    return _json(await gateway.clients.catalog.DeleteImage(message, timeout=_timeout(gateway)))


async def read_stats(request: Request) -> Response:
    """Counts images by state and format."""
    gateway = gateway_of(request)
    message = parse_query(catalog_pb2.GetStatsRequest(), request.query_params)
    return _json(await gateway.clients.catalog.GetStats(message, timeout=_timeout(gateway)))


async def wait_image(request: Request, image: str) -> Response:
    """Returns an image as soon as its state is final, or as it is after `timeout` (for example `20s`)."""
    gateway = gateway_of(request)
    message = parse_query(ingest_pb2.WaitImageRequest(name=f"images/{image}"), request.query_params)
    call = gateway.clients.ingest.WaitImage(message, timeout=_MAX_WAIT_S + _WAIT_GRACE_S)
    return _json(await while_connected(request, call))


async def download_image(request: Request, image: str) -> Response:
    """Sends the bytes: `rendition=ORIGINAL`, `ANNOTATED` or `THUMBNAIL` (or the names of the contract)."""
    gateway = gateway_of(request)
    parameters = dict(request.query_params)
    if (short := parameters.get("rendition", "").upper()) and not short.startswith("RENDITION_KIND_"):
        parameters["rendition"] = f"RENDITION_KIND_{short}"
    message = parse_query(ingest_pb2.DownloadImageRequest(), type(request.query_params)(parameters))
    kind = message.rendition or analyzer_pb2.RENDITION_KIND_ORIGINAL
    found = await get_image(gateway, f"images/{image}", catalog_pb2.IMAGE_VIEW_BASIC)
    cache_control = "private, max-age=31536000, immutable"
    if kind == analyzer_pb2.RENDITION_KIND_ANNOTATED:
        cache_control = "private, no-cache" if found.state in FINAL else NO_STORE
    return await send_picture(gateway, request, found, kind, cache_control)


def _timeout(gateway: Gateway) -> float:
    return gateway.settings.gateway_rpc_timeout_s


def _json(message: Message) -> Response:
    return Response(compact(message), media_type="application/json")
