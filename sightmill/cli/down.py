"""`sightmill down`: stops what `sightmill up` has started."""

from __future__ import annotations

import os
import signal
import time
from typing import Annotated

import typer

from sightmill.cli.options import DataDir, load_settings
from sightmill.launcher.data_lock import is_locked
from sightmill.launcher.errors import LaunchError
from sightmill.launcher.settings import LaunchSettings
from sightmill.launcher.state_file import LauncherState, is_alive, read_state

_LOOK_S = 0.05


def down(
    now: Annotated[
        bool, typer.Option("--now", help="End calls in flight at once instead of finishing them.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, max=3600, metavar="SECONDS", help="Longest wait.")
    ] = 90.0,
    data_dir: DataDir = None,
) -> None:
    """Stop what runs on this data folder.

    In order, and waits until all is gone. Calls in flight are finished; work that is queued stays queued for
    the next start. Exits with 0 also when nothing was running.
    """
    settings = load_settings(data_dir)
    state = _running(settings)
    if state is None:
        typer.echo(f"Nothing runs on {settings.data_dir}.")
        return
    os.kill(state.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + timeout_s
    while is_alive(state):
        if now:
            _signal_again(state)
        if time.monotonic() > deadline_s:
            raise LaunchError(
                f"Launcher {state.pid} still stops. At once, with loss of calls: sightmill down --now"
            )
        time.sleep(_LOOK_S)
    typer.echo("Stopped.")


def _running(settings: LaunchSettings) -> LauncherState | None:
    """The launcher of this folder, if the lock, the number and the start time all say that it is the one."""
    if not is_locked(settings.lock_path):
        return None
    state = read_state(settings.state_path)
    if state is None or not is_alive(state):
        raise LaunchError(
            f"{settings.lock_path} is held, but not by a launcher that this version knows. Find it with:"
            f" fuser {settings.lock_path}"
        )
    return state


def _signal_again(state: LauncherState) -> None:
    try:
        os.kill(state.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
