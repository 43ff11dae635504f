"""Paths that belong to no dialect alone: home, health, documents, the UI, CORS, what is not there."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from grpc_health.v1 import health_pb2

from gateway import web_ui
from services.runtime.errors import Reason, UnavailableError
from tests.contract.gateway.conftest import Start
from tests.contract.gateway.stand_in import World
from tests.contract.gateway.wire import connected, head

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"


@pytest.fixture
def ui_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "ui"
    (folder / "static").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Mill</title>")
    (folder / "static" / "app.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(web_ui, "UI_FOLDER", folder)
    return folder


@pytest.mark.parametrize(
    ("accept", "query", "html"),
    [
        (BROWSER, "", True),
        (AXIOS, "", False),
        ("*/*", "", False),
        (None, "", False),
        ("text/html;q=0.5, application/json", "", False),
        ("text/html, application/json", "", True),
        ("application/xhtml+xml", "", True),
        ("text/html;q=0", "", False),
        (BROWSER, "?format=json", False),
        (AXIOS, "?format=html", True),
    ],
)
async def test_home_is_negotiated(
    client: httpx.AsyncClient, ui_folder: Path, accept: str | None, query: str, html: bool
) -> None:
    del client.headers["accept"]
    answer = await client.get(f"/{query}", headers={"Accept": accept} if accept else {})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html" if html else "application/json")
    assert "Accept" in answer.headers["vary"]
    if not html:
        body = answer.json()
        assert body["status"] == "online"
        assert body["database"]["status"] == "connected"
        assert body["database"]["version"] == "sqlite 3.45.1"
        assert body["response_time"].endswith(" ms")
        assert {"message", "version", "endpoints", "usage", "timestamp"} <= set(body)


async def test_home_answers_without_services(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1", catalog_address="127.0.0.1:1")
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.json()["database"]["status"] == "error"


async def test_api_health_holds_every_dialects_keys(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/health")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["database"], body["redis"]) == ("ok", "connected", "connected")
    assert body["services"]["backend"]["status"] == "online"
    assert body["services"]["database"]["image_count"] == 7


async def test_api_health_without_the_store_is_503(client: httpx.AsyncClient, world: World) -> None:
    world.failures["GetStats"] = UnavailableError(Reason.STORE_UNAVAILABLE, "Away.")
    answer = await client.get("/api/health")
    assert answer.status_code == 503
    body = answer.json()
    assert (body["status"], body["database"], body["redis"]) == ("degraded", "disconnected", "connected")


async def test_api_health_without_the_intake_alone_is_200(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1")
    answer = await client.get("/api/health")
    assert (answer.status_code, answer.json()["redis"]) == (200, "disconnected")


async def test_api_health_tells_a_queue_that_is_away(client: httpx.AsyncClient, world: World) -> None:
    await world.health.set("dependency/queue", health_pb2.HealthCheckResponse.NOT_SERVING)
    answer = await client.get("/api/health")
    body = answer.json()
    assert (answer.status_code, body["database"], body["redis"]) == (200, "connected", "disconnected")


async def test_health(client: httpx.AsyncClient) -> None:
    body = (await client.get("/health")).json()
    assert body["status"] == "healthy"
    assert body["queue_size"] == 2
    assert body["processor_initialized"] is True
    assert {"api_key_configured", "config_loaded", "service", "version", "response_time"} <= set(body)
    assert len(body["timestamp"]) == len("2026-01-02T03:04:05")


async def test_documents_need_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "multipart/form-data" in document["paths"]["/submit"]["post"]["requestBody"]["content"]
    for path in ("/docs", "/redoc"):
        page = await client.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "://" not in page.text
        assert "<script" not in page.text
        for route in document["paths"]:
            assert route in page.text


async def test_the_ui_and_its_files(client: httpx.AsyncClient, ui_folder: Path) -> None:
    for path in ("/ui", "/ui/"):
        page = await client.get(path)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "Mill" in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' blob: data:")
    script = await client.get("/ui/static/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["x-content-type-options"] == "nosniff"
    again = await client.get("/ui/static/app.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../secret.txt",
        "/ui/%2e%2e/secret.txt",
        "/ui/..%2fsecret.txt",
        "/ui/static/../../secret.txt",
        "/ui//etc/passwd",
        "/ui/%00",
        "/ui/static",
        "/ui/link",
        "/ui/" + "a" * 5_000,
    ],
)
async def test_nothing_outside_the_folder_is_served(
    client: httpx.AsyncClient, ui_folder: Path, path: str
) -> None:
    (ui_folder / "link").symlink_to(ui_folder.parent / "secret.txt")
    async with connected(client) as (reader, writer):
        writer.write(head("GET", path, "Connection: close"))
        answer = await reader.read()
    assert b" 404 " in answer.splitlines()[0]
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


async def test_without_ui_files_there_is_still_a_page(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_ui, "UI_FOLDER", tmp_path / "nothing")
    assert "/docs" in (await client.get("/ui")).text


async def test_unknown_paths_satisfy_every_dialect(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["success"], body["error"], body["detail"]) == (False, "Not Found", "Not Found")
    assert body["timestamp"]
    page = await client.get("/nowhere", headers={"Accept": BROWSER})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    native = await client.get("/v1/nowhere")
    assert (native.status_code, native.json()["code"]) == (404, 5)


@pytest.mark.parametrize("host", ["[::", "a b", "", "\xff"])
async def test_odd_hosts_do_no_harm(client: httpx.AsyncClient, host: str) -> None:
    for path in ("/nowhere", "/api/image/1/url", "/"):
        async with connected(client) as (reader, writer):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode("latin-1"))
            status = int((await reader.readline()).split()[1])
        assert status in {200, 400, 404}


async def test_trailing_slashes_are_other_paths(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/health/")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/images/1", "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/v1/images:upload", "OPTIONS, POST"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("DELETE", "/api/analyze", "OPTIONS, POST"),
    ],
)
async def test_wrong_methods_say_which_are_right(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["error"] == "Method Not Allowed"
    options = await client.options(path)
    assert (options.status_code, options.headers["allow"]) == (200, allow)


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
    }
    return await client.options("/api/analyze", headers=headers)


async def test_by_default_pages_of_this_machine_may_call(client: httpx.AsyncClient) -> None:
    answer = await preflight(client, "http://localhost:8000")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:8000"
    assert (await preflight(client, "https://evil.test")).status_code == 400
    plain = await client.get("/api/health", headers={"Origin": "https://evil.test"})
    assert "access-control-allow-origin" not in plain.headers


async def test_a_list_is_echoed_with_credentials(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ALLOWED_ORIGINS", "https://peek.cx, https://a.test")
    client = await start()
    answer = await client.get("/api/results/77", headers={"Origin": "https://a.test"})
    assert answer.status_code == 404
    assert answer.headers["access-control-allow-origin"] == "https://a.test"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]
    for name in ("X-Polling-Interval", "X-Polling-Interval-Reason", "Content-Disposition"):
        assert name in answer.headers["access-control-expose-headers"]
    assert "Origin" in (await client.get("/api/results/77")).headers["vary"]


async def test_any_origin_goes_without_credentials(start: Start) -> None:
    client = await start(gateway_cors_origins="*")
    answer = await client.get("/health", headers={"Origin": "https://any.test"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
