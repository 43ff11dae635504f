"""``migrate`` of an operator: which catalogs, what is shown, what to do next."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from services.catalog.migration.migration import migrate
from services.catalog.migration.proof import Proof
from services.catalog.migration.records import Kind
from services.catalog.mongo.copy import open_mongo_copy
from services.catalog.mongo.database import MongoOptions
from services.catalog.settings import CatalogSettings
from services.catalog.sqlite.copy import open_sqlite_copy
from services.catalog.sqlite.database import SqliteOptions
from services.catalog.stores import MONGO_INDEXES
from services.runtime.errors import FailedPreconditionError, NotFoundError, Reason

# Of the server's own.
_RESERVED = {"admin", "config", "local"}
Say = Callable[[str], None]


def migrate_to_mongodb(settings: CatalogSettings, database: str, say: Say) -> None:
    """Copies the catalog of the settings' file to the database of their URL; ``database`` may be empty.

    Raises what ``migrate`` raises, and ``NotFoundError`` where there is no file.
    """
    mongo, path = _mongo(settings, database), settings.sqlite.path
    if not path.is_file():
        raise NotFoundError(Reason.STORE_UNAVAILABLE, f"There is no catalog at {path}; nothing to migrate.")
    _report(asyncio.run(_migrate(settings.sqlite, mongo, to_mongo=True)), say)
    say(f"{path} is now in MongoDB, database {mongo.database}. To go on with it, set")
    say("  SIGHTMILL_CATALOG_MONGODB_URL=...  (the URL that you gave)")
    say(f"  SIGHTMILL_CATALOG_MONGODB_DATABASE={mongo.database}")
    say("and start the suite. The bytes of images stay where they are; near duplicates are compared anew.")


def migrate_from_mongodb(settings: CatalogSettings, database: str, file: Path | None, say: Say) -> None:
    """Copies the catalog of the settings' URL to a file, that of the settings if none is given.

    Raises what ``migrate`` raises.
    """
    mongo, path = _mongo(settings, database), file or settings.sqlite.path
    sqlite = replace(settings.sqlite, path=path)
    _report(asyncio.run(_migrate(sqlite, mongo, to_mongo=False)), say)
    say(f"MongoDB's database {mongo.database} is now in {path}.")
    if file:
        say(f"Keep it as a backup, or put it in place with: sightmill restore {file}")
    say("To go on with it, unset SIGHTMILL_CATALOG_MONGODB_URL and start the suite.")
    say("The bytes of images stay where they are; near duplicates are compared anew.")


async def _migrate(sqlite: SqliteOptions, mongo: MongoOptions, *, to_mongo: bool) -> Sequence[Proof]:
    async with (
        open_mongo_copy(mongo, MONGO_INDEXES) as in_mongo,
        open_sqlite_copy(sqlite) as in_sqlite,
    ):
        if to_mongo:
            return await migrate(in_sqlite, in_mongo, _show)
        return await migrate(in_mongo, in_sqlite, _show)


def _mongo(settings: CatalogSettings, database: str) -> MongoOptions:
    options = settings.mongo
    if options is None:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "It is not known where MongoDB is: set SIGHTMILL_CATALOG_MONGODB_URL, or give its URL.",
            state="not connected",
        )
    if database in _RESERVED:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{database} is a database of the server itself; name another.",
            state="foreign",
        )
    return replace(options, database=database or options.database)


def _show(doing: str, kind: Kind, count: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{doing} {kind.name}: {count:,}")
        sys.stderr.flush()


def _report(proofs: Sequence[Proof], say: Say) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    say("Both say the same:")
    for proof in proofs:
        say(f"  {proof.kind:<14} {proof.count:>12,}  sha256 {proof.sha256}")
