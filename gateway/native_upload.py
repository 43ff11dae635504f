"""Multipart uploads: any number of files, one result each, all at once or as lines."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.errors import http_status, native_body, retry_headers
from gateway.messages import tree
from gateway.multipart import Limits
from gateway.requests import gateway_of
from gateway.uploads import Upload, open_reader
from services.runtime import statuses
from sightmill.v1 import ingest_pb2

NDJSON = "application/x-ndjson"


async def upload_images(request: Request) -> Response:
    """Takes any number of image files as multipart/form-data, in parts of any name.

    Fields hold for the files after them: `label.<name>`, `skip_caption`, `skip_analysis`; `request_id` holds
    for the next file. With `Accept: application/x-ndjson` each result comes as a line as soon as it is there.
    """
    gateway = gateway_of(request)
    settings = gateway.settings
    limits = Limits(
        settings.gateway_max_file_bytes, settings.gateway_max_body_bytes, settings.gateway_max_parts
    )
    upload = Upload(gateway, open_reader(gateway, request, limits))
    if NDJSON in request.headers.get("accept", ""):
        return _Duplex(upload)
    results = {answer.index: _result(upload, answer) async for answer in upload.answers()}
    return _summary(upload, [results[index] for index in sorted(results)])


def _result(upload: Upload, answer: ingest_pb2.UploadImagesResponse) -> dict[str, Any]:
    key, file_name = upload.files[answer.index]
    result: dict[str, Any] = {"key": key, "index": answer.index, "file_name": file_name}
    if answer.WhichOneof("result") == "image":
        return result | {"image": tree(answer.image)}
    error = statuses.from_status(answer.error)
    facts = {"reason": error.reason_name, "http_status": http_status(error), "metadata": error.metadata}
    return result | {"error": native_body(error) | facts}


def _summary(upload: Upload, results: list[dict[str, Any]]) -> Response:
    """200 when any file is in; else the status of the first fault. A broken body is a fault of the whole."""
    if failure := upload.failure:
        status = http_status(failure)
        headers = retry_headers(status, failure.retry_after_s)
        return JSONResponse(native_body(failure) | {"results": results}, status, headers)
    taken = any("image" in result for result in results)
    status = 200 if taken else results[0]["error"]["http_status"]
    return JSONResponse({"results": results}, status, retry_headers(status, None))


class _Duplex(Response):
    """Results as lines while the body still comes in; a streaming response would eat the body."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's form
        """Sends the headers with the first line; the last line of a broken body holds ``error``."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for answer in self._upload.answers():
            await self._line(send, _result(self._upload, answer))
        if self._upload.failure:
            await self._line(send, {"error": native_body(self._upload.failure)})
        await send({"type": "http.response.body", "body": b""})

    async def _line(self, send: Send, item: dict[str, Any]) -> None:
        line = json.dumps(item, ensure_ascii=False).encode() + b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": True})
