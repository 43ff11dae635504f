"""Submit, status, result: the job service's dialect. A job is an image; its id is the image's UUID."""

from __future__ import annotations

import re
from enum import Enum

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gateway.dialects.forms import file_form
from gateway.errors import Dialect, HttpError, MalformedBodyError, det_body, passing_fault
from gateway.images import NO_STORE, get_image
from gateway.multipart import Limits, MultipartReader, Part
from gateway.requests import gateway_of
from gateway.settings import MIB
from gateway.uploads import open_reader, upload_one
from services.runtime.errors import NotFoundError, Reason, ServiceError
from sightmill.v1 import catalog_pb2, common_pb2, ingest_pb2

MAX_FILE_BYTES = 16 * MIB
GENERATED_BY = "vision-node-gpt"
_EXTENSIONS = {"png", "jpg", "jpeg"}
_MEDIA_TYPES = {"image/png", "image/jpeg", "image/jpg"}
_STATUS = {
    catalog_pb2.Image.PENDING: "queued",
    catalog_pb2.Image.PROCESSING: "processing",
    catalog_pb2.Image.PROCESSED: "done",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ERROR = "The image could not be processed"
_UNASKED = "No analysis was asked for this image"


def refuse(error: ServiceError) -> HttpError:
    """The words of this dialect for an error."""
    if passing := passing_fault(error):
        return passing
    if isinstance(error, NotFoundError) or error.reason == Reason.INVALID_NAME:
        return HttpError(404, "Job not found")
    if error.reason == Reason.IMAGE_TOO_LARGE:
        return HttpError(413, f"File too large. At most {MAX_FILE_BYTES} bytes are accepted.")
    if isinstance(error, MalformedBodyError):
        return HttpError(400, error.message)
    if error.reason_name.startswith("IMAGE_"):
        return HttpError(400, "File is not a valid image")
    return HttpError(500, "Internal Server Error")


DIALECT = Dialect(("/submit", "/status/", "/result/"), det_body, refuse)


def add_routes(app: FastAPI) -> None:
    """The three routes of the dialect; its test page is the suite's web UI."""
    tags: list[str | Enum] = ["jobs"]
    app.add_api_route("/submit", submit, methods=["POST"], tags=tags, openapi_extra=file_form("file"))
    app.add_api_route("/status/{job_id}", read_status, methods=["GET"], tags=tags)
    app.add_api_route("/result/{job_id}", read_result, methods=["GET"], tags=tags)


async def submit(request: Request) -> Response:
    """Takes one PNG or JPEG in the field `file`; answers with the id of the job."""
    gateway = gateway_of(request)
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return _missing()
    reader = open_reader(gateway, request, Limits(MAX_FILE_BYTES, MAX_FILE_BYTES + MIB))
    part = await _field(reader)
    if part is None:
        return _missing()
    if part.file_name is None:
        text = await part.text()
        return _wrong_kind(text) if text else _missing()
    if part.extension not in _EXTENSIONS and part.content_type not in _MEDIA_TYPES:
        raise HttpError(400, "Invalid file type. Only PNG and JPG/JPEG images are supported.")
    header = ingest_pb2.UploadHeader(key="file", display_name=part.file_name)
    image = await upload_one(gateway, reader, header, part.blocks())
    return JSONResponse({"job_id": _job_id(image), "status": "queued"})


async def _field(reader: MultipartReader) -> Part | None:
    """The first field of the right name. A file field left empty in a browser counts as missing."""
    async for part in reader:
        if part.name == "file" and part.file_name != "":
            return part
    return None


async def read_status(request: Request, job_id: str) -> Response:
    """Where the job is in its life."""
    image = await _get(request, job_id)
    status = _STATUS.get(image.state, "failed")
    body = {"job_id": _job_id(image), "status": status}
    if status == "failed":
        body["error"] = _error(image)
    return JSONResponse(body, headers={"Cache-Control": NO_STORE})


async def read_result(request: Request, job_id: str) -> Response:
    """The description; 202 before it is there."""
    image = await _get(request, job_id)
    status = _STATUS.get(image.state, "failed")
    headers = {"Cache-Control": NO_STORE}
    if status == "failed":
        return JSONResponse(det_body(f"Job failed: {_error(image)}"), 400, headers)
    if status != "done":
        text = f"Job is still {status}. Please check /status/{_job_id(image)} for updates."
        return JSONResponse(det_body(text), 202, headers)
    body = {
        "job_id": _job_id(image),
        "status": status,
        "description": describe(image),
        "_generated_by": GENERATED_BY,
    }
    return JSONResponse(body, headers=headers)


def describe(image: catalog_pb2.Image) -> str:
    """The model's text, or measured facts where none answered; the marker is the last line."""
    caption = image.caption
    stands_in = caption.degraded or caption.provider == "local"
    text = image.corrections.caption or ("" if stands_in else caption.text)
    return f'{text.strip() or _facts(image)}\n\n_generated_by: "{GENERATED_BY}"\n'


def _facts(image: catalog_pb2.Image) -> str:
    encoding = common_pb2.ImageFormat.Name(image.format).removeprefix("IMAGE_FORMAT_")
    size = f"{image.width}x{image.height}"
    seen = " ".join(image.caption.text.split()) or f"A {encoding} image of {size} pixels."
    return (
        "Image Description:\n"
        f"- Dimensions: {size} pixels\n"
        f"- Format: {encoding}\n"
        f"- Color Mode: {image.color_mode}\n"
        f"- Content: {seen}\n"
        f"  Its pixels are stored in {image.color_mode} mode."
    )


async def _get(request: Request, job_id: str) -> catalog_pb2.Image:
    if not _UUID.fullmatch(job_id):
        raise HttpError(404, "Job not found")
    return await get_image(gateway_of(request), f"images/{job_id}")


def _job_id(image: catalog_pb2.Image) -> str:
    return image.name.removeprefix("images/")


def _error(image: catalog_pb2.Image) -> str:
    return _UNASKED if image.state == catalog_pb2.Image.STORED else _ERROR


def _missing() -> Response:
    problem = {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}
    return JSONResponse({"detail": [problem]}, 422)


def _wrong_kind(text: str) -> Response:
    problem = {
        "type": "value_error",
        "loc": ["body", "file"],
        "msg": "Value error, Expected UploadFile, received: <class 'str'>",
        "input": text,
        "ctx": {"error": {}},
    }
    return JSONResponse({"detail": [problem]}, 422)
