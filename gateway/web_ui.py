"""The web UI's files. Their links are absolute (``/ui/...``): the page is also served at ``/``."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

UI_FOLDER = Path(__file__).with_name("ui")
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_NO_PAGE = b"""<!doctype html><html lang="en"><title>Sightmill</title><h1>Sightmill</h1>
<p>The web UI is not installed here. The interface is described at <a href="/docs">/docs</a>.</p></html>
"""


def add_routes(app: FastAPI) -> None:
    """The page and its files."""
    app.add_api_route("/ui", read_page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/ui/{path:path}", read_file, methods=["GET"], include_in_schema=False)


async def read_page(request: Request) -> Response:
    """The web UI."""
    return _file_response(await _index(), "text/html", request)


async def read_file(request: Request, path: str) -> Response:
    """A file of the web UI; 404 for anything outside its folder."""
    if not path:
        return await read_page(request)
    content = await asyncio.to_thread(_read, path)
    if content is None:
        raise HTTPException(404)
    return _file_response(content, mimetypes.guess_type(path)[0] or "application/octet-stream", request)


async def index_page() -> Response:
    """The page on its own, for ``/``."""
    return _file_response(await _index(), "text/html", None)


async def _index() -> bytes:
    return await asyncio.to_thread(_read, "index.html") or _NO_PAGE


def _read(path: str) -> bytes | None:
    try:
        file = (UI_FOLDER / path).resolve()
        inside = file.is_relative_to(UI_FOLDER.resolve())
        return file.read_bytes() if inside and file.is_file() else None
    except (OSError, ValueError):
        return None


def _file_response(content: bytes, media_type: str, request: Request | None) -> Response:
    headers = {
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
    }
    if request and request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
