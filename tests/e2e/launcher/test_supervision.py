"""Real processes, started, killed, started again and stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.launcher.running import Start, is_running, kill, sightmill
from tests.servers.waiting import until

pytestmark = pytest.mark.e2e


async def test_all_start_and_stop_in_order(start: Start) -> None:
    launcher = await start("front:slow", "middle:slow")
    await launcher.until_state("healthy")
    pids = launcher.pids()
    launcher.process.terminate()
    assert await launcher.ended() == 0
    ends = [event for event in launcher.events if event[0] != "start"]
    assert ends == [(what, name) for name in ("front", "middle", "back") for what in ("stop", "end")]
    assert not any(is_running(pid) for pid in pids)
    assert launcher.state is None, "nothing claims to run"


async def test_ctrl_c_is_for_the_launcher_alone(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    groups = {os.getpgid(pid) for pid in launcher.pids()}
    assert groups == set(launcher.pids()), "a group each: a terminal's signal does not reach them"
    launcher.process.send_signal(signal.SIGINT)
    assert await launcher.ended() == 0
    assert ("interrupted", "front") not in launcher.events


async def test_a_killed_service_is_started_again(start: Start) -> None:
    launcher = await start()
    await launcher.until_state("healthy")
    others = {launcher.pid_of("front"), launcher.pid_of("back")}
    first = launcher.pid_of("middle")
    kill(first)
    await until(lambda: launcher.events.count(("start", "middle")) == 2, "it starts again")
    await launcher.until_state("healthy")
    assert launcher.pid_of("middle") != first
    assert {launcher.pid_of("front"), launcher.pid_of("back")} == others, "the others were left alone"
    assert launcher.state
    assert {p.name: p.restarts for p in launcher.state.processes} == {"back": 0, "front": 0, "middle": 1}
    assert "middle: ended by SIGKILL" in (launcher.data_dir / "logs" / "launcher.log").read_text()


async def test_what_a_dead_service_had_started_goes_with_it(start: Start) -> None:
    launcher = await start("middle:parent")
    await launcher.until_state("healthy")
    [grandchild] = [int(what[11:]) for what, _ in launcher.events if what.startswith("grandchild=")]
    assert is_running(grandchild)
    kill(launcher.pid_of("middle"))
    await until(lambda: not is_running(grandchild), "it is gone, too")


async def test_a_killed_launcher_leaves_nothing_behind(start: Start) -> None:
    launcher = await start("back:stubborn")
    await launcher.until_state("healthy")
    pids = launcher.pids()
    assert all(is_running(pid) for pid in pids)
    launcher.process.kill()
    await until(lambda: not any(is_running(pid) for pid in pids), "its children are gone")
    assert (await sightmill("status", data_dir=launcher.data_dir))[0] == 3
    again = await start(data_dir=launcher.data_dir)
    await again.until_state("healthy")


async def test_a_second_launcher_on_the_folder_is_refused(start: Start) -> None:
    first = await start()
    await first.until_state("healthy")
    pids = first.pids()
    second = await start(data_dir=first.data_dir)
    _, said = await second.process.communicate()
    assert second.process.returncode == 1
    assert f"in use by another Sightmill (launcher {first.process.pid}" in said.decode()
    assert "sightmill down" in said.decode()
    assert first.pids() == pids


async def test_one_that_ends_again_and_again_fails_the_start(start: Start) -> None:
    launcher = await start("middle:dies")
    _, said = await asyncio.wait_for(launcher.process.communicate(), 20)
    assert launcher.process.returncode == 1
    assert "middle ended 5 times" in said.decode()
    assert "middle cannot go on" in said.decode(), "its last lines"
    assert launcher.events.count(("start", "middle")) == 5
    assert {("stop", "front"), ("stop", "back")} <= set(launcher.events), "the others were stopped"
    assert launcher.state
    assert launcher.state.state == "failed"
    code, told = await sightmill("status", data_dir=launcher.data_dir)
    assert code == 3
    assert "middle ended 5 times" in told


async def test_wrong_settings_fail_the_start_at_once(start: Start) -> None:
    launcher = await start("middle:usage")
    _, said = await asyncio.wait_for(launcher.process.communicate(), 20)
    assert "middle cannot start" in said.decode()
    assert launcher.events.count(("start", "middle")) == 1


async def test_one_that_never_gets_ready_fails_the_start(start: Start) -> None:
    launcher = await start("middle:sick")
    _, said = await asyncio.wait_for(launcher.process.communicate(), 30)
    assert launcher.process.returncode == 1
    assert "Not ready within 6 s" in said.decode()
    assert "middle: not ready (503)" in said.decode()
    assert "front" not in said.decode()


async def test_one_that_does_not_stop_is_killed_in_its_time(start: Start) -> None:
    launcher = await start("middle:stubborn")
    await launcher.until_state("healthy")
    pids = launcher.pids()
    launcher.process.terminate()
    assert await launcher.ended(5) == 0, "after its second, not after ours"
    assert [name for what, name in launcher.events if what == "stop"] == ["front", "middle", "back"]
    assert not any(is_running(pid) for pid in pids)


async def test_a_second_signal_ends_all_at_once(start: Start) -> None:
    launcher = await start("front:stubborn")
    await launcher.until_state("healthy")
    pids = launcher.pids()
    launcher.process.terminate()
    await launcher.until_state("stopping")
    launcher.process.terminate()
    assert await launcher.ended(0.9) == 130, "sooner than the stubborn one's own second"
    assert not any(is_running(pid) for pid in pids)
    assert ("stop", "back") not in launcher.events


async def test_a_signal_during_the_start_stops_what_has_started(start: Start, tmp_path: Path) -> None:
    launcher = await start("back:sick")
    await until(lambda: ("start", "middle") in launcher.events, "it has begun")
    launcher.process.terminate()
    assert await launcher.ended() == 0
    assert not [process for process in psutil.process_iter() if str(tmp_path) in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
