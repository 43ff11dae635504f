"""What a database must be before it is used: a replica set, of no later version, with its indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymongo

from services.runtime.errors import FailedPreconditionError, Reason

SCHEMA_VERSION = 1
_MARK = "schema"
# A new index over what a large catalog has already; a deadline that is too short would end it every time.
_INDEX_TIMEOUT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class MongoIndex:
    """An index to create at start. ``keys`` as (field, 1 or -1); ``options`` as create_index takes them."""

    collection: str
    keys: Sequence[tuple[str, int]]
    options: dict[str, Any]


async def prepare_database(client: Any, database: Any, indexes: Sequence[MongoIndex]) -> str:
    """Marks an empty database and creates what indexes are missing; returns the version of the server.

    Raises ``FailedPreconditionError(WRONG_STATE)`` where the database cannot be used.
    """
    hello = await client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "The MongoDB server stands alone and has no transactions. Start it with --replSet NAME and run "
            "rs.initiate() once; a replica set of one member will do.",
            state="standalone",
        )
    await _check_version(database)
    with pymongo.timeout(_INDEX_TIMEOUT_S):
        for index in indexes:
            # One by one: a server that refuses one of several creates none of those after it.
            await database[index.collection].create_index(list(index.keys), **index.options)
    return str((await client.admin.command("buildInfo")).get("version", ""))


async def _check_version(database: Any) -> None:
    marks = database["marks"]
    await marks.update_one({"_id": _MARK}, {"$setOnInsert": {"value": SCHEMA_VERSION}}, upsert=True)
    version = (await marks.find_one({"_id": _MARK}))["value"]
    if version > SCHEMA_VERSION:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"The catalog's database has version {version}, this program knows {SCHEMA_VERSION}. Start the "
            "later program again; a database does not go back.",
            state=f"version {version}",
        )
