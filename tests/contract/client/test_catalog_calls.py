"""Calls of the client to the catalog: pages that are empty, streams that stall."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightmill.client import Client
from sightmill.errors import SightmillError
from sightmill.v1 import catalog_pb2
from tests.contract.client.scripted_server import ScriptedServer


async def test_lists_go_on_through_empty_pages(client: Client, server: ScriptedServer) -> None:
    hit = catalog_pb2.SearchHit(image=catalog_pb2.Image(number=7), score=5)
    answer = catalog_pb2.SearchImagesResponse
    following = {"": "first", "first": "second"}
    server.catalog.searches = {token: answer(next_page_token=after) for token, after in following.items()}
    server.catalog.searches["second"] = answer(hits=[hit])
    assert [found async for found in client.search_images("boat")] == [hit]


async def test_an_export_that_breaks_off_leaves_no_file(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.catalog.export_pieces = [b"a" * 1_000, None]
    path = tmp_path / "photos.csv"
    with pytest.raises(SightmillError):
        await client.export_file(path, catalog_pb2.EXPORT_FORMAT_CSV)
    assert list(tmp_path.iterdir()) == []


async def test_an_export_that_stalls_ends_by_the_timeout(server: ScriptedServer, tmp_path: Path) -> None:
    server.catalog.export_pieces = [b"a", b"", b"wait"]
    async with Client(server.address, timeout_s=0.3) as client:
        with pytest.raises(SightmillError, match=r"sent nothing for 0\.3 s"):
            await client.export_file(tmp_path / "photos.csv", catalog_pb2.EXPORT_FORMAT_CSV)
    assert list(tmp_path.iterdir()) == []


async def test_an_export_is_written_whole_and_its_progress_told(
    client: Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.catalog.export_pieces = [b"one,", b"two"]
    told: list[int] = []
    path = tmp_path / "photos.csv"
    assert (
        await client.export_file(
            path, catalog_pb2.EXPORT_FORMAT_CSV, columns=["name"], on_progress=told.append
        )
        == 7
    )
    assert (path.read_bytes(), told) == (b"one,two", [4, 7])
