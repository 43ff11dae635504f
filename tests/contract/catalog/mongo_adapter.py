"""Databases on a MongoDB server for the tests: one that is started here, or that of MONGODB_URL."""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient

from services.catalog.mongo.database import MongoDatabase, MongoIndex, MongoOptions, open_mongo_database
from services.catalog.mongo.faces import INDEXES as FACE_INDEXES
from services.catalog.mongo.indexes import INDEXES
from services.catalog.mongo.store import MongoStore
from services.catalog.store import CatalogStore
from tests.servers.mongo_server import MongoServer

TIMEOUT_S = 30.0


@dataclass(slots=True)
class _Deployment:
    """Started with the first test that needs it, and left as it was found when the test run ends."""

    given_url: str = field(default_factory=lambda: os.environ.get("MONGODB_URL", ""))
    server: MongoServer | None = None
    names: set[str] = field(default_factory=set)

    async def url(self) -> str:
        if self.given_url:
            if not self.names:
                atexit.register(self._drop_all)
            return self.given_url
        if self.server is None:
            folder = Path(tempfile.mkdtemp(prefix="sightmill-mongo-"))
            self.server = MongoServer(folder)
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            atexit.register(self.server.kill)
            await self.server.start()
        return self.server.url

    def _drop_all(self) -> None:
        with MongoClient[dict[str, object]](self.given_url) as client:
            for name in self.names:
                client.drop_database(name)


_DEPLOYMENT = _Deployment()


async def mongo_options(name: str = "", driver: str = "") -> MongoOptions:
    """Options of a database that is gone after the test run; a fresh name if none is given.

    Without a driver that of SIGHTMILL_TEST_MONGO_DRIVER, so that one run of the suite can take either.
    """
    url = await _DEPLOYMENT.url()
    name = name or f"sightmill_test_{secrets.token_hex(8)}"
    _DEPLOYMENT.names.add(name)
    driver = driver or os.environ.get("SIGHTMILL_TEST_MONGO_DRIVER", "motor")
    return MongoOptions(url, name, driver, TIMEOUT_S)


@asynccontextmanager
async def mongo_database(
    now_us: Callable[[], int], indexes: Sequence[MongoIndex]
) -> AsyncIterator[MongoDatabase]:
    """A database of its own, empty, dropped at the end."""
    options = await mongo_options()
    async with open_mongo_database(options, indexes, now_us) as opened:
        try:
            yield opened
        finally:
            await drop_database(opened, options)


async def drop_database(database: MongoDatabase, options: MongoOptions) -> None:
    """Drops everything in it."""
    await database.collection("marks").database.client.drop_database(options.database)
    _DEPLOYMENT.names.discard(options.database)


def name_in(folder: Path) -> str:
    """The name of the database that belongs to a folder: the same folder, the same data."""
    digest = hashlib.sha256(f"{folder} {os.getpid()}".encode()).hexdigest()
    return f"sightmill_test_{digest[:16]}"


@asynccontextmanager
async def open_mongo_store(folder: Path, now_us: Callable[[], int]) -> AsyncIterator[CatalogStore]:
    """A store whose data stays until the test run ends, so that it can be opened on its folder again."""
    options = await mongo_options(name_in(folder))
    async with open_mongo_database(options, (*INDEXES, *FACE_INDEXES), now_us) as database:
        yield MongoStore(database)
