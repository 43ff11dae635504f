"""`sightmill backup`: the catalog in one file, while the suite runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightmill.cli.options import DataDir
from sightmill.cli.upkeep import run_upkeep


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; must not exist.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Write the catalog as it is now to a file, while the suite runs or not.

    The file is checked before it gets its name. It holds everything but the bytes of the images: these are in
    DATA_DIR/blobs (copy that folder AFTER the backup) or in your bucket. A catalog on MongoDB is copied with
    "sightmill migrate" or MongoDB's own tools.

    \b
    Example:  sightmill backup /var/backups/sightmill-2026-11-21.sqlite3
    """
    run_upkeep(data_dir, ["backup", str(file)])
