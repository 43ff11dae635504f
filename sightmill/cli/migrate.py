"""`sightmill migrate`: the catalog in the other store, with the proof that both say the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from sightmill.cli.options import DataDir
from sightmill.cli.upkeep import run_upkeep

_MONGODB = "mongodb"
_URL_VARIABLE = "SIGHTMILL_CATALOG_MONGODB_URL"


def migrate(
    to: Annotated[
        str, typer.Option("--to", metavar="URL|FILE", help="Where the catalog is to go.", show_default=False)
    ] = "",
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="MongoDB, if it is there.", show_default=False)
    ] = "",
    data_dir: DataDir = None,
) -> None:
    """Copy the catalog from SQLite to MongoDB, or back. The suite must be stopped.

    URLs are mongodb://HOST/DATABASE, or just "mongodb" for that of SIGHTMILL_CATALOG_MONGODB_URL, where no
    list of processes shows its password. A copy that was cut off goes on where it stood. At the end all
    records are read back from both sides and compared; until then nothing starts on the copy. The source and
    the bytes of the images stay as they are.

    \b
    Examples:  sightmill migrate --to mongodb://db.example.org/sightmill
               sightmill migrate --from mongodb --to /var/backups/sightmill-2026-11-21.sqlite3
    """
    if bool(source) == _is_mongodb(to):
        raise typer.BadParameter("say either --to mongodb://HOST/DATABASE or --from mongodb://HOST/DATABASE")
    if not source:
        run_upkeep(data_dir, ["migrate", "to", *_name_database(to)])
    elif not _is_mongodb(source):
        raise typer.BadParameter("--from takes mongodb://HOST/DATABASE, or mongodb")
    else:
        file = ["--file", str(Path(to).resolve())] if to else []
        run_upkeep(data_dir, ["migrate", "from", *_name_database(source), *file])


def _is_mongodb(place: str) -> bool:
    return place == _MONGODB or place.startswith(("mongodb://", "mongodb+srv://"))


def _name_database(place: str) -> list[str]:
    """The arguments that name the database; its URL goes by the environment, which only its owner reads."""
    if place == _MONGODB:
        return []
    os.environ[_URL_VARIABLE] = place
    try:
        database = urlsplit(place).path.strip("/")
    except ValueError:
        raise typer.BadParameter("the URL is not valid: mongodb://HOST/DATABASE") from None
    return ["--database", database] if database else []
