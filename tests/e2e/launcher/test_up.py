"""`sightmill up` with everything real: nats-server, all services, the gateway, Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightmill.launcher.state_file import LauncherState, read_state
from tests.e2e.launcher.running import is_running, kill, sightmill
from tests.servers.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ALL = {"nats", "catalog", "analyzer", "captioner", "ingest", "worker", "gateway", "envoy"}


@contextlib.asynccontextmanager
async def suite(data_dir: Path) -> AsyncIterator[LauncherState]:
    """A suite in the background, on free ports."""
    code, said = await sightmill("up", "--detach", "--ports", "free", data_dir=data_dir, timeout_s=120)
    try:
        assert code == 0, said
        state = read_state(data_dir / "run" / "launcher.json")
        assert state, said
        yield state
    finally:
        code, said = await sightmill("down", data_dir=data_dir, timeout_s=120)
        assert code == 0, said


async def look(data_dir: Path) -> dict[str, Any]:
    """What a program sees of the suite."""
    _, said = await sightmill("status", "--json", data_dir=data_dir)
    document: dict[str, Any] = json.loads(said)
    return document


def files_with(secret: str, data_dir: Path) -> list[Path]:
    """Logs and state files that hold a text."""
    told = [*data_dir.glob("logs/*"), data_dir / "run" / "launcher.json"]
    return [path for path in told if secret in path.read_text(errors="replace")]


async def test_the_whole_suite_comes_up_heals_and_goes(tmp_path: Path) -> None:
    async with suite(tmp_path) as state:
        assert {process.name for process in state.processes} == ALL
        pids = {process.name: process.pid for process in state.processes}
        assert all(pid and is_running(pid) for pid in pids.values())
        async with httpx.AsyncClient(timeout=20) as web:
            listed = await web.get(f"{state.addresses['rest']}/images")
            assert (listed.status_code, listed.json()["images"]) == (200, [])
            detectors = await web.get(f"{state.addresses['rest']}/analyzer")
            assert detectors.json()["detectors"], "through Envoy to another service"
            assert (await web.get(state.addresses["page"])).status_code == 200
            assert (await web.get(f"{state.addresses['rest']}/nothing")).json()["code"] == 5

        code, said = await sightmill("up", "--ports", "free", data_dir=tmp_path)
        assert code == 1
        assert f"launcher {state.pid}" in said

        catalog = pids["catalog"]
        assert catalog
        kill(catalog)
        async with asyncio.timeout(60):
            while (seen := await look(tmp_path))["state"] != "healthy" or not any(
                process["restarts"] for process in seen["processes"]
            ):
                assert seen["running"]
        token = (tmp_path / "run" / "nats.conf").read_text().partition('token: "')[2].partition('"')[0]
        assert len(token) > 20
        assert not files_with(token, tmp_path)
    assert not [name for name, pid in pids.items() if pid and is_running(pid)]


async def test_a_killed_launcher_takes_the_whole_suite_along(tmp_path: Path) -> None:
    async with suite(tmp_path) as state:
        pids = {process.name: process.pid or 0 for process in state.processes}
        kill(state.pid)
        await until(lambda: not [name for name, pid in pids.items() if is_running(pid)], "all are gone", 20)
    async with suite(tmp_path) as again:
        assert again.state == "healthy", "on the same folder, after the hardest end"
