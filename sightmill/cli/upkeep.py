"""Starts the catalog's own upkeep: it alone knows its files, and this package imports no service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from sightmill.cli.options import load_settings, own_environment

_EXIT_FAILED = 1


def run_upkeep(data_dir: Path | None, arguments: Sequence[str]) -> None:
    """Runs ``python -m services.catalog.upkeep`` with the settings of the suite; exits as it exits."""
    settings = load_settings(data_dir)
    # What stands in .env is meant for the catalog, too.
    environment = dict(settings.environment) | own_environment()
    environment["SIGHTMILL_DATA_DIR"] = str(settings.data_dir)
    command = [sys.executable, "-m", "services.catalog.upkeep", *arguments]
    try:
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603  our own module
    except KeyboardInterrupt:
        code = _EXIT_FAILED
    if code:
        raise typer.Exit(code)
