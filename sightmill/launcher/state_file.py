"""What the launcher tells other commands: who runs, where, and how it is."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

SuiteWord = Literal["starting", "healthy", "degraded", "stopping", "failed"]
ProcessWord = Literal["waiting", "starting", "ready", "degraded", "stopping", "stopped"]
_VERSION = 1


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One process. ``problems`` keep it from being ready; ``fallbacks`` stand in for something better."""

    name: str
    address: str
    state: ProcessWord
    log: str
    pid: int | None = None
    since: str = ""
    restarts: int = 0
    status_page: str = ""
    problems: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LauncherState:
    """The whole suite. ``start_token`` tells this launcher from a later process with the same number."""

    pid: int
    start_token: str
    started: str
    state: SuiteWord
    data_dir: str
    addresses: dict[str, str] = field(default_factory=dict)
    processes: tuple[ProcessState, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""


def write_state(path: Path, state: LauncherState) -> None:
    """Replaces the file as a whole: a reader sees the old or the new one."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"version": _VERSION, **asdict(state)}, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def read_state(path: Path) -> LauncherState | None:
    """The state, or None where there is none that this version understands."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.pop("version", None) != _VERSION:
            return None
        processes = tuple(
            ProcessState(
                **{**item, "problems": tuple(item["problems"]), "fallbacks": tuple(item["fallbacks"])}
            )
            for item in raw.pop("processes")
        )
        return LauncherState(**{**raw, "processes": processes, "notes": tuple(raw["notes"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def start_token(pid: int) -> str:
    """When a process started, in the system's own words; empty when there is no such process."""
    try:
        # The name in parentheses may hold anything; the start time is the 20th field after it.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    said = subprocess.run(  # noqa: S603  fixed program, a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return said.stdout.strip()


def is_alive(state: LauncherState) -> bool:
    """True while the launcher that wrote the state runs."""
    return bool(state.start_token) and start_token(state.pid) == state.start_token


def own_identity() -> tuple[int, str]:
    """Number and start token of this process."""
    return os.getpid(), start_token(os.getpid())
