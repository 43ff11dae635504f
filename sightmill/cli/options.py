"""Options and settings that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from sightmill.launcher.dotenv import read_dotenv
from sightmill.launcher.settings import LaunchSettings, read_settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        help="Where this machine keeps everything; else SIGHTMILL_DATA_DIR, else .sightmill here.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


def load_settings(data_dir: Path | None) -> LaunchSettings:
    """The settings of this call: ``.env`` in the working directory first, the environment wins."""
    return read_settings(read_dotenv(Path(".env")) | dict(os.environ), data_dir)


def own_environment() -> dict[str, str]:
    """The environment for another ``python -m sightmill.cli``: found wherever this one was found."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths)}
