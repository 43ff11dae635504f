"""What marks a catalog as incomplete while a migration copies into it, so that no service opens it."""

from __future__ import annotations

from services.catalog.mongo.database import MongoDatabase
from services.catalog.sqlite.database import SqliteDatabase
from services.catalog.sqlite.schema import read_number
from services.runtime.errors import FailedPreconditionError, Reason

SQLITE_TABLE = "CREATE TABLE migration (origin TEXT NOT NULL, kind TEXT NOT NULL, after BLOB NOT NULL) STRICT"
HAS_SQLITE_TABLE = "SELECT count(*) FROM sqlite_schema WHERE name = 'migration'"
MONGO_MARK = {"_id": "migration"}
"""Which document of ``marks``."""


async def refuse_unfinished_sqlite(database: SqliteDatabase) -> None:
    """Raises ``FailedPreconditionError(WRONG_STATE)`` where a migration into the file is not complete."""
    if await database.read(lambda connection: read_number(connection, HAS_SQLITE_TABLE)):
        raise _unfinished()


async def refuse_unfinished_mongo(database: MongoDatabase) -> None:
    """Raises ``FailedPreconditionError(WRONG_STATE)`` where a migration into the database is not complete."""
    if await database.run(lambda: database.collection("marks").find_one(MONGO_MARK)):
        raise _unfinished()


def _unfinished() -> FailedPreconditionError:
    return FailedPreconditionError(
        Reason.WRONG_STATE,
        "A migration into this catalog is not complete. Run the same 'sightmill migrate' again: it goes on "
        "where it stood. Or go on with the catalog that is its source.",
        state="incomplete",
    )
