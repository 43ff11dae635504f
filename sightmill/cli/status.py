"""`sightmill status`: what runs, where, and how it is."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.console import Console

from sightmill.cli.options import AsJson, DataDir, load_settings
from sightmill.cli.table import print_suite
from sightmill.launcher.state_file import is_alive, read_state

EXIT_NOT_RUNNING = 3
EXIT_DEGRADED = 4


def status(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what runs, where, and how it is.

    Exits with 0 when all is healthy (warnings do not count), 3 when nothing runs, 4 when something runs but
    not all is well.
    """
    settings = load_settings(data_dir)
    state = read_state(settings.state_path)
    runs = state is not None and is_alive(state)
    if as_json:
        shown = asdict(state) if state is not None and (runs or state.error) else {}
        typer.echo(json.dumps({"running": runs, **shown}, indent=1))
    elif state is not None and runs:
        print_suite(Console(), state)
    else:
        typer.echo(f"Nothing runs on {settings.data_dir}. Start it: sightmill up")
        if state is not None and state.error:
            typer.echo(f"The last start failed:\n{state.error}")
    if state is None or not runs:
        raise typer.Exit(EXIT_NOT_RUNNING)
    if state.state != "healthy":
        raise typer.Exit(EXIT_DEGRADED)
