"""REST as a browser or curl sees it."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.contract.edge.upstreams import LARGE_BYTES, Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


async def test_get_becomes_a_call_of_the_service_that_owns_the_path(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/images/abc")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    image = answer.json()["image"]
    assert (image["name"], image["number"], image["size_bytes"]) == ("images/abc", "7", "0")


async def test_query_parameters_become_fields(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/images", params={"page_size": 3})
    assert answer.json() == {"images": [], "next_page_token": "after 3", "total_size": "0"}


async def test_post_carries_a_whole_image_as_base64(web: httpx.AsyncClient) -> None:
    content = bytes(range(250)) * (LARGE_BYTES // 250)
    body = {"header": {"display_name": "a.png"}, "content": base64.b64encode(content).decode()}
    answer = await web.post("/v1/images", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["image"]["size_bytes"] == str(len(content))
    assert answer.json()["image"]["display_name"] == "a.png"


async def test_an_answer_may_be_large(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/images/large")
    assert answer.status_code == 200
    assert len(answer.json()["image"]["display_name"]) == LARGE_BYTES


async def test_an_error_is_a_status_with_its_reason_and_facts(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/images/none", headers={"x-request-id": "order-66"})
    assert answer.status_code == 404
    status = answer.json()
    assert (status["code"], status["message"]) == (5, "There is no images/none.")
    info = status["details"][0]
    assert (info["@type"], info["reason"], info["domain"]) == (ERROR_INFO, "IMAGE_NOT_FOUND", "sightmill.dev")
    assert info["metadata"] == {"name": "images/none", "request_id": "order-66"}


async def test_an_unknown_query_parameter_is_refused_by_name(web: httpx.AsyncClient) -> None:
    answer = await web.get("/v1/images", params={"pagesize": 3})
    assert answer.status_code == 400
    assert answer.json()["code"] == 3
    assert "pagesize" in answer.json()["message"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/nothing"), ("PUT", "/v1/images"), ("GET", "/v1/")])
async def test_what_rest_does_not_know_is_a_json_404(web: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await web.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    status = answer.json()
    assert status["code"] == 5
    assert status["message"].startswith("Nothing is served under this path")
    assert status["details"][0]["@type"] == ERROR_INFO


async def test_a_service_that_is_down_is_a_json_503_that_says_when_to_come_back(
    web: httpx.AsyncClient,
) -> None:
    answer = await web.get("/v1/analyzer", headers={"x-request-id": "down-1"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    status = answer.json()
    assert status["code"] == 14
    assert status["details"][0]["reason"] == "SERVICE_UNAVAILABLE"
    assert status["details"][0]["metadata"]["request_id"] == "down-1"


async def test_a_caller_without_a_deadline_is_given_one(web: httpx.AsyncClient, behind: Upstreams) -> None:
    await web.get("/v1/images/abc")
    assert behind.seen.remaining_s is not None
    assert 20 < behind.seen.remaining_s <= 30
    await web.get("/v1/images/abc:wait")
    assert behind.seen.remaining_s is not None
    assert 60 < behind.seen.remaining_s <= 75


async def test_a_request_id_travels_in_and_comes_back_unchanged(
    web: httpx.AsyncClient, behind: Upstreams
) -> None:
    answer = await web.get("/v1/images/abc", headers={"x-request-id": "my:own.id-1"})
    assert behind.seen.metadata["x-request-id"] == "my:own.id-1"
    assert answer.headers["x-request-id"] == "my:own.id-1"
    answer = await web.get("/v1/images/abc")
    assert len(answer.headers["x-request-id"]) >= 32
    assert behind.seen.metadata["x-request-id"] == answer.headers["x-request-id"]


async def test_pages_of_this_machine_may_call_and_others_may_not(web: httpx.AsyncClient) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for path in ("/v1/images", "/sightmill.v1.CatalogService/GetImage"):
        answer = await web.options(path, headers={"origin": "http://localhost:5173", **asks})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert "POST" in answer.headers["access-control-allow-methods"]
        answer = await web.options(path, headers={"origin": "https://example.com", **asks})
        assert "access-control-allow-origin" not in answer.headers
    answer = await web.get("/v1/images/none", headers={"origin": "http://127.0.0.1:3000"})
    assert answer.headers["access-control-allow-origin"] == "http://127.0.0.1:3000"


async def test_a_path_has_one_spelling(web: httpx.AsyncClient) -> None:
    assert (await web.get("/v1//images/abc")).json()["image"]["name"] == "images/abc"
    refused = await web.get("/v1/images%2Fabc")
    assert refused.status_code == 400
    assert json.loads(refused.text)["code"] == 3


async def test_everything_else_is_the_gateways(web: httpx.AsyncClient, behind: Upstreams) -> None:
    for path in ("/", "/api/upload", "/v1x", "/health"):
        answer = await web.get(path, headers={"x-request-id": "page-1", "x_forged": "yes"})
        assert answer.json() == {"path": path, "server": "gateway"}
    assert behind.seen.headers["x-request-id"] == "page-1"
    assert "x_forged" not in behind.seen.headers
    missing = await web.get("/api/missing")
    assert missing.status_code == 404
    assert missing.json() == {"path": "/api/missing", "server": "gateway"}, "the gateway's own body"
    preflight = await web.options("/api/upload", headers={"origin": "https://example.com"})
    assert preflight.json()["server"] == "gateway"
