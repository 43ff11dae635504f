"""What the catalog knows, through the edge, as a user asks for it: photos in, everything else by REST."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightmill.client import Client
from sightmill.v1 import catalog_pb2
from tests.servers.suite import Suite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
DEADLINE_S = 60


async def uploaded(suite: Suite, *photos: Path | bytes) -> list[catalog_pb2.Image]:
    """The images, analysed."""
    async with Client(suite.address) as client:
        stored = [(await client.upload_image(photo)) for photo in photos]
        return [await client.wait(image, timeout_s=DEADLINE_S) for image in stored]


async def get(web: httpx.AsyncClient, path: str, **parameters: object) -> dict[str, Any]:
    answer = await web.get(path, params={key: str(value) for key, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await ask()
            if holds(answer):
                return answer
            await asyncio.sleep(0.05)


def names_of(answer: dict[str, Any]) -> list[str]:
    return [image["name"] for image in answer.get("images", [])]


async def test_what_was_seen_is_found_corrected_counted_and_exported(
    suite: Suite, photo_paths: dict[str, Path]
) -> None:
    coffee, flower = await uploaded(suite, photo_paths["coffee.png"], photo_paths["flower.jpg"])
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        wide = await get(
            web, "/v1/images", filter=f"width >= {coffee.width} AND format = PNG", page_size=1_000
        )
        assert coffee.name in names_of(wide)
        assert flower.name not in names_of(wide)
        refused = await web.get("/v1/images", params={"filter": "wdith > 3"})
        assert refused.status_code == 400
        assert refused.json()["details"][0]["reason"] == "INVALID_FILTER"

        correction = {
            "corrections": {"title": "Früh\u00adstück in Rom", "added_tags": ["Espresso"]},
            "labels": {"album": "Rome 2026"},
        }
        changed = await web.patch(
            f"/v1/{coffee.name}", params={"update_mask": "corrections,labels"}, json=correction
        )
        assert changed.status_code == 200, changed.text
        found = await get(web, "/v1/images:search", text="espresso rom*")
        assert [hit["image"]["name"] for hit in found["hits"]][:1] == [coffee.name]
        album = await get(web, "/v1/images", filter='labels.album = "Rome 2026" AND tag = espresso')
        assert names_of(album) == [coffee.name]
        facets = await get(web, "/v1/images:facets", field="label")
        assert {"value": "album=Rome 2026", "count": "1"} in facets["counts"]

        exported = await web.get(
            "/v1/images:export",
            params={"format": "EXPORT_FORMAT_CSV", "filter": "tag = espresso", "columns": ["name", "title"]},
        )
        assert exported.status_code == 200
        assert exported.headers["content-type"].startswith("text/csv")
        rows = list(csv.reader(io.StringIO(exported.content.decode("utf-8-sig"))))
        assert [row[0] for row in rows[1:]] == [coffee.name]
        workbook = await web.get("/v1/images:export", params={"format": "EXPORT_FORMAT_XLSX"})
        assert zipfile.ZipFile(io.BytesIO(workbook.content)).testzip() is None


async def test_copies_are_found_and_one_is_named_to_keep(suite: Suite, photo_paths: dict[str, Path]) -> None:
    photo = photo_paths["rocket.jpg"]
    first, second = await uploaded(suite, photo, photo)
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        similar = await get(web, f"/v1/{first.name}:similar", max_distance=4)
        assert second.name in [each["image"]["name"] for each in similar["images"]]
        groups = await get(web, "/v1/images:duplicates", max_distance=0, page_size=1_000)
        group = next(each for each in groups["groups"] if first.name in names_of(each))
        assert second.name in names_of(group)
        assert group["suggested_keeper"] in names_of(group)

        async def near() -> dict[str, Any]:
            return await get(web, "/v1/images:duplicates", max_distance=10, page_size=1_000)

        compared = await until(near, lambda answer: answer["compared_count"] == answer["comparable_count"])
        assert any(first.name in names_of(each) for each in compared["groups"])


async def test_an_image_is_analysed_again_on_request(suite: Suite, photo_paths: dict[str, Path]) -> None:
    (image,) = await uploaded(suite, photo_paths["astronaut.png"])
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        stale = await get(
            web,
            "/v1/images:stale",
            analyzer="insights",
            version="0.0.0",
            settings_digest="0",
            page_size=1_000,
        )
        assert image.name in names_of(stale)
        request = json.dumps({"names": [f"images/{image.number}"], "force": True})
        queued = await web.post("/v1/images:reanalyze", content=request)
        assert (queued.status_code, queued.json()["queued_count"]) == (200, "1")

        async def read() -> dict[str, Any]:
            return await get(web, f"/v1/{image.name}")

        again = await until(read, lambda answer: int(answer["image"]["etag"]) > int(image.etag))
        assert again["image"]["state"] == "PROCESSED"
        assert again["image"]["insights"]["faces"]["faces"]


async def test_deleted_images_come_back_or_go(suite: Suite, photo_paths: dict[str, Path]) -> None:
    (image,) = await uploaded(suite, photo_paths["chelsea.png"])
    async with httpx.AsyncClient(base_url=suite.url, timeout=DEADLINE_S) as web:
        assert (await web.delete(f"/v1/{image.name}")).status_code == 200
        assert (await web.get(f"/v1/{image.name}")).status_code == 404
        hidden = await get(web, "/v1/images", show_deleted="true", page_size=1_000)
        assert image.name in names_of(hidden)
        restored = await web.post(f"/v1/{image.name}:undelete", json={})
        assert restored.status_code == 200, restored.text
        assert (await web.get(f"/v1/{image.name}")).status_code == 200
        assert (await web.delete(f"/v1/{image.name}", params={"force": "true"})).status_code == 200
        assert (await web.post(f"/v1/{image.name}:undelete", json={})).status_code == 404
        assert (await get(web, "/v1/people")) == {"people": [], "next_page_token": ""}
