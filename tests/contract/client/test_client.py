"""The client's calls against a real server: retries, deadlines, pages, errors, files."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import grpc
import pytest

from sightmill.client import Client
from sightmill.errors import SightmillError
from sightmill.v1 import catalog_pb2
from tests.contract.client.scripted_server import UNAVAILABLE, Image, ScriptedServer, build_status


def states(*values: catalog_pb2.Image.State.ValueType) -> list[Image]:
    return [Image(name="images/1", state=value) for value in values]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_an_error_says_code_reason_facts_and_when_to_come_back(
    client: Client, server: ScriptedServer
) -> None:
    server.catalog.failures.append(
        build_status(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", "Ten a second.", 1.5, limit="10", found="12"
        )
    )
    with pytest.raises(SightmillError, match="Ten a second") as raised:
        await client.get_image("images/9")
    error = raised.value
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert (error.metadata, error.retry_after_s) == ({"limit": "10", "found": "12"}, 1.5)
    assert server.catalog.calls == 1


async def test_images_are_named_by_name_number_or_message(client: Client) -> None:
    assert (await client.get_image("images/a")).name == "images/a"
    assert (await client.get_image(7)).name == "images/7"
    assert (await client.get_image(Image(name="images/b"))).name == "images/b"


async def test_headers_go_with_every_call(server: ScriptedServer) -> None:
    async with Client(server.address, headers={"X-Api-Key": "k"}) as client:
        assert (await client.stats()).image_count == 3
    assert server.catalog.metadata["x-api-key"] == "k"


async def test_a_safe_call_is_repeated_while_the_server_is_away(
    client: Client, server: ScriptedServer
) -> None:
    server.catalog.failures.extend([UNAVAILABLE, UNAVAILABLE])
    assert (await client.get_image("images/a")).width == 4
    assert server.catalog.calls == 3


async def test_repeating_ends_with_the_deadline(server: ScriptedServer) -> None:
    server.catalog.failures.extend([UNAVAILABLE] * 99)
    async with Client(server.address, timeout_s=0.5) as client:
        with pytest.raises(SightmillError) as raised:
            await client.get_image("images/a")
    assert raised.value.reason == "DRAINING"
    assert 1 < server.catalog.calls < 20


async def test_a_deletion_is_repeated_only_when_that_is_safe(client: Client, server: ScriptedServer) -> None:
    server.catalog.failures.append(UNAVAILABLE)
    with pytest.raises(SightmillError):
        await client.delete_image("images/a")
    assert server.catalog.calls == 1
    server.catalog.failures.append(UNAVAILABLE)
    await client.delete_image("images/a", force=True, allow_missing=True)
    assert server.catalog.calls == 3
    assert [(one.name, one.force) for one in server.catalog.deleted] == [("images/a", True)]


async def test_a_list_goes_on_over_all_pages_with_the_same_query(
    client: Client, server: ScriptedServer
) -> None:
    def page(following: str, *names: str) -> catalog_pb2.ListImagesResponse:
        images = [Image(name=name) for name in names]
        return catalog_pb2.ListImagesResponse(images=images, next_page_token=following)

    server.catalog.pages = {
        "": page("b", "images/1", "images/2"),
        "b": page("c"),
        "c": page("", "images/3"),
    }
    found = [image.name async for image in client.list_images(filter="width > 3", page_size=2)]
    assert found == ["images/1", "images/2", "images/3"]
    assert {(one.filter, one.page_size) for one in server.catalog.requests} == {("width > 3", 2)}


async def test_waiting_ends_with_a_final_state(client: Client, server: ScriptedServer) -> None:
    server.ingest.failures.append(UNAVAILABLE)
    server.ingest.waits.extend(states(Image.PENDING, Image.PROCESSING, Image.FAILED))
    assert (await client.wait(1)).state == Image.FAILED
    assert server.ingest.calls == 4


async def test_waiting_ends_with_the_deadline(client: Client, server: ScriptedServer) -> None:
    server.ingest.waits.extend(states(*[Image.PENDING] * 99))
    with pytest.raises(SightmillError, match="images/1 is not done after") as raised:
        await client.wait(1, timeout_s=0.3)
    assert raised.value.reason == "DEADLINE"


async def test_watching_goes_on_after_a_break_and_repeats_nothing(
    client: Client, server: ScriptedServer
) -> None:
    server.ingest.watches = deque(
        [
            states(Image.PENDING, Image.PROCESSING),
            states(Image.PROCESSING),
            states(Image.PROCESSING, Image.PROCESSED),
        ]
    )
    seen = [image.state async for image in client.watch("images/1")]
    assert seen == [Image.PENDING, Image.PROCESSING, Image.PROCESSED]
    assert server.ingest.calls == 3


async def test_a_download_that_breaks_begins_again(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.ingest.downloads = deque([[b"ab"], [b"ab", b"cd"]])
    assert await client.download(1) == b"abcd"
    server.ingest.downloads = deque([[b"ab"], [b"ab", b"cd", b"ef"]])
    path = tmp_path / "photo.png"
    path.write_bytes(b"what was there before")
    assert await client.download_file(1, path) == 6
    assert path.read_bytes() == b"abcdef"
    assert names_in(tmp_path) == ["photo.png"]


async def test_a_download_that_fails_leaves_no_file(server: ScriptedServer, tmp_path: Path) -> None:
    server.ingest.downloads = deque([[b"ab"]] * 99)
    async with Client(server.address, timeout_s=0.5) as client:
        with pytest.raises(SightmillError):
            await client.download_file(1, tmp_path / "photo.png")
    assert names_in(tmp_path) == []
