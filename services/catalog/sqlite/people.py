"""People in the SQLite file of the catalog."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from services.catalog.people.change import PeopleChange
from services.catalog.people.rows import PeopleRows
from services.catalog.people.store import StoredPeople
from services.catalog.sqlite.database import SqliteDatabase
from services.catalog.sqlite.faces import SqlitePeopleRows, at_once, change_people

T = TypeVar("T")


class SqlitePeople(StoredPeople):
    """See ``PeopleStore``."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def _change(self, work: Callable[[PeopleChange], Coroutine[Any, Any, T]]) -> T:
        return await self._database.change(
            lambda connection: change_people(connection, self._database.now_us(), work)
        )

    async def _read(self, work: Callable[[PeopleRows], Coroutine[Any, Any, T]]) -> T:
        return await self._database.read(lambda connection: at_once(work(SqlitePeopleRows(connection))))
