"""Stores of people to test, with the images that their faces are in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np

from services.catalog.mongo.indexes import INDEXES as IMAGE_INDEXES
from services.catalog.mongo.people import INDEXES, MongoPeople
from services.catalog.mongo.store import MongoStore
from services.catalog.people.clusters import PeopleKeeper
from services.catalog.people.model import Box, PersonRow, ShownFace
from services.catalog.people.store import PeopleStore
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.people import SqlitePeople
from services.catalog.sqlite.store import SqliteStore
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import analyzer_pb2, common_pb2
from tests.contract.catalog.adapters import Clock, analysis, new_image, outcome, write_outcome
from tests.contract.catalog.mongo_adapter import mongo_database

STORES = ("mongo", "sqlite")
# As measured on portraits: two shots of one person are about 0.4 apart, two people about 0.85.
_PERSON_SPREAD = 0.85 / np.sqrt(2 * 128)
_SHOT_SPREAD = 0.4 / np.sqrt(2 * 128)


@dataclass(frozen=True, slots=True)
class Seen:
    """A face that the detector sees; ``descriptor`` may be empty."""

    box: Box
    descriptor: tuple[float, ...] = ()


@dataclass(slots=True)
class World:
    """A catalog, and what keeps its people."""

    images: CatalogStore
    people: PeopleStore
    keeper: PeopleKeeper
    looks: int = 0

    async def photo(self, *seen: Seen) -> UUID:
        """An image that was analysed."""
        self.looks += 1
        image, _ = await self.images.create_image(new_image(f"photo {self.looks}"), "")
        await self.analyse(image.uuid, *seen)
        return image.uuid

    async def analyse(self, image: UUID, *seen: Seen) -> None:
        """The analyzer, each time a later version, looks at an image."""
        self.looks += 1
        record = await self.images.get_image(image, with_results=False)
        found = replace(analysis(version=str(self.looks), result=result_of(seen)), sha256=record.image.sha256)
        await write_outcome(self.images, outcome(image, found, state=ImageState.PROCESSED))

    async def placed(self) -> list[PersonRow]:
        """Everybody, once all faces are placed."""
        await self.keeper.place_all()
        return await self.everybody()

    async def everybody(self) -> list[PersonRow]:
        """All listed people, hidden ones, too."""
        return list((await self.people.list_people(1_000, None, hidden=True)).people)

    async def faces(self, person: UUID | None) -> list[ShownFace]:
        """All faces of a person or of nobody."""
        return list((await self.people.list_faces(person, 1_000, None)).faces)

    async def all_faces(self) -> list[ShownFace]:
        """All faces of everybody and of nobody."""
        people = [person.uuid for person in await self.everybody()]
        return [shown for person in (*people, None) for shown in await self.faces(person)]

    async def face_in(self, image: UUID) -> ShownFace:
        """The only face of an image, wherever it is."""
        (only,) = [shown for shown in await self.all_faces() if shown.face.image == image]
        return only


def result_of(seen: Sequence[Seen]) -> bytes:
    """The insights that have these faces."""
    faces = [
        analyzer_pb2.Face(box=message_of(face.box), confidence=0.9, descriptor=face.descriptor)
        for face in seen
    ]
    insights = analyzer_pb2.Insights(width=640, height=480, faces=analyzer_pb2.FaceInsight(faces=faces))
    return insights.SerializeToString()


def message_of(box: Box) -> common_pb2.BoundingBox:
    x, y, width, height = box
    return common_pb2.BoundingBox(x=x, y=y, width=width, height=height)


def shot(who: int, number: int = 0) -> tuple[float, ...]:
    """The descriptor of a shot of somebody; the same numbers give the same one."""
    person = np.random.default_rng(who).normal(0, _PERSON_SPREAD, 128)
    noise = np.random.default_rng((who, number, 1)).normal(0, _SHOT_SPREAD, 128)
    return tuple((person + noise).astype(np.float32).tolist())


def seen(who: int, number: int = 0, box: Box = (10, 10, 50, 50)) -> Seen:
    """A shot of somebody at a place."""
    return Seen(box, shot(who, number))


@asynccontextmanager
async def open_world(kind: str, folder: Path, clock: Clock) -> AsyncIterator[World]:
    """An empty catalog in a store of a kind."""
    if kind == "mongo":
        async with mongo_database(clock, (*IMAGE_INDEXES, *INDEXES)) as mongo:
            people: PeopleStore = MongoPeople(mongo)
            yield World(MongoStore(mongo), people, PeopleKeeper(people))
    else:
        async with open_sqlite_database(SqliteOptions(folder / "catalog.sqlite3"), clock) as sqlite:
            people = SqlitePeople(sqlite)
            yield World(SqliteStore(sqlite), people, PeopleKeeper(people))
