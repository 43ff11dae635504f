"""People in the MongoDB database of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from services.catalog.mongo.database import MongoDatabase
from services.catalog.mongo.faces import INDEXES, MongoPeopleRows, change_people
from services.catalog.people.change import PeopleChange
from services.catalog.people.rows import PeopleRows
from services.catalog.people.store import StoredPeople

__all__ = ["INDEXES", "MongoPeople"]

T = TypeVar("T")


class MongoPeople(StoredPeople):
    """See ``PeopleStore``."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def _change(self, work: Callable[[PeopleChange], Coroutine[Any, Any, T]]) -> T:
        return await self._database.change(
            lambda session: change_people(self._database, session, self._database.now_us(), work)
        )

    async def _read(self, work: Callable[[PeopleRows], Coroutine[Any, Any, T]]) -> T:
        return await self._database.run(lambda: work(MongoPeopleRows(self._database)))
