"""`sightmill up`: the whole suite on this machine."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.detached import start_detached
from sightmill.cli.options import DataDir, load_settings, own_environment
from sightmill.cli.table import print_suite
from sightmill.launcher.launch import launch
from sightmill.launcher.settings import LaunchSettings
from sightmill.launcher.state_file import LauncherState

SAMPLES_MARK = "samples.done"


class Ports(StrEnum):
    """Where the processes listen."""

    FIXED = "fixed"
    FREE = "free"


def up(
    ports: Annotated[
        Ports, typer.Option(help="fixed: as SIGHTMILL_*_LISTEN say, 8080 for the page; free: any free ones.")
    ] = Ports.FIXED,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is healthy; stop it with: sightmill down")
    ] = False,
    samples: Annotated[
        bool,
        typer.Option("--samples", help="On the first start, feed a few sample photos and show the results."),
    ] = False,
    data_dir: DataDir = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=1,
            max=3600,
            metavar="SECONDS",
            help="Longest start; 60 by default.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start everything on this machine, until Ctrl-C.

    Starts nats-server, catalog, analyzer, captioner, ingest, a pipeline worker, the gateway and Envoy, waits
    until all are healthy, and starts again what dies. Nothing outlives it. A second Ctrl-C ends all at once.
    """
    console = Console()
    settings = load_settings(data_dir)
    if timeout_s is not None:
        settings = replace(settings, start_timeout_s=timeout_s)
    if detach:
        state = start_detached(settings, ["--ports", ports.value])
        print_suite(console, state)
        if samples:
            asyncio.run(_show_samples(settings, state, console))
        console.print("\nIt runs in the background. Look: sightmill status. Stop: sightmill down.")
        return
    if ports is Ports.FREE:
        settings = settings.with_free_ports()
    asyncio.run(_run(settings, console, samples=samples))


async def _run(settings: LaunchSettings, console: Console, *, samples: bool) -> None:
    async def on_healthy(state: LauncherState) -> None:
        print_suite(console, state)
        if samples:
            await _show_samples(settings, state, console)
        console.print("\nCtrl-C stops everything.")

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, markup=False)

    await launch(settings, on_healthy, say)


async def _show_samples(settings: LaunchSettings, state: LauncherState, console: Console) -> None:
    """In a process of its own, which gives back the memory of the client; once per data folder."""
    mark = settings.data_dir / SAMPLES_MARK
    if mark.exists():
        return
    if "rest" not in state.addresses:
        console.print("The sample photos need Envoy: without it no single address serves all of gRPC.")
        return
    console.print()
    command = (sys.executable, "-m", "sightmill.cli", "samples", "--address", state.addresses["grpc"])
    process = await asyncio.create_subprocess_exec(*command, env=own_environment())
    try:
        if await process.wait() == 0:
            mark.touch()
    finally:
        if process.returncode is None:
            process.kill()
