"""Streams through the edge: nothing waits for its end, nothing is kept whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.contract.edge.envoy_process import Edge
from tests.contract.edge.upstreams import Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024


async def test_a_watch_arrives_as_events_one_by_one(web: httpx.AsyncClient, behind: Upstreams) -> None:
    behind.seen.release.clear()
    async with asyncio.timeout(20):
        headers = {"accept": "text/event-stream"}
        async with web.stream("GET", "/v1/images/abc:watch", headers=headers) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = (line async for line in answer.aiter_lines() if line)
            first = await anext(lines)
            assert first.startswith("data: ")
            assert json.loads(first.removeprefix("data: "))["image"]["number"] == "1"
            behind.seen.release.set()  # only now may the server go on, so the first did not wait for it
            last = await anext(lines)
            assert json.loads(last.removeprefix("data: "))["final"] is True


@pytest.mark.parametrize(("accept", "is_array"), [("*/*", False), ("application/json", True)])
async def test_a_stream_is_lines_or_an_array(
    web: httpx.AsyncClient, behind: Upstreams, accept: str, is_array: bool
) -> None:
    behind.seen.release.set()
    answer = await web.get("/v1/images/abc:watch", headers={"accept": accept})
    messages = answer.json() if is_array else [json.loads(line) for line in answer.text.splitlines()]
    assert [message["final"] for message in messages] == [False, True]


async def test_a_download_keeps_its_type_and_its_bytes(web: httpx.AsyncClient, front: Edge) -> None:
    received = bytearray()
    async with web.stream("GET", "/v1/images/abc:download") as answer:
        assert answer.headers["content-type"] == "image/png"
        async for chunk in answer.aiter_raw():
            received += chunk
    assert bytes(received) == b"".join(bytes([number]) * 256 * 1024 for number in range(40))


async def test_a_large_upload_streams_through(web: httpx.AsyncClient, front: Edge, behind: Upstreams) -> None:
    size_mib = 100
    before_mib = front.resident_mib()
    peak_mib = before_mib

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal peak_mib
        for _ in range(size_mib):
            yield b"x" * MIB
            peak_mib = max(peak_mib, front.resident_mib())

    answer = await web.post("/v1/images:upload", content=chunks())
    assert answer.json() == {"bytes": size_mib * MIB}
    assert behind.seen.upload_bytes == size_mib * MIB
    assert peak_mib - before_mib < 25, "Envoy keeps a window, not the upload"
