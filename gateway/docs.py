"""The interface as a page. FastAPI's own pages load scripts from elsewhere; this one needs nothing."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
article{border-top:1px solid #ccc;padding:.5rem 0}code{font-size:1rem}b{display:inline-block;min-width:4.5rem}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"""


def add_routes(app: FastAPI) -> None:
    """``/docs`` and ``/redoc``; FastAPI itself serves ``/openapi.json``."""
    for path in ("/docs", "/redoc"):
        app.add_api_route(path, read_docs, methods=["GET"], include_in_schema=False)


async def read_docs(request: Request) -> Response:
    """The API document for people."""
    return HTMLResponse(render(request.app.openapi()), headers={"Content-Security-Policy": _POLICY})


def render(document: dict[str, Any]) -> str:
    """One page of all operations, grouped by tag."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_article(path, method, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(items)}" for tag, items in groups.items())
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p>Machine-readable: <a href="/openapi.json">/openapi.json</a></p>{sections}</html>'
    )


def _article(path: str, method: str, operation: dict[str, Any]) -> str:
    forms = operation.get("requestBody", {}).get("content", {})
    fields = [name for form in forms.values() for name in form["schema"].get("properties", {})]
    form_line = f"<p>Form field: <code>{escape(', '.join(fields))}</code></p>" if fields else ""
    text = escape(operation.get("description") or operation.get("summary", ""))
    return f"<article><b>{method.upper()}</b><code>{escape(path)}</code><p>{text}</p>{form_line}</article>"
