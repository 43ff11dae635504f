"""The native interface without an edge: JSON as the edge prints it, events, bytes."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from google.protobuf import duration_pb2

from services.runtime.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from sightmill.v1 import analyzer_pb2, catalog_pb2, ingest_pb2
from tests.contract.gateway.conftest import Start
from tests.contract.gateway.stand_in import Image, World
from tests.contract.gateway.wire import connected, head
from tests.servers.waiting import until

ORIGINAL = analyzer_pb2.RENDITION_KIND_ORIGINAL
ANNOTATED = analyzer_pb2.RENDITION_KIND_ANNOTATED


async def test_an_image_is_json_to_the_letter(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(size_bytes=2**40, labels={"a": "b"}, sha256="ab")
    answer = await client.get(f"/v1/{image.name}")
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()["image"]
    assert found["name"] == image.name
    assert found["size_bytes"] == "1099511627776"
    assert found["number"] == "1"
    assert found["state"] == "PROCESSED"
    assert found["format"] == "IMAGE_FORMAT_UNSPECIFIED"
    assert found["width"] == 0
    assert found["labels"] == {"a": "b"}
    assert "insights" not in found


async def test_queries_reach_into_messages(client: httpx.AsyncClient, world: World) -> None:
    world.add()
    answer = await client.get(
        "/v1/images?page_size=7&view=IMAGE_VIEW_FULL&query.states=FAILED&query.states=PENDING"
        "&query.has_text=true&query.width.min=100&query.createTime.startTime=2026-01-02T03:04:05Z"
    )
    assert answer.status_code == 200
    assert answer.json()["total_size"] == "1"
    request = world.requests[-1]
    assert (request.page_size, request.view) == (7, catalog_pb2.IMAGE_VIEW_FULL)
    assert list(request.query.states) == [Image.FAILED, Image.PENDING]
    assert request.query.has_text
    assert request.query.width.min == 100
    assert request.query.create_time.start_time.seconds == 1_767_323_045


@pytest.mark.parametrize(
    "target",
    [
        "/v1/images?pagesize=7",
        "/v1/images?page_size=many",
        "/v1/images?query=1",
        "/v1/images?query.labels.a=b",
        "/v1/images?show_deleted=1",
        "/v1/images?query.states=NOPE",
        "/v1/images/1?name=images/2",
        "/v1/images/1:wait?timeout=soon",
        "/v1/images/1:download?rendition=sketch",
        "/v1/stats?x=1",
    ],
)
async def test_what_does_not_fit_is_400(client: httpx.AsyncClient, target: str) -> None:
    answer = await client.get(target)
    assert answer.status_code == 400
    assert answer.json()["code"] == 3
    assert answer.json()["details"][0]["reason"] == "INVALID_FIELD"


async def test_errors_say_code_reason_and_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/images/9", headers={"X-Request-Id": "my-id"})
    assert answer.status_code == 404
    assert answer.headers["x-request-id"] == "my-id"
    assert answer.json()["code"] == 5
    assert answer.json()["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IMAGE_NOT_FOUND",
        "domain": "sightmill.dev",
        "metadata": {"name": "images/9", "request_id": "my-id"},
    }


async def test_the_request_id_travels_on(client: httpx.AsyncClient, world: World) -> None:
    await client.get("/v1/stats", headers={"X-Request-Id": "my-id"})
    assert world.metadata[-1]["x-request-id"] == "my-id"
    answer = await client.get("/v1/stats", headers={"X-Request-Id": "bad id"})
    assert answer.headers["x-request-id"] != "bad id"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (UnavailableError(Reason.STORE_UNAVAILABLE, "The store is away.", retry_after_s=0.2), 503, "1"),
        (ResourceExhaustedError(Reason.OVERLOADED, "Full.", retry_after_s=4), 429, "4"),
        (InvalidArgumentError(Reason.INVALID_FILTER, "No."), 400, None),
    ],
)
async def test_statuses_follow_the_reason(
    client: httpx.AsyncClient, world: World, error: UnavailableError, status: int, retry_after: str | None
) -> None:
    world.failures["ListImages"] = error
    answer = await client.get("/v1/images")
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert answer.json()["message"] == error.message


async def test_texts_of_our_own_faults_are_withheld(client: httpx.AsyncClient, world: World) -> None:
    world.failures["GetStats"] = InternalError(Reason.DETECTOR_FAILED, "stack of /secret/path")
    answer = await client.get("/v1/stats")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["message"]


async def test_delete_and_stats(client: httpx.AsyncClient, world: World) -> None:
    image = world.add()
    assert (await client.delete(f"/v1/{image.name}?force=true")).json() == {}
    assert world.requests[-1].force
    assert not world.images
    stats = (await client.get("/v1/stats")).json()
    assert (stats["image_count"], stats["states"][0]) == ("7", {"value": "PENDING", "count": "2"})


async def test_wait_passes_the_timeout_on(client: httpx.AsyncClient, world: World) -> None:
    image = world.add()
    answer = await client.get(f"/v1/{image.name}:wait?timeout=20s")
    assert answer.json()["image"]["name"] == image.name
    assert world.requests[-1].timeout == duration_pb2.Duration(seconds=20)


@pytest.mark.parametrize("verb", ["wait", "watch"])
async def test_a_caller_that_goes_away_cancels_the_call(
    client: httpx.AsyncClient, world: World, verb: str
) -> None:
    image = world.add(Image.PROCESSING)
    world.watched = [ingest_pb2.WatchImageResponse(image=image)]
    world.hold = asyncio.Event()
    async with connected(client) as (reader, writer):
        writer.write(head("GET", f"/v1/{image.name}:{verb}"))
        if verb == "watch":
            await asyncio.wait_for(reader.readuntil(b"data: "), 10)
        else:
            await until(lambda: bool(world.requests), "the call")
    await asyncio.wait_for(world.cancelled.wait(), 10)


async def test_watch_is_events_until_the_final_state(client: httpx.AsyncClient, world: World) -> None:
    image = world.add()
    processing, done = Image(name=image.name, state=Image.PROCESSING), image
    world.watched = [
        ingest_pb2.WatchImageResponse(image=processing),
        ingest_pb2.WatchImageResponse(image=done, final=True),
    ]
    answer = await client.get(f"/v1/{image.name}:watch", headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    first, second, rest = answer.text.split("\n\n")
    assert json.loads(first.removeprefix("data: "))["image"]["state"] == "PROCESSING"
    assert json.loads(second.removeprefix("data: "))["final"] is True
    assert rest == ""
    lines = (await client.get(f"/v1/{image.name}:watch", headers={"Accept": "application/x-ndjson"})).text
    assert [json.loads(line)["final"] for line in lines.splitlines()] == [False, True]


async def test_watch_of_nothing_is_404_and_a_late_fault_is_an_event(
    client: httpx.AsyncClient, world: World
) -> None:
    assert (await client.get("/v1/images/77:watch")).status_code == 404
    image = world.add()
    world.watched = [ingest_pb2.WatchImageResponse(image=image)]
    world.failures["WatchImage late"] = UnavailableError(Reason.DRAINING, "Going.")
    text = (await client.get(f"/v1/{image.name}:watch")).text
    assert "event: error\ndata: " in text
    assert json.loads(text.rpartition("data: ")[2])["message"] == "Going."


async def test_bytes_come_with_what_browsers_need(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    world.bytes_of[image.name, ORIGINAL] = ("image/png", [b"abc", b"def"])
    answer = await client.get(f"/v1/{image.name}:download")
    assert answer.content == b"abcdef"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == "6"
    assert answer.headers["etag"] == '"f00d"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith('inline; filename="0198c0de-')


async def test_bytes_that_the_caller_has_are_not_sent_again(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    headers = {"If-None-Match": 'W/"other", "f00d"'}
    answer = await client.get(f"/v1/{image.name}:download", headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert not any(isinstance(request, ingest_pb2.DownloadImageRequest) for request in world.requests)


async def test_head_has_the_headers_and_no_bytes(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    world.bytes_of[image.name, ORIGINAL] = ("image/png", [b"abc", b"def"])
    answer = await client.head(f"/v1/{image.name}:download")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["content-length"], answer.headers["content-type"]) == ("6", "image/png")


async def test_renditions_have_tags_of_their_own(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    image.process_time.FromMilliseconds(1_234)
    world.bytes_of[image.name, ANNOTATED] = ("image/jpeg", [b"jpeg"])
    answer = await client.get(f"/v1/{image.name}:download?rendition=annotated")
    assert (answer.content, answer.headers["etag"]) == (b"jpeg", '"f00d-annotated-1234"')
    assert answer.headers["cache-control"] == "private, no-cache"
    same = await client.get(f"/v1/{image.name}:download?rendition=RENDITION_KIND_ANNOTATED")
    assert same.content == b"jpeg"


@pytest.mark.parametrize("rendition", ["original", "annotated"])
async def test_bytes_that_break_off_are_not_a_whole_answer(
    client: httpx.AsyncClient, world: World, rendition: str
) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    kind = ANNOTATED if rendition == "annotated" else ORIGINAL
    world.bytes_of[image.name, kind] = ("image/png", [b"abc"])
    world.failures["DownloadImage late"] = UnavailableError(Reason.BLOBS_UNAVAILABLE, "Gone.")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"/v1/{image.name}:download?rendition={rendition}")


async def test_a_reader_that_goes_away_stops_the_transfer(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=2**32)
    world.bytes_of[image.name, ORIGINAL] = ("image/png", [b"x" * 262_144] * 4_000)
    async with connected(client) as (reader, writer):
        writer.write(head("GET", f"/v1/{image.name}:download"))
        await reader.readexactly(1_000)
    await asyncio.wait_for(world.cancelled.wait(), 10)


async def test_overload_is_refused_at_once(start: Start, world: World) -> None:
    client = await start(max_calls=1)
    image = world.add(Image.PROCESSING)
    world.hold = asyncio.Event()
    waiting = asyncio.create_task(client.get(f"/v1/{image.name}:wait"))
    await until(lambda: bool(world.requests), "the call")
    for path, key in (
        ("/v1/stats", "message"),
        ("/api/results/1", "error"),
        (f"/status/{'0' * 8}", "detail"),
    ):
        answer = await client.get(path)
        assert answer.status_code == (429 if key == "message" else 503)
        assert answer.headers["retry-after"] == "1"
        assert "in flight" in answer.json()[key]
    world.hold.set()
    assert (await waiting).status_code == 200


async def test_answers_wait_for_no_acknowledgement(client: httpx.AsyncClient) -> None:
    async def seconds() -> float:
        started = asyncio.get_running_loop().time()
        await client.get("/nowhere")
        return asyncio.get_running_loop().time() - started

    # Without TCP_NODELAY none of them is below the 40 ms of a delayed acknowledgement.
    assert min([await seconds() for _ in range(20)]) < 0.03


async def test_services_that_are_away_are_503(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1", catalog_address="127.0.0.1:1")
    for path in ("/v1/images", "/v1/images/1", "/v1/images/1:wait", "/v1/images/1:watch"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
