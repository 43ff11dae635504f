"""The whole suite as real processes on free ports, for end-to-end tests and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from sightmill.launcher.state_file import LauncherState, ProcessState, read_state

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 120
PROCESSES = ("nats", "catalog", "analyzer", "captioner", "ingest", "worker", "gateway", "envoy")


@dataclass(frozen=True, slots=True)
class Suite:
    """A running suite. Its state is read anew each time: processes come and go."""

    data_dir: Path

    @property
    def state(self) -> LauncherState:
        """What the launcher says."""
        state = read_state(self.data_dir / "run" / "launcher.json")
        if state is None:
            raise AssertionError(f"no launcher state in {self.data_dir}")
        return state

    @property
    def address(self) -> str:
        """Envoy's ``host:port``: gRPC, REST and the page."""
        return self.process("envoy").address

    @property
    def url(self) -> str:
        """The same as URL."""
        return f"http://{self.address}"

    def process(self, name: str) -> ProcessState:
        """One process."""
        return next(process for process in self.state.processes if process.name == name)

    def pid(self, name: str) -> int:
        """Its id right now."""
        pid = self.process(name).pid
        if pid is None:
            raise AssertionError(f"{name} does not run")
        return pid

    def rss_mb(self) -> dict[str, float]:
        """Resident memory of every process, in MB."""
        return {name: psutil.Process(self.pid(name)).memory_info().rss / 1e6 for name in PROCESSES}

    def logs(self) -> str:
        """The last lines of every log, for a failing test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-4_000:]}"
            for path in sorted((self.data_dir / "logs").glob("*.log"))
        )


@contextmanager
def running_suite(data_dir: Path, environment: Mapping[str, str] | None = None) -> Iterator[Suite]:
    """Starts the suite as a user does, and stops it again."""
    _sightmill(
        data_dir, ["up", "--detach", "--ports", "free", "--timeout", str(START_TIMEOUT_S)], environment
    )
    try:
        yield Suite(data_dir)
    finally:
        _sightmill(data_dir, ["down"], environment)


def _sightmill(data_dir: Path, arguments: list[str], environment: Mapping[str, str] | None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sightmill.cli", *arguments, "--data-dir", str(data_dir)],
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S + 30,
        check=False,
    )
    if done.returncode:
        raise AssertionError(
            f"sightmill {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
