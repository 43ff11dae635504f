"""The peek dialect, row by row."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.runtime.errors import InvalidArgumentError, Reason, ServiceError, UnavailableError
from sightmill.v1 import analyzer_pb2, common_pb2
from tests.contract.gateway.conftest import Start
from tests.contract.gateway.stand_in import Image, World
from tests.contract.gateway.wire import FORM_TYPE, field_part, file_part, form, post_form

MIB = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"
ORIGINAL = analyzer_pb2.RENDITION_KIND_ORIGINAL
ANNOTATED = analyzer_pb2.RENDITION_KIND_ANNOTATED
UNFIT = {"error": "Invalid file type or size"}
NO_FILE = {"error": "No image file provided"}
LONG = "public, max-age=31536000"


async def analyze(client: httpx.AsyncClient, file_name: str, content: bytes) -> httpx.Response:
    return await post_form(client, "/api/analyze", file_part("image", file_name, content))


async def test_analyze(client: httpx.AsyncClient, world: World) -> None:
    answer = await analyze(client, "meer.PNG", PNG + b"...")
    assert answer.status_code == 202
    assert answer.json() == {
        "id": 1,
        "status": "processing",
        "public_url": f"{client.base_url}/api/image/1/original",
    }
    assert world.received[0].header.options.skip_caption


async def test_links_follow_host_and_setting(start: Start) -> None:
    client = await start()
    answer = await post_form(
        client,
        "/api/analyze",
        file_part("image", "a.png", PNG),
        headers={"Host": "photos.test", "X-Forwarded-Proto": "https"},
    )
    assert answer.json()["public_url"] == "https://photos.test/api/image/1/original"
    client = await start(gateway_public_url="https://pics.example/base/")
    answer = await analyze(client, "a.png", PNG)
    assert answer.json()["public_url"] == "https://pics.example/base/api/image/2/original"


@pytest.mark.parametrize(
    ("content", "headers", "error"),
    [
        (form(), FORM_TYPE, NO_FILE),
        (form(file_part("file", "a.png", PNG)), FORM_TYPE, NO_FILE),
        (form(field_part("image", "text")), FORM_TYPE, NO_FILE),
        (b"", {}, NO_FILE),
        (b"{}", {"Content-Type": "application/json"}, NO_FILE),
        (b"rubbish", FORM_TYPE, NO_FILE),
        (form(file_part("image", "a.png", PNG))[:-9], FORM_TYPE, NO_FILE),
        (form(file_part("image", "", PNG)), FORM_TYPE, {"error": "No selected file"}),
        (form(file_part("image", "a.tiff", b"II*\x00")), FORM_TYPE, UNFIT),
        (form(file_part("image", "png", PNG)), FORM_TYPE, UNFIT),
        (form(file_part("image", "a.png", b"II*\x00 a tiff")), FORM_TYPE, UNFIT),
    ],
)
async def test_bad_requests(
    client: httpx.AsyncClient, world: World, content: bytes, headers: dict[str, str], error: dict[str, str]
) -> None:
    answer = await client.post("/api/analyze", content=content, headers=headers)
    assert (answer.status_code, answer.json()) == (400, error)
    assert not world.images


@pytest.mark.parametrize(
    "start_of_file",
    [PNG, b"\xff\xd8\xff\xe0", b"GIF87a", b"GIF89a", b"BM1234", b"RIFF\x00\n\x00\x00WEBPVP8 "],
)
async def test_the_real_format_counts(client: httpx.AsyncClient, start_of_file: bytes) -> None:
    assert (await analyze(client, "a.gif", start_of_file + b"x" * 300_000)).status_code == 202


async def test_sixteen_mebibytes_are_the_most_and_more_is_400(
    client: httpx.AsyncClient, world: World
) -> None:
    rest = 16 * MIB - len(PNG)
    assert (await analyze(client, "a.png", PNG + b"x" * rest)).status_code == 202
    answer = await analyze(client, "a.png", PNG + b"x" * (rest + 1))
    assert (answer.status_code, answer.json()) == (400, UNFIT)
    assert len(world.images) == 1


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "x"), 400, UNFIT),
        (InvalidArgumentError(Reason.IMAGE_TOO_LARGE, "x"), 400, UNFIT),
        (InvalidArgumentError(Reason.IMAGE_EMPTY, "x"), 400, UNFIT),
        (
            UnavailableError(Reason.QUEUE_UNAVAILABLE, "No queue.", retry_after_s=3),
            503,
            {"error": "No queue."},
        ),
        (ServiceError(Reason.DATA_DAMAGED, "/secret"), 500, {"error": "Internal server error"}),
    ],
)
async def test_what_ingest_says(
    client: httpx.AsyncClient, world: World, error: ServiceError, status: int, body: dict[str, str]
) -> None:
    world.refused["a.png"] = error
    answer = await analyze(client, "a.png", PNG)
    assert (answer.status_code, answer.json()) == (status, body)
    assert answer.headers.get("retry-after") == ("3" if status == 503 else None)


@pytest.mark.parametrize("file_name", ["..jpg", "a\x00b.png", "x" * 300 + ".png"])
async def test_strange_names_are_cleaned(client: httpx.AsyncClient, world: World, file_name: str) -> None:
    assert (await analyze(client, file_name, PNG)).status_code == 202
    assert len(world.received[0].header.display_name) <= 255


def insights() -> analyzer_pb2.Insights:
    found = analyzer_pb2.Insights(
        luminance=analyzer_pb2.Luminance(
            brightness=128,
            contrast=45.123,
            sharpness=67.234,
            quality_score=58.391,
            blur_level=analyzer_pb2.BLUR_LEVEL_MEDIUM,
        ),
        scene=analyzer_pb2.Scene(type=analyzer_pb2.SCENE_TYPE_OUTDOOR, confidence=0.851),
        text=analyzer_pb2.TextInsight(text="Sample text\nfrom image", word_count=4),
    )
    found.dominant_colors.add(color=common_pb2.Color(hex="#ff0000"))
    found.dominant_colors.add(color=common_pb2.Color(hex="#00ff00"))
    found.faces.faces.add(box=common_pb2.BoundingBox(x=100, y=150, width=80, height=81))
    return found


async def test_completed(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(insights=insights())
    image.process_time.FromMilliseconds(0)
    answer = await client.get("/api/results/1")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": 1,
        "status": "completed",
        "insights": {
            "id": 1,
            "image_id": 1,
            "created_at": "1970-01-01T00:00:00+00:00",
            "dominant_colors": ["#ff0000", "#00ff00"],
            "brightness": 128,
            "faces_detected": 1,
            "face_locations": [{"x": 100, "y": 150, "width": 80, "height": 81}],
            "text_found": True,
            "extracted_text": "Sample text\nfrom image",
            "word_count": 4,
            "sharpness_score": 67.23,
            "blur_level": "medium",
            "contrast_score": 45.12,
            "quality_score": 58.39,
            "scene_type": "outdoor",
            "scene_confidence": 0.85,
        },
    }


async def test_nothing_found_keeps_every_key_and_type(client: httpx.AsyncClient, world: World) -> None:
    world.add(insights=analyzer_pb2.Insights(width=1))
    found = (await client.get("/api/results/1")).json()["insights"]
    assert (found["faces_detected"], found["face_locations"]) == (0, [])
    assert (found["text_found"], found["extracted_text"], found["word_count"]) == (False, "", 0)
    assert (found["blur_level"], found["scene_type"]) == ("high", "indoor")


@pytest.mark.parametrize("state", [Image.PENDING, Image.PROCESSING])
async def test_processing_is_202(
    client: httpx.AsyncClient, world: World, state: Image.State.ValueType
) -> None:
    world.add(state)
    answer = await client.get("/api/results/1")
    assert (answer.status_code, answer.json()) == (202, {"id": 1, "status": "processing"})


@pytest.mark.parametrize("state", [Image.FAILED, Image.PROCESSED, Image.STORED])
async def test_failed_is_200_with_a_general_text(
    client: httpx.AsyncClient, world: World, state: Image.State.ValueType
) -> None:
    world.add(state).error.message = "in /secret/path"
    answer = await client.get("/api/results/1")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert (body["id"], body["status"], list(body)) == (1, "failed", ["id", "status", "error"])
    assert "secret" not in body["error"]


async def test_leading_zeros_do_not_count(client: httpx.AsyncClient, world: World) -> None:
    world.add(Image.PENDING)
    assert (await client.get("/api/results/0001")).status_code == 202


@pytest.mark.parametrize("number", ["0", "00", "2", "9223372036854775808", "9" * 5_000])
@pytest.mark.parametrize("path", ["/api/results/{}", "/api/image/{}/original", "/api/image/{}/annotated"])
async def test_unknown_ids_are_404(client: httpx.AsyncClient, world: World, path: str, number: str) -> None:
    world.add()
    answer = await client.get(path.format(number))
    assert (answer.status_code, answer.json()) == (404, {"error": "Image not found"})


@pytest.mark.parametrize("number", ["abc", "-1", "1.0", "1/", "%D9%A1", "1%2F"])
async def test_what_is_no_id_is_404(client: httpx.AsyncClient, world: World, number: str) -> None:
    world.add()
    answer = await client.get(f"/api/results/{number}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


async def test_original(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(sha256="f00d", size_bytes=6)
    world.bytes_of[image.name, ORIGINAL] = ("image/webp", [b"abc", b"def"])
    answer = await client.get("/api/image/1/original")
    assert (answer.content, answer.headers["content-type"]) == (b"abcdef", "image/webp")
    assert answer.headers["cache-control"] == LONG
    assert answer.headers["content-disposition"].startswith("inline")
    head = await client.head("/api/image/1/original")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "6")


async def test_other_formats_have_no_type_in_this_dialect(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(size_bytes=3)
    world.bytes_of[image.name, ORIGINAL] = ("image/tiff", [b"abc"])
    answer = await client.get("/api/image/1/original")
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_annotated_is_kept_only_when_it_is_final(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(Image.PROCESSING, size_bytes=4)
    world.bytes_of[image.name, ORIGINAL] = ("image/png", [b"orig"])
    world.bytes_of[image.name, ANNOTATED] = ("image/jpeg", [b"boxes"])
    before = await client.get("/api/image/1/annotated")
    assert (before.content, before.headers["cache-control"]) == (b"orig", "no-store")
    image.state = Image.PROCESSED
    after = await client.get("/api/image/1/annotated")
    assert (after.content, after.headers["cache-control"]) == (b"boxes", LONG)
    assert after.headers["content-type"] == "image/jpeg"
    assert before.headers["etag"] != after.headers["etag"]


@pytest.mark.parametrize(
    ("query", "expires_in"),
    [("", 86_400), ("?expiration=60", 60), ("?expiration=604800", 604_800), ("?expiration=soon", 86_400)],
)
async def test_url(client: httpx.AsyncClient, world: World, query: str, expires_in: int) -> None:
    world.add()
    answer = await client.get(f"/api/image/1/url{query}")
    assert answer.status_code == 200
    assert answer.json() == {
        "image_id": 1,
        "url": f"{client.base_url}/api/image/1/original",
        "expires_in": expires_in,
    }


@pytest.mark.parametrize("expiration", ["59", "604801", "-1", "0"])
async def test_a_bad_expiration_is_found_before_an_unknown_id(
    client: httpx.AsyncClient, expiration: str
) -> None:
    answer = await client.get(f"/api/image/77/url?expiration={expiration}")
    assert answer.status_code == 400
    assert answer.json() == {"error": "Expiration must be between 60 and 604800 seconds"}
    assert (await client.get("/api/image/77/url")).json() == {"error": "Image not found"}


async def test_without_services_all_is_503_never_404(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1", catalog_address="127.0.0.1:1")
    paths = ["/api/results/1", "/api/image/1/original", "/api/image/1/annotated", "/api/image/1/url"]
    answers = [await client.get(path) for path in paths] + [await analyze(client, "a.png", PNG)]
    assert [answer.status_code for answer in answers] == [503] * 5
    assert all(answer.headers["retry-after"] and list(answer.json()) == ["error"] for answer in answers)
