"""The commands that look at a running suite, and stop it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sightmill.launcher.state_file import is_alive
from tests.e2e.launcher.running import ENVIRONMENT, Start, is_running, kill, sightmill

pytestmark = pytest.mark.e2e


async def test_status_shows_what_runs(start: Start) -> None:
    launcher = await start("middle:weak")
    await launcher.until_state("healthy")
    code, said = await sightmill("status", data_dir=launcher.data_dir)
    assert code == 0, "a warning is no failure"
    assert "Sightmill is healthy" in said
    assert "warning: eyes: glasses stand in" in said
    assert "http://127.0.0.1:1" in said
    code, said = await sightmill("status", "--json", data_dir=launcher.data_dir)
    document = json.loads(said)
    assert document["running"] is True
    assert {p["name"]: p["pid"] for p in document["processes"]}["front"] == launcher.pid_of("front")


async def test_status_is_degraded_while_one_is_down(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    kill(launcher.pid_of("middle"))
    await launcher.until_state("degraded")
    await launcher.until_state("healthy")


async def test_nothing_runs(tmp_path: Path) -> None:
    code, said = await sightmill("status", data_dir=tmp_path)
    assert code == 3
    assert "Nothing runs" in said
    code, said = await sightmill("status", "--json", data_dir=tmp_path)
    assert (code, json.loads(said)) == (3, {"running": False})
    code, said = await sightmill("down", data_dir=tmp_path)
    assert code == 0
    code, said = await sightmill("logs", data_dir=tmp_path)
    assert code == 1
    assert "No logs" in said


async def test_down_stops_and_waits(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    state = launcher.state
    assert state
    pids = launcher.pids()
    code, said = await sightmill("down", data_dir=launcher.data_dir)
    assert (code, said) == (0, "Stopped.\n")
    assert not is_alive(state)
    assert not any(is_running(pid) for pid in pids)
    assert await launcher.ended() == 0


async def test_down_now_does_not_wait_for_the_stubborn(start: Start) -> None:
    launcher = await start("front:stubborn")
    await launcher.until_state("healthy")
    code, _ = await sightmill("down", "--now", data_dir=launcher.data_dir)
    assert code == 0
    assert await launcher.ended() == 130


async def test_logs_of_one_and_of_all(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    code, said = await sightmill("logs", "front", data_dir=launcher.data_dir)
    assert code == 0
    assert said.startswith("READY front ")
    code, said = await sightmill("logs", data_dir=launcher.data_dir)
    assert "middle    | READY middle" in said
    assert "launcher  | " in said
    code, said = await sightmill("logs", "../launcher", data_dir=launcher.data_dir)
    assert code == 1
    assert "There are: back, front, launcher, middle" in said


async def test_logs_follow_a_restart(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    follower = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "sightmill.cli", "logs", "middle", "-f"),
        *("--data-dir", str(launcher.data_dir)),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert follower.stdout
    try:
        async with asyncio.timeout(20):
            assert (await follower.stdout.readline()).startswith(b"READY middle"), "what is there"
            kill(launcher.pid_of("middle"))
            assert (await follower.stdout.readline()).startswith(b"READY middle"), "what comes"
    finally:
        follower.kill()
        await follower.communicate()
