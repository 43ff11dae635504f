"""The real process, started as an operator starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from services.runtime.channels import open_channel
from sightmill.v1 import catalog_pb2_grpc

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
_ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class CatalogProcess:
    process: asyncio.subprocess.Process
    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    channel: grpc.aio.Channel

    async def kill(self) -> None:
        """As a power cut for the process."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """As an operator stops it; the exit status."""
        self.process.terminate()
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await self.process.wait()


async def start_process(data_dir: Path, **settings: str) -> asyncio.subprocess.Process:
    """``settings`` by their names without the prefix."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SIGHTMILL_")}
    environment |= {
        "SIGHTMILL_DATA_DIR": str(data_dir),
        "SIGHTMILL_CATALOG_LISTEN": "127.0.0.1:0",
        "SIGHTMILL_LOG_LEVEL": "error",
        **{f"SIGHTMILL_{name.upper()}": value for name, value in settings.items()},
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.catalog",
        cwd=_ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running_catalog(data_dir: Path, **settings: str) -> AsyncIterator[CatalogProcess]:
    """A process that is ready; killed at the end if it still runs."""
    process = await start_process(data_dir, **settings)
    try:
        assert process.stdout
        async with asyncio.timeout(START_TIMEOUT_S):
            ready = (await process.stdout.readline()).decode()
        assert ready.startswith("READY catalog grpc="), ready
        address = ready.split()[2].removeprefix("grpc=")
        async with open_channel(address, 72 * 1024 * 1024) as channel:
            stub: Any = catalog_pb2_grpc.CatalogServiceStub(channel)
            yield CatalogProcess(process, stub, channel)
    finally:
        if process.returncode is None:
            process.kill()
        # Reads both pipes to their end, so that nothing is left open.
        await process.communicate()
