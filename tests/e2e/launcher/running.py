"""A launcher as a process with fake services behind it, and what tests do to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from sightmill.launcher.state_file import LauncherState, read_state
from tests.servers.waiting import until

ROOT = Path(__file__).parents[3]
SUITE = Path(__file__).with_name("fake_suite.py")
ENVIRONMENT = dict(os.environ) | {"PYTHONPATH": str(ROOT)}


@dataclass(slots=True)
class Launcher:
    """A running fake suite."""

    process: asyncio.subprocess.Process
    data_dir: Path

    @property
    def events(self) -> list[tuple[str, str]]:
        """What the services noted, in order: (what, name)."""
        path = self.data_dir / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(words[0], words[1]) for line in lines if (words := line.split())]

    @property
    def state(self) -> LauncherState | None:
        """What the launcher says."""
        return read_state(self.data_dir / "run" / "launcher.json")

    def pid_of(self, name: str) -> int:
        """The process of a service."""
        assert self.state
        pid = next(process.pid for process in self.state.processes if process.name == name)
        assert pid
        return pid

    def pids(self) -> list[int]:
        """The processes of all services."""
        return [self.pid_of(name) for name in ("front", "middle", "back")]

    async def until_state(self, word: str) -> None:
        """Waits for the launcher's word."""
        await until(lambda: self.state is not None and self.state.state == word, f"the suite is {word}", 20)

    async def ended(self, timeout_s: float = 20) -> int:
        """Waits for the launcher to end; its status."""
        return await asyncio.wait_for(self.process.wait(), timeout_s)


Start = Callable[..., Awaitable[Launcher]]


def is_running(pid: int) -> bool:
    """True for a process that lives; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def sightmill(*arguments: str, data_dir: Path, timeout_s: float = 30) -> tuple[int, str]:
    """Runs a command as a user does; its status and all it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sightmill.cli", *arguments, "--data-dir", str(data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT | {"COLUMNS": "200"},
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    return process.returncode or 0, said.decode()


def kill(pid: int) -> None:
    """As the system does when memory is short."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
