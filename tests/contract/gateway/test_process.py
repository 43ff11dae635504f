"""The gateway as a process: start, memory, hostile connections, stop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from sightmill.v1 import ingest_pb2
from tests.contract.gateway.stand_in import World, serve
from tests.contract.gateway.wire import BOUNDARY, FORM_TYPE, connected, file_part, head
from tests.servers.waiting import until

ROOT = Path(__file__).parents[3]
MIB = 1024 * 1024


@asynccontextmanager
async def started(
    world: World, folder: Path, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient, str]]:
    """Yields the process, a client, and the address of the status page."""
    async with serve(world) as address:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SIGHTMILL_INGEST_ADDRESS": address,
            "SIGHTMILL_CATALOG_ADDRESS": address,
            "SIGHTMILL_GATEWAY_LISTEN": "127.0.0.1:0",
            "SIGHTMILL_DRAIN_DELAY_S": "0.05",
            **variables,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=env, cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
            assert line[:2] == ["READY", "gateway"]
            facts = dict(word.split("=", 1) for word in line[2:])
            async with httpx.AsyncClient(base_url=f"http://{facts['http']}", timeout=30) as client:
                yield process, client, facts["status"]
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_a_life(world: World, tmp_path: Path) -> None:
    async with started(world, tmp_path) as (process, client, status):
        await client.get("/api/results/5")

        async def ready() -> bool:
            return (await client.get(f"http://{status}/readyz")).status_code == 200

        await until(ready, "readiness")
        report = (await client.get(f"http://{status}/readyz")).json()
        assert report["dependencies"] == {"ingest": "ok", "catalog": "ok"}
        metrics = (await client.get(f"http://{status}/metrics")).text
        assert (
            'sightmill_http_handled_total{method="GET",route="/api/results/{number}",status="404"} 1.0'
            in metrics
        )
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_stop_ends_watchers_and_finishes_requests(world: World, tmp_path: Path) -> None:
    image = world.add()
    world.watched = [ingest_pb2.WatchImageResponse(image=image)]
    async with started(world, tmp_path) as (process, client, _), connected(client) as (reader, writer):
        world.hold = asyncio.Event()
        writer.write(head("GET", f"/v1/{image.name}:watch"))
        await asyncio.wait_for(reader.readuntil(b"data: "), 10)
        world.requests.clear()
        waiting = asyncio.create_task(client.get(f"/v1/{image.name}:wait"))
        await until(lambda: bool(world.requests), "the call")
        process.send_signal(signal.SIGTERM)
        await until(lambda: _refused(client), "the closed door")
        assert (await asyncio.wait_for(reader.read(), 10)).endswith(b"\r\n0\r\n\r\n")
        world.hold.set()
        assert (await waiting).status_code == 200
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def _refused(client: httpx.AsyncClient) -> bool:
    try:
        await client.get("/health")
    except httpx.ConnectError:
        return True
    return False


async def test_two_hundred_megabytes_pass_in_bounded_memory(world: World, tmp_path: Path) -> None:
    world.per_chunk_s = 0.001
    size = 200 * MIB
    block = bytes(range(256)) * 1_024
    start, end = file_part("f", "big.png", b"")[:-2], f"\r\n--{BOUNDARY}--\r\n".encode()
    async with started(world, tmp_path) as (process, client, _):
        await client.get("/health")
        gateway = psutil.Process(process.pid)
        before = peak = gateway.memory_info().rss
        async with connected(client) as (reader, writer):
            writer.write(
                head(
                    "POST",
                    "/v1/images:upload",
                    f"Content-Length: {len(start) + size + len(end)}",
                    f"Content-Type: {FORM_TYPE['Content-Type']}",
                )
                + start
            )
            for _ in range(size // len(block)):
                writer.write(block)
                await writer.drain()
                peak = max(peak, gateway.memory_info().rss)
            writer.write(end)
            assert b" 200 " in await asyncio.wait_for(reader.readline(), 60)
    (received,) = world.received
    assert received.size_bytes == size
    assert received.digest.digest() == hashlib.sha256(block * (size // len(block))).digest()
    assert max(received.chunk_sizes) <= 262_144
    assert peak - before < 24 * MIB


@pytest.mark.parametrize(
    "opening",
    [
        b"GET /health HTTP/1.1\r\n" + (b"X-A: " + b"a" * 93 + b"\r\n") * 660,
        b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 66_000,
        b"GET /" + b"a" * 66_000,
        b"\x16\x03\x01 rubbish\r\n\r\n",
    ],
)
async def test_headers_without_end_are_400(world: World, tmp_path: Path, opening: bytes) -> None:
    async with started(world, tmp_path) as (_, client, _), connected(client) as (reader, writer):
        writer.write(opening)
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)
        assert (await client.get("/health")).status_code == 200


async def test_long_headers_are_fine(world: World, tmp_path: Path) -> None:
    async with started(world, tmp_path) as (_, client, _):
        for _ in range(3):
            assert (await client.get("/health", headers={"X-A": "a" * 60_000})).status_code == 200


async def test_long_bodies_and_many_requests_on_one_connection_are_fine(world: World, tmp_path: Path) -> None:
    async with started(world, tmp_path) as (_, client, _), connected(client) as (reader, writer):
        for _ in range(3):
            writer.write(head("POST", "/nowhere", "Content-Length: 300000") + b"x" * 300_000)
            answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
            assert b" 404 " in answer.splitlines()[0]


async def test_wrong_settings_are_named(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SIGHTMILL_GATEWAY_MAX_PARTS": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=env, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert b"SIGHTMILL_GATEWAY_MAX_PARTS" in stderr


async def test_an_address_in_use_is_said(world: World, tmp_path: Path) -> None:
    async with started(world, tmp_path) as (_, client, _):
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SIGHTMILL_GATEWAY_LISTEN": f"127.0.0.1:{client.base_url.port}",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=env, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await process.communicate()
        assert process.returncode == 2
        assert b"cannot listen" in stderr
