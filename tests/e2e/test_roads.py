"""The same photo on every road into the suite: the same answer everywhere."""

from __future__ import annotations

import asyncio
import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf import json_format
from PIL import Image

from sightmill.client import Client
from sightmill.v1 import analyzer_pb2, catalog_pb2
from tests.servers.suite import ROOT, Suite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
DEADLINE_S = 30
BUF_CURL = (Path(sys.executable).with_name("buf"), "curl", "--http2-prior-knowledge", "--protocol", "grpc")


def measured(insights: dict[str, Any]) -> dict[str, Any]:
    """Insights without what differs between two looks at the same bytes: how long they took."""
    kept = {key: value for key, value in insights.items() if key != "elapsed"}
    kept["detectors"] = [
        {key: value for key, value in report.items() if key != "elapsed"} for report in insights["detectors"]
    ]
    return kept


async def by_stream(suite: Suite, photo: Path) -> dict[str, Any]:
    async with Client(suite.address) as client:
        stored = await client.upload_image(photo)
        image = await client.wait(stored, timeout_s=DEADLINE_S)
    return json_format.MessageToDict(
        image, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def by_multipart(suite: Suite, photo: Path) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        answer = await web.post("/v1/images:upload", files={"photo": (photo.name, photo.read_bytes())})
        assert answer.status_code == 200, answer.text
        return await _waited(web, answer.json()["results"][0]["image"]["name"])


async def by_json(suite: Suite, photo: Path) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        body = {
            "header": {"display_name": photo.name},
            "content": base64.b64encode(photo.read_bytes()).decode(),
        }
        answer = await web.post("/v1/images", json=body)
        assert answer.status_code == 200, answer.text
        return await _waited(web, answer.json()["image"]["name"])


async def _waited(web: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await web.get(f"/v1/{name}:wait", params={"timeout": f"{DEADLINE_S}s"})
    assert answer.status_code == 200, answer.text
    image: dict[str, Any] = answer.json()["image"]
    return image


async def test_every_road_leads_to_the_same_insights(suite: Suite, photo_paths: dict[str, Path]) -> None:
    photo = photo_paths["astronaut.png"]
    images = [await road(suite, photo) for road in (by_stream, by_multipart, by_json)]
    assert {image["state"] for image in images} == {"PROCESSED"}
    assert len({image["name"] for image in images}) == 3
    assert len({image["sha256"] for image in images}) == 1
    first, *others = [measured(image["insights"]) for image in images]
    assert others == [first, first]
    elapsed = {image["insights"]["elapsed"] for image in images}
    assert len(elapsed) == 1, "the same bytes are looked at once; the other images share the result"
    assert len(first["faces"]["faces"]) == 1
    assert images[0]["caption"]["degraded"] is True, "no model is configured, and the caption says so"
    assert {image["caption"]["text"] for image in images} == {images[0]["caption"]["text"]}


async def test_the_peek_dialect_tells_the_same(suite: Suite, photo_paths: dict[str, Path]) -> None:
    photo = photo_paths["astronaut.png"]
    image = await by_stream(suite, photo)
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        accepted = await web.post("/api/analyze", files={"image": (photo.name, photo.read_bytes())})
        assert accepted.status_code == 202
        number = accepted.json()["id"]
        assert isinstance(number, int)
        result = await _polled(web, f"/api/results/{number}", "completed")
        insights, told = result["insights"], image["insights"]
        assert insights["dominant_colors"] == [each["color"]["hex"] for each in told["dominant_colors"]]
        assert insights["brightness"] == told["luminance"]["brightness"]
        assert insights["sharpness_score"] == told["luminance"]["sharpness"]
        assert insights["quality_score"] == told["luminance"]["quality_score"]
        assert insights["faces_detected"] == len(told["faces"]["faces"]) == 1
        box = insights["face_locations"][0]

        original = await web.get(f"/api/image/{number}/original")
        assert original.content == photo.read_bytes()
        annotated = await web.get(f"/api/image/{number}/annotated")
        assert annotated.headers["content-type"] == "image/png"
        pixels = np.asarray(Image.open(io.BytesIO(annotated.content)).convert("RGB"))
        assert tuple(pixels[box["y"], box["x"] + 5]) == (0, 255, 0)
        assert pixels.shape == (512, 512, 3)


async def test_the_jobs_dialect_describes(suite: Suite, photo_paths: dict[str, Path]) -> None:
    photo = photo_paths["china.jpg"]
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        submitted = await web.post("/submit", files={"file": (photo.name, photo.read_bytes())})
        assert (submitted.status_code, submitted.json()["status"]) == (200, "queued")
        job = submitted.json()["job_id"]
        await _polled(web, f"/status/{job}", "done")
        result = (await web.get(f"/result/{job}")).json()
    lines = result["description"].splitlines()
    assert lines[:4] == [
        "Image Description:",
        "- Dimensions: 640x427 pixels",
        "- Format: JPEG",
        "- Color Mode: RGB",
    ]
    assert result["description"].strip().splitlines()[-1] == '_generated_by: "vision-node-gpt"'


async def _polled(web: httpx.AsyncClient, path: str, wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            body: dict[str, Any] = (await web.get(path)).json()
            if body["status"] == wanted:
                return body
            await asyncio.sleep(0.02)


async def test_a_corrupt_file_among_good_ones(suite: Suite, photo_paths: dict[str, Path]) -> None:
    good = [photo_paths["coffee.png"], photo_paths["flower.jpg"]]
    async with Client(suite.address) as client:
        photos: list[Path | bytes] = [good[0], b"\xff\xd8\xff\xe0 no picture at all", good[1]]
        results = [result async for result in client.upload(photos)]
        refused = [result.error for result in results if result.error]
        images = [await client.wait(result.unwrap()) for result in results if not result.error]
    assert [error.reason for error in refused] == ["IMAGE_UNDECODABLE"]
    assert {image.state for image in images} == {catalog_pb2.Image.PROCESSED}
    assert {image.display_name for image in images} == {"coffee.png", "flower.jpg"}


async def test_rest_lists_pages_and_refuses_with_reasons(suite: Suite, photo_paths: dict[str, Path]) -> None:
    await by_stream(suite, photo_paths["rocket.jpg"])
    await by_stream(suite, photo_paths["rocket.jpg"])
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        first = (await web.get("/v1/images", params={"page_size": 1})).json()
        query = {"page_size": 1, "page_token": first["next_page_token"]}
        second = (await web.get("/v1/images", params=query)).json()
        assert first["images"][0]["name"] > second["images"][0]["name"], "newest first"

        missing = await web.get("/v1/images/00000000-0000-7000-8000-000000000000")
        assert missing.status_code == 404
        assert missing.json()["details"][0]["reason"] == "IMAGE_NOT_FOUND"
        later = await web.get("/v1/batches")
        assert later.status_code == 501
        assert later.json()["details"][0]["reason"] == "NOT_SERVED_YET"
        assert (await web.get("/v1/nothing-here")).status_code == 404
        unknown = await web.get("/v1/images", params={"page_sice": 1})
        assert unknown.status_code == 400


async def test_one_port_lists_and_calls_all_services(suite: Suite) -> None:
    def buf(*arguments: str) -> str:
        done = subprocess.run(
            [*BUF_CURL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = buf("--list-services", suite.url)
    for name in ("Ingest", "Batch", "Analyzer", "Captioner", "Catalog", "People"):
        assert f"sightmill.v1.{name}Service" in listed
    assert "sightmill.v1.PeopleService/ListPeople" in buf("--list-methods", suite.url)
    assert '"centerface"' in buf(f"{suite.url}/sightmill.v1.AnalyzerService/GetAnalyzerInfo")
    assert '"local"' in buf(f"{suite.url}/sightmill.v1.CaptionerService/ListProviders")
    assert "sqlite" in buf(f"{suite.url}/sightmill.v1.CatalogService/GetStats")


async def test_bytes_come_back_in_every_rendition(suite: Suite, photo_paths: dict[str, Path]) -> None:
    photo = photo_paths["chelsea.png"]
    async with Client(suite.address) as client:
        image = await client.wait(await client.upload_image(photo))
        assert await client.download(image) == photo.read_bytes()
        thumbnail = await client.download(image, analyzer_pb2.RENDITION_KIND_THUMBNAIL)
        annotated = await client.download(image, analyzer_pb2.RENDITION_KIND_ANNOTATED)
    assert max(Image.open(io.BytesIO(thumbnail)).size) == 300
    if not image.insights.faces.faces:
        assert annotated == photo.read_bytes(), "no face, so the original"


async def test_a_request_id_goes_all_the_way(suite: Suite, photo_paths: dict[str, Path]) -> None:
    request_id = "story-4711"
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        files = {"photo": ("a.png", photo_paths["coffee.png"].read_bytes())}
        options = {"text_language": "eng+deu"}
        body = {
            "header": {"options": {"analyze": options}},
            "content": base64.b64encode(files["photo"][1]).decode(),
        }
        answer = await web.post("/v1/images", json=body, headers={"x-request-id": request_id})
        await _waited(web, answer.json()["image"]["name"])
    for name in ("ingest", "catalog"):
        log = (suite.data_dir / "logs" / f"{name}.log").read_text()
        assert request_id in log, f"the log of {name} knows the request"
