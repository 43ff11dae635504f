"""Starting the launcher in the background, and waiting for what it says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sightmill.cli.options import own_environment
from sightmill.launcher.errors import StartFailedError
from sightmill.launcher.launch import check
from sightmill.launcher.settings import LaunchSettings
from sightmill.launcher.state_file import LauncherState, read_state

_LOOK_S = 0.05
# The launcher gives up by itself and then stops what has started; we wait longer than that takes.
_GRACE_S = 60.0


def start_detached(settings: LaunchSettings, arguments: Sequence[str]) -> LauncherState:
    """Starts ``sightmill up`` in a session of its own; returns when all is healthy.

    Raises:
        LaunchError: it did not come up; with the reason that the launcher gave.
    """
    check(settings, with_ports="free" not in arguments)
    errors = settings.run_dir / "launcher.err"
    timeout = ["--timeout", f"{settings.start_timeout_s:g}"]
    command = [sys.executable, "-m", "sightmill.cli", "up", *timeout, *arguments]
    with errors.open("wb") as sink:
        process = subprocess.Popen(  # noqa: S603  our own command
            [*command, "--data-dir", str(settings.data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sink,
            start_new_session=True,
            env=own_environment(),
        )
    try:
        return _wait(process, settings, errors)
    except KeyboardInterrupt:
        process.terminate()
        raise


def _wait(process: subprocess.Popen[bytes], settings: LaunchSettings, errors: Path) -> LauncherState:
    deadline_s = time.monotonic() + settings.start_timeout_s + _GRACE_S
    while time.monotonic() < deadline_s:
        state = read_state(settings.state_path)
        if state is not None and state.pid == process.pid and state.state in {"healthy", "degraded"}:
            return state
        if process.poll() is not None:
            said = errors.read_text(encoding="utf-8", errors="replace").strip()
            raise StartFailedError(
                said or f"The launcher ended before all was healthy; see {settings.log_dir}"
            )
        time.sleep(_LOOK_S)
    process.kill()
    raise StartFailedError(f"The launcher said nothing in time; see {settings.log_dir}")
