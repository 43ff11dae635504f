"""Image bytes on their way out, with what browsers and caches need to know."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.api import httpbody_pb2
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.clients import Gateway
from gateway.requests import CutOffError, first_of, is_head
from services.runtime import statuses
from services.runtime.errors import NotFoundError, Reason
from sightmill.v1 import analyzer_pb2, catalog_pb2, ingest_pb2

NO_STORE = "no-store"
FINAL = {catalog_pb2.Image.PROCESSED, catalog_pb2.Image.FAILED, catalog_pb2.Image.STORED}
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


async def get_image(
    gateway: Gateway, name: str, view: catalog_pb2.ImageView.ValueType = catalog_pb2.IMAGE_VIEW_FULL
) -> catalog_pb2.Image:
    """The image; NotFoundError for an unknown or deleted one."""
    answer = await gateway.clients.catalog.GetImage(
        catalog_pb2.GetImageRequest(name=name, view=view), timeout=gateway.settings.gateway_rpc_timeout_s
    )
    if answer.image.HasField("delete_time"):
        raise NotFoundError(Reason.IMAGE_NOT_FOUND, f"{name} was deleted.", name=name)
    return answer.image


async def send_picture(
    gateway: Gateway,
    request: Request,
    image: catalog_pb2.Image,
    kind: analyzer_pb2.RenditionKind.ValueType,
    cache_control: str,
    media_type: Callable[[str], str] = str,
) -> Response:
    """Streams a rendition; 304 when the caller has it. ``media_type`` may replace what ingest says."""
    headers = _headers(image, kind, cache_control)
    if headers["ETag"] in _etags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    call = gateway.clients.ingest.DownloadImage(
        ingest_pb2.DownloadImageRequest(name=image.name, rendition=kind),
        timeout=gateway.settings.gateway_transfer_timeout_s,
    )
    first = await first_of(call)
    if first is None:
        raise NotFoundError(Reason.BLOB_NOT_FOUND, f"The bytes of {image.name} are gone.")
    headers["Content-Type"] = media_type(first.content_type)
    if kind == analyzer_pb2.RENDITION_KIND_ORIGINAL:
        headers["Content-Length"] = str(image.size_bytes)
    if is_head(request):
        call.cancel()
        return Response(headers=headers)
    return StreamingResponse(_bytes(first, call), headers=headers)


async def _bytes(
    first: httpbody_pb2.HttpBody, call: grpc.aio.UnaryStreamCall[Any, httpbody_pb2.HttpBody]
) -> AsyncIterator[bytes]:
    try:
        yield first.data
        async for body in call:
            yield body.data
    except grpc.aio.AioRpcError as error:
        raise CutOffError(statuses.from_rpc_error(error).reason_name) from error
    finally:
        call.cancel()


def _headers(
    image: catalog_pb2.Image, kind: analyzer_pb2.RenditionKind.ValueType, cache_control: str
) -> dict[str, str]:
    name = _UNFIT.sub("", image.name.rpartition("/")[2])
    return {
        "ETag": _etag(image, kind),
        "Cache-Control": cache_control,
        "Content-Disposition": f'inline; filename="{name}"',
        # Bytes from strangers: whatever they are, they run nothing.
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _etag(image: catalog_pb2.Image, kind: analyzer_pb2.RenditionKind.ValueType) -> str:
    """By the bytes; where boxes are drawn, also by the analysis that found them."""
    if kind == analyzer_pb2.RENDITION_KIND_ANNOTATED:
        return f'"{image.sha256}-annotated-{image.process_time.ToMilliseconds()}"'
    if kind == analyzer_pb2.RENDITION_KIND_THUMBNAIL:
        return f'"{image.sha256}-thumbnail"'
    return f'"{image.sha256}"'


def _etags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
