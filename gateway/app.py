"""The application: routes of all dialects, and one place where every error becomes an answer."""

from __future__ import annotations

import grpc
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match, Route

from gateway import docs, native, web_ui
from gateway.clients import Clients, Gateway
from gateway.cors import cors_options
from gateway.dialects import jobs, peek, shared
from gateway.errors import (
    Dialect,
    HttpError,
    all_keys_body,
    dialect_response,
    native_response,
)
from gateway.middleware import ObserveMiddleware, build_http_metrics
from gateway.requests import prefers_html
from gateway.settings import GatewaySettings
from gateway.version import installed_version
from services.runtime import statuses
from services.runtime.errors import NotFoundError, Reason, ServiceError

DIALECTS = (jobs.DIALECT, peek.DIALECT)
_NOT_FOUND_PAGE = (
    '<!doctype html><html lang="en"><title>Not Found</title><h1>Not Found</h1>'
    '<p>Nothing is served here. <a href="/">Start page</a></p></html>'
)


def build_app(
    settings: GatewaySettings, clients: Clients, registry: CollectorRegistry | None = None
) -> FastAPI:
    """The application over open clients. ``app.state.gateway`` is what routes work with."""
    app = FastAPI(
        title="Sightmill",
        version=installed_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HttpError: _on_http_error,
            ServiceError: _on_service_error,
            grpc.aio.AioRpcError: _on_rpc_error,
            HTTPException: _on_no_route,
        },
    )
    app.state.gateway = Gateway(settings, clients)
    for module in (native, jobs, peek, shared, web_ui, docs):
        module.add_routes(app)
    app.add_middleware(
        ObserveMiddleware,
        metrics=build_http_metrics(registry or CollectorRegistry()),
        max_requests=settings.max_calls,
        refuse=error_response,
    )
    # Outermost, so that refusals carry its headers, too.
    app.add_middleware(CORSMiddleware, **cors_options(settings.cors_origins))
    return app


def error_response(path: str, error: ServiceError) -> Response:
    """The answer to an error in the words of whoever calls this path."""
    dialect = dialect_of(path)
    return dialect_response(dialect, dialect.refuse(error)) if dialect else native_response(error)


def dialect_of(path: str) -> Dialect | None:
    """The dialect that a path belongs to; None for the native interface and shared paths."""
    return next((dialect for dialect in DIALECTS if path.startswith(dialect.prefixes)), None)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpError)  # noqa: S101  what the handler is registered for
    return dialect_response(dialect_of(request.scope["path"]), error)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  what the handler is registered for
    return error_response(request.scope["path"], error)


async def _on_rpc_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, grpc.aio.AioRpcError)  # noqa: S101  what the handler is registered for
    return error_response(request.scope["path"], statuses.from_rpc_error(error))


async def _on_no_route(request: Request, error: Exception) -> Response:
    """404 and 405 with a body that fits every dialect; OPTIONS gets the methods that there are."""
    assert isinstance(error, HTTPException)  # noqa: S101  what the handler is registered for
    headers = {}
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
        if request.method == "OPTIONS":
            return Response(status_code=200, headers=headers)
    elif request.scope["path"].startswith(native.PREFIXES):
        return native_response(
            NotFoundError(Reason.INVALID_NAME, "Nothing is served under this path and method.")
        )
    elif prefers_html(request.headers.get("accept", "")):
        return HTMLResponse(_NOT_FOUND_PAGE, 404)
    return JSONResponse(all_keys_body(str(error.detail)), error.status_code, headers)


def _allowed_methods(request: Request) -> list[str]:
    methods = {"OPTIONS"}
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
