"""Analyse, results, pictures: the insight service's dialect. Ids are the numbers of images."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from enum import Enum

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gateway.dialects.forms import file_form
from gateway.dialects.peek_insights import insights_body
from gateway.errors import Dialect, HttpError, MalformedBodyError, err_body, passing_fault
from gateway.images import FINAL, NO_STORE, get_image, send_picture
from gateway.multipart import Limits, MultipartReader, Part
from gateway.requests import base_url, gateway_of
from gateway.settings import MIB
from gateway.uploads import open_reader, upload_one
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError
from sightmill.v1 import analyzer_pb2, catalog_pb2, ingest_pb2

LONG_CACHE = "public, max-age=31536000"
DEFAULT_EXPIRATION_S = 86_400
MAX_ID = 2**63 - 1
_EXTENSIONS = {"png", "jpg", "jpeg", "gif", "bmp", "webp"}
_MEDIA_TYPES = {"image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"}
# What this dialect takes by its first bytes; ingest knows more formats and judges the rest.
_SIGNATURES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|BM|RIFF....WEBP", re.DOTALL)
_NO_FILE = "No image file provided"
_UNFIT_FILE = "Invalid file type or size"
_ERROR = "Image analysis failed"
_UNASKED = "No analysis was asked for this image"


def refuse(error: ServiceError) -> HttpError:
    """The words of this dialect for an error."""
    if passing := passing_fault(error):
        return passing
    if isinstance(error, NotFoundError) or error.reason == Reason.INVALID_NAME:
        return HttpError(404, "Image not found")
    if isinstance(error, MalformedBodyError):
        return HttpError(400, _NO_FILE)
    if error.reason_name.startswith("IMAGE_"):
        return HttpError(400, _UNFIT_FILE)
    return HttpError(500, "Internal server error")


DIALECT = Dialect(("/api/analyze", "/api/results/", "/api/image/"), err_body, refuse)


def add_routes(app: FastAPI) -> None:
    """The routes of the dialect; ``/api/health`` is shared."""
    tags: list[str | Enum] = ["peek"]
    app.add_api_route("/api/analyze", analyze, methods=["POST"], tags=tags, openapi_extra=file_form("image"))
    app.add_api_route("/api/results/{number}", read_results, methods=["GET"], tags=tags)
    app.add_api_route("/api/image/{number}/original", read_original, methods=["GET"], tags=tags)
    app.add_api_route("/api/image/{number}/annotated", read_annotated, methods=["GET"], tags=tags)
    app.add_api_route("/api/image/{number}/url", read_url, methods=["GET"], tags=tags)


async def analyze(request: Request) -> Response:
    """Takes one image in the field `image`; answers with its id before it is analysed."""
    gateway = gateway_of(request)
    limit = gateway.settings.gateway_peek_max_bytes
    reader = open_reader(gateway, request, Limits(limit, limit + MIB))
    part = await _field(reader)
    header = ingest_pb2.UploadHeader(key="image", display_name=part.file_name or "")
    # This dialect never shows a caption: none need be paid for.
    header.options.skip_caption = True
    image = await upload_one(gateway, reader, header, _known_formats(part))
    public_url = f"{base_url(request)}/api/image/{image.number}/original"
    return JSONResponse({"id": image.number, "status": "processing", "public_url": public_url}, 202)


async def _field(reader: MultipartReader) -> Part:
    async for part in reader:
        if part.name == "image" and part.file_name is not None:
            if not part.file_name:
                raise HttpError(400, "No selected file")
            if part.extension not in _EXTENSIONS:
                raise HttpError(400, _UNFIT_FILE)
            return part
    raise HttpError(400, _NO_FILE)


async def _known_formats(part: Part) -> AsyncIterator[bytes]:
    known = False
    async for block in part.blocks():
        known = known or _SIGNATURES.match(block) is not None
        if not known:
            raise InvalidArgumentError(Reason.IMAGE_FORMAT_UNSUPPORTED, "Not a format of this dialect.")
        yield block


async def read_results(request: Request, number: str) -> Response:
    """What was found, or that it is still being looked at."""
    image = await _get(request, number, catalog_pb2.IMAGE_VIEW_FULL)
    if image.state == catalog_pb2.Image.PROCESSED and image.HasField("insights"):
        return JSONResponse({"id": image.number, "status": "completed", "insights": insights_body(image)})
    if image.state in FINAL:
        error = _UNASKED if image.state == catalog_pb2.Image.STORED else _ERROR
        return JSONResponse({"id": image.number, "status": "failed", "error": error})
    return JSONResponse({"id": image.number, "status": "processing"}, 202)


async def read_original(request: Request, number: str) -> Response:
    """The picture as it was uploaded."""
    image = await _get(request, number)
    kind = analyzer_pb2.RENDITION_KIND_ORIGINAL
    return await send_picture(gateway_of(request), request, image, kind, LONG_CACHE, _media_type)


async def read_annotated(request: Request, number: str) -> Response:
    """The picture with boxes around faces; the original before there are any."""
    image = await _get(request, number)
    done = image.state == catalog_pb2.Image.PROCESSED
    kind = analyzer_pb2.RENDITION_KIND_ANNOTATED if done else analyzer_pb2.RENDITION_KIND_ORIGINAL
    cache_control = LONG_CACHE if image.state in FINAL else NO_STORE
    return await send_picture(gateway_of(request), request, image, kind, cache_control, _media_type)


async def read_url(request: Request, number: str) -> Response:
    """An address of the original. `expiration` is checked, but addresses of this service do not expire."""
    try:
        expires_in = int(request.query_params.get("expiration", DEFAULT_EXPIRATION_S))
    except ValueError:
        expires_in = DEFAULT_EXPIRATION_S
    if not 60 <= expires_in <= 604_800:
        raise HttpError(400, "Expiration must be between 60 and 604800 seconds")
    image = await _get(request, number)
    url = f"{base_url(request)}/api/image/{image.number}/original"
    return JSONResponse({"image_id": image.number, "url": url, "expires_in": expires_in})


async def _get(
    request: Request,
    number: str,
    view: catalog_pb2.ImageView.ValueType = catalog_pb2.IMAGE_VIEW_BASIC,
) -> catalog_pb2.Image:
    digits = number.lstrip("0")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19 and int(digits) <= MAX_ID):
        raise HttpError(404, "Image not found")
    return await get_image(gateway_of(request), f"images/{digits}", view)


def _media_type(media_type: str) -> str:
    return media_type if media_type in _MEDIA_TYPES else "application/octet-stream"
