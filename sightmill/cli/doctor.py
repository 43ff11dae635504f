"""`sightmill doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sightmill.cli.options import AsJson, DataDir, load_settings
from sightmill.launcher.checkup import Row, examine

_STYLES = {"ok": "green", "warning": "yellow", "missing": "red"}


def doctor(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Check this machine: programs, packages, models, languages, ports, disk.

    A warning costs a feature; what is missing keeps the suite from starting. Exits with 1 when something
    necessary is missing.
    """
    rows = examine(load_settings(data_dir))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print(rows)
    if any(row.verdict == "missing" for row in rows):
        raise typer.Exit(1)


def _print(rows: Sequence[Row]) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for heading in ("", "Check", "Found", "What to do"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        # Plain texts: a path or a message may hold square brackets.
        table.add_row(
            Text(row.verdict, style=_STYLES[row.verdict]), row.name, Text(row.found), Text(row.remedy)
        )
    Console().print(table)
