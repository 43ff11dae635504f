"""Envoy itself judges what is rendered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.contract.edge.envoy_process import envoy_binary, render

EVERYTHING = [
    *("--listen", "0.0.0.0:8080", "--ingest", "ingest.sightmill.svc:50051", "--catalog", "[::1]:50054"),
    *("--cors-origin", "https://photos.example", "--cors-origin", "https://other.example"),
    *("--access-log", "--trusted-hops", "1", "--max-json-mib", "8", "--max-heap-mib", "256"),
]


@pytest.mark.parametrize(
    "arguments", [[], EVERYTHING, ["--cors-origin", "*"]], ids=["defaults", "all", "any-origin"]
)
async def test_envoy_accepts_the_configuration(tmp_path: Path, arguments: list[str]) -> None:
    config = await render(tmp_path, *arguments)
    command = [envoy_binary(), "--mode", "validate", "--log-level", "error", "-c", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, said.decode()
    assert "deprecated" not in said.decode().lower()
