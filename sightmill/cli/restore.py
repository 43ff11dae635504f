"""`sightmill restore`: a backup in the place of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightmill.cli.options import DataDir
from sightmill.cli.upkeep import run_upkeep


def restore(
    file: Annotated[Path, typer.Argument(help='A file that "sightmill backup" wrote.', show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Put a backup in the place of the catalog. The suite must be stopped.

    The backup is checked first; a damaged one, or one of a later version, changes nothing. The catalog of
    before is kept beside the new one under a name with the time.

    \b
    Example:  sightmill down && sightmill restore /var/backups/sightmill-2026-11-21.sqlite3
    """
    run_upkeep(data_dir, ["restore", str(file)])
