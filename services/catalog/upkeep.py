"""``python -m services.catalog.upkeep backup|restore|migrate``: what an operator does with a whole catalog.

``sightmill backup``, ``restore`` and ``migrate`` call this with the settings of the suite.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pymongo.errors import PyMongoError

from services.catalog.migration.command import migrate_from_mongodb, migrate_to_mongodb
from services.catalog.settings import CatalogSettings
from services.catalog.sqlite.backup import back_up, restore
from services.catalog.sqlite.faults import typed_fault
from services.runtime.errors import ServiceError
from services.runtime.settings import explain

_EXIT_FAILED, _EXIT_USAGE = 1, 2
_FROM_ENVIRONMENT: dict[str, Any] = {}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, 1 for a failure, 2 for wrong settings."""
    arguments = _parser().parse_args(argv)
    try:
        settings = CatalogSettings(**_FROM_ENVIRONMENT)
    except ValidationError as error:
        sys.stderr.write(f"catalog: wrong settings\n{explain(error)}\n")
        return _EXIT_USAGE
    try:
        arguments.run(settings, arguments)
    except ServiceError as refusal:
        sys.stderr.write(f"{refusal.message}\n")
        return _EXIT_FAILED
    except (OSError, sqlite3.Error) as fault:
        typed = typed_fault(fault)
        sys.stderr.write(f"{typed.message if typed else fault}\n")
        return _EXIT_FAILED
    except PyMongoError as fault:
        sys.stderr.write(f"MongoDB says: {fault}\n")
        return _EXIT_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing was changed.\n")
        return _EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.catalog.upkeep", description=__doc__)
    commands = parser.add_subparsers(required=True)
    backup = commands.add_parser("backup", help="write the catalog to a file while it is in use")
    backup.add_argument("file", type=Path)
    backup.set_defaults(run=_back_up)
    putting_back = commands.add_parser("restore", help="put a backup in the place of the catalog")
    putting_back.add_argument("file", type=Path)
    putting_back.set_defaults(run=_restore)
    migrating = commands.add_parser("migrate", help="copy the catalog to the other store")
    migrating.add_argument("direction", choices=("to", "from"), help="to MongoDB, or from there to SQLite")
    migrating.add_argument("--database", default="", help="MongoDB's; empty for that of the settings")
    migrating.add_argument("--file", type=Path, help="SQLite's, with from; else that of the settings")
    migrating.set_defaults(run=_migrate)
    return parser


def _back_up(settings: CatalogSettings, arguments: argparse.Namespace) -> None:
    back_up(settings.sqlite.path, arguments.file, _show_progress)
    _say(f"Backed up to {arguments.file} ({arguments.file.stat().st_size / 1e6:,.1f} MB).")


def _restore(settings: CatalogSettings, arguments: argparse.Namespace) -> None:
    former = restore(arguments.file, settings.sqlite.path, _show_progress)
    _say(f"Restored {arguments.file} to {settings.sqlite.path}.")
    if former:
        _say(f"The catalog of before is kept as {former}; delete it when all is well.")


def _migrate(settings: CatalogSettings, arguments: argparse.Namespace) -> None:
    try:
        if arguments.direction == "to":
            migrate_to_mongodb(settings, arguments.database, _say)
        else:
            migrate_from_mongodb(settings, arguments.database, arguments.file, _say)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on where it stood.\n")
        raise SystemExit(_EXIT_FAILED) from None


def _show_progress(left: int, total: int) -> None:
    if sys.stderr.isatty():
        done = 100 if not total else 100 * (total - left) // total
        sys.stderr.write(f"\r{done:3d} %" + ("\n" if not left else ""))
        sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
