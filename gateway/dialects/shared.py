"""Paths that several dialects share: one answer that holds what each of them looks for."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import grpc
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gateway.clients import PROBE_TIMEOUT_S, Gateway, answers
from gateway.errors import Body, now
from gateway.requests import gateway_of, prefers_html
from gateway.version import installed_version
from gateway.web_ui import index_page
from sightmill.v1 import catalog_pb2

_ENDPOINTS = {
    "health": "/health",
    "submit": "/submit",
    "status": "/status/{job_id}",
    "result": "/result/{job_id}",
    "analyze": "/api/analyze",
    "results": "/api/results/{id}",
    "upload": "/v1/images:upload",
    "images": "/v1/images",
    "ui": "/ui",
    "docs": "/docs",
}
_USAGE = {
    "single_image": "POST /submit with form field 'file', then GET /status/{job_id} and /result/{job_id}",
    "multiple_images": "POST /v1/images:upload with any number of files",
    "get_results": "GET /api/results/{id}",
    "health_check": "GET /health",
}
_QUEUED = {"PENDING", "PROCESSING"}


def add_routes(app: FastAPI) -> None:
    """Home and the two health paths."""
    app.add_api_route("/", home, methods=["GET"], tags=["about"])
    app.add_api_route("/health", read_health, methods=["GET"], tags=["about"])
    app.add_api_route("/api/health", read_api_health, methods=["GET"], tags=["about"])


async def home(request: Request) -> Response:
    """The web UI for browsers, the same facts as JSON for everybody else; `format=html` or `json` decides."""
    wanted = request.query_params.get("format", "")
    html = wanted == "html" or (wanted != "json" and prefers_html(request.headers.get("accept", "")))
    if html:
        page = await index_page()
        page.headers.add_vary_header("Accept")
        return page
    gateway, started = gateway_of(request), time.perf_counter()
    stats = await _stats(gateway)
    body: Body = {
        "message": "Sightmill: image understanding as a service",
        "version": installed_version(),
        "status": "online",
        "timestamp": now(),
        "database": _database(gateway, stats),
        "response_time": _elapsed(started),
        "endpoints": _ENDPOINTS,
        "usage": _USAGE,
    }
    return JSONResponse(body, headers={"Vary": "Accept"})


async def read_api_health(request: Request) -> Response:
    """Whether store and queue answer, the queue as ingest sees it; 503 when the store does not."""
    gateway, started = gateway_of(request), time.perf_counter()
    stats, queue = await asyncio.gather(
        _stats(gateway), answers(gateway.clients.ingest_channel, "dependency/queue")
    )
    body: Body = {
        "status": "ok" if stats else "degraded",
        "database": "connected" if stats else "disconnected",
        "redis": "connected" if queue else "disconnected",
        "timestamp": now(),
        "response_time": _elapsed(started),
        "services": {
            "backend": {"status": "online", "version": installed_version()},
            "database": _database(gateway, stats),
        },
    }
    return JSONResponse(body, 200 if stats else 503)


async def read_health(request: Request) -> Response:
    """Always 200 while the process serves."""
    gateway, started = gateway_of(request), time.perf_counter()
    stats, intake = await asyncio.gather(_stats(gateway), answers(gateway.clients.ingest_channel))
    counts = stats.states if stats else ()
    return JSONResponse(
        {
            "status": "healthy",
            # Keys of providers are the captioner's alone.
            "api_key_configured": False,
            "config_loaded": True,
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "processor_initialized": intake,
            "service": "sightmill",
            "version": installed_version(),
            "response_time": _elapsed(started),
            "queue_size": sum(count.count for count in counts if count.value in _QUEUED),
        }
    )


async def _stats(gateway: Gateway) -> catalog_pb2.GetStatsResponse | None:
    try:
        return await gateway.clients.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=PROBE_TIMEOUT_S)
    except grpc.aio.AioRpcError:
        return None


def _database(gateway: Gateway, stats: catalog_pb2.GetStatsResponse | None) -> Body:
    if stats is None:
        return {"status": "error", "version": "", "error": "The store does not answer"}
    host = gateway.settings.catalog_address
    return {
        "status": "connected",
        "version": stats.store,
        "host": host,
        "image_count": stats.image_count,
    }


def _elapsed(started: float) -> str:
    return f"{(time.perf_counter() - started) * 1_000:.2f} ms"
