"""Rows of faces and people in MongoDB, and what a change of an image does to its faces."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pymongo import ReturnDocument

from services.catalog.findings import FoundFace
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.schema import MongoIndex
from services.catalog.names import ImageKey
from services.catalog.people import faces as people_faces
from services.catalog.people.change import PeopleChange
from services.catalog.people.model import (
    Decision,
    FaceRow,
    ImageFrame,
    Likeness,
    PersonPlace,
    PersonRow,
)

T = TypeVar("T")
Document = dict[str, Any]
Order = Sequence[tuple[str, int]]

INDEXES = (
    MongoIndex("faces", (("number", 1), ("_id", 1)), {"name": "by_image"}),
    MongoIndex("faces", (("person", 1), ("visible", 1), ("_id", 1)), {"name": "by_person"}),
    MongoIndex(
        "faces",
        (("nobody", 1), ("_id", 1)),
        {"name": "of_nobody", "partialFilterExpression": {"nobody": True}},
    ),
    MongoIndex(
        "faces", (("waits", 1), ("_id", 1)), {"name": "to_place", "partialFilterExpression": {"waits": True}}
    ),
    MongoIndex(
        "faces",
        (("request_id", 1),),
        {"name": "by_request", "unique": True, "partialFilterExpression": {"request_id": {"$gt": ""}}},
    ),
    MongoIndex(
        "people", (("listed", 1), ("hidden", 1), ("face_count", -1), ("_id", -1)), {"name": "by_count"}
    ),
    MongoIndex("people", (("listed", 1), ("face_count", -1), ("_id", -1)), {"name": "all_by_count"}),
    MongoIndex("people", (("root", 1), ("_id", 1)), {"name": "by_root"}),
    MongoIndex("people", (("parent", 1), ("_id", 1)), {"name": "by_parent"}),
    MongoIndex("people", (("sequence", 1),), {"name": "by_sequence"}),
)
_BY_ID = (("_id", 1),)
_BY_COUNT = (("face_count", -1), ("_id", -1))
_FRAME = {"uuid": 1, "width": 1, "height": 1}
_MARK = "people"


async def replace_faces(
    database: MongoDatabase,
    session: Session,
    number: int,
    image_uuid: uuid.UUID,
    faces: Sequence[FoundFace],
    now_us: int,
) -> None:
    """See ``people_faces.replace_faces``; within a change of the store."""

    async def work(change: PeopleChange) -> None:
        await people_faces.replace_faces(change, number, image_uuid, faces)

    await change_people(database, session, now_us, work)


async def drop_faces(database: MongoDatabase, session: Session, number: int) -> None:
    """Removes all faces of an image that is deleted for good; within a change of the store."""
    await change_people(
        database, session, database.now_us(), lambda change: people_faces.drop_faces(change, number)
    )


async def show_faces(database: MongoDatabase, session: Session, number: int, visible: bool) -> None:
    """Hides the faces of an image, or shows them again; within a change of the store."""
    await change_people(
        database,
        session,
        database.now_us(),
        lambda change: people_faces.show_faces(change, number, visible=visible),
    )


async def change_people(
    database: MongoDatabase, session: Session, now_us: int, work: Callable[[PeopleChange], Awaitable[T]]
) -> T:
    """Runs a change of people within a transaction."""
    return await work(PeopleChange(MongoPeopleRows(database, session), now_us))


class MongoPeopleRows:
    """See ``PeopleRows``."""

    def __init__(self, database: MongoDatabase, session: Session = None) -> None:
        self._session = session
        self._faces = database.collection("faces")
        self._people = database.collection("people")
        self._marks = database.collection("marks")
        self._images = database.collection("images")

    async def get_face(self, face: uuid.UUID) -> FaceRow | None:
        """See ``PeopleRows``."""
        document = await self._faces.find_one({"_id": face.bytes}, session=self._session)
        return _face_of(document) if document else None

    async def faces_of_image(self, number: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return await self._find_faces({"number": number}, "by_image", 0)

    async def faces_of_group(self, group: uuid.UUID, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        condition = {"person": group.bytes, "visible": True} | _above(after)
        return await self._find_faces(condition, "by_person", most)

    async def faces_of_nobody(self, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return await self._find_faces({"nobody": True} | _above(after), "of_nobody", most)

    async def faces_to_place(self, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return await self._find_faces({"waits": True}, "to_place", most)

    async def has_faces(self, group: uuid.UUID) -> bool:
        """See ``PeopleRows``."""
        return bool(await self._find_faces({"person": group.bytes}, "by_person", 1, ()))

    async def find_request(self, request_id: str) -> FaceRow | None:
        """See ``PeopleRows``."""
        faces = await self._find_faces({"request_id": request_id}, "by_request", 1, ())
        return faces[0] if faces else None

    async def put_face(self, face: FaceRow) -> None:
        """See ``PeopleRows``."""
        document = _face_document(face)
        await self._faces.replace_one({"_id": document["_id"]}, document, upsert=True, session=self._session)

    async def drop_face(self, face: uuid.UUID) -> None:
        """See ``PeopleRows``."""
        await self._faces.delete_one({"_id": face.bytes}, session=self._session)

    async def get_person(self, person: uuid.UUID) -> PersonRow | None:
        """See ``PeopleRows``."""
        document = await self._people.find_one({"_id": person.bytes}, session=self._session)
        return _person_of(document) if document else None

    async def list_people(self, after: PersonPlace | None, most: int, *, hidden: bool) -> list[PersonRow]:
        """See ``PeopleRows``."""
        shown: Document = {"listed": True} if hidden else {"listed": True, "hidden": False}
        index = "all_by_count" if hidden else "by_count"
        if after is None:
            return await self._find_people(shown, index, most, _BY_COUNT)
        # Apart, because an index serves each of the two in order, and their union not.
        count, person = after
        same = shown | {"face_count": count, "_id": {"$lt": person.bytes}}
        people = await self._find_people(same, index, most, _BY_COUNT)
        if len(people) < most:
            fewer = shown | {"face_count": {"$lt": count}}
            people += await self._find_people(fewer, index, most - len(people), _BY_COUNT)
        return people

    async def people_of_root(self, root: uuid.UUID) -> list[PersonRow]:
        """See ``PeopleRows``."""
        return await self._find_people({"root": root.bytes}, "by_root", 0)

    async def parts_of(self, parent: uuid.UUID) -> list[uuid.UUID]:
        """See ``PeopleRows``."""
        return [person.uuid for person in await self._find_people({"parent": parent.bytes}, "by_parent", 0)]

    async def people_since(self, sequence: int, most: int) -> list[PersonRow]:
        """See ``PeopleRows``."""
        condition = {"sequence": {"$gt": sequence}}
        return await self._find_people(condition, "by_sequence", most, (("sequence", 1),))

    async def put_person(self, person: PersonRow) -> None:
        """See ``PeopleRows``."""
        document = _person_document(person)
        await self._people.replace_one({"_id": document["_id"]}, document, upsert=True, session=self._session)

    async def drop_person(self, person: uuid.UUID) -> None:
        """See ``PeopleRows``."""
        await self._people.delete_one({"_id": person.bytes}, session=self._session)

    async def last_sequence(self) -> int:
        """See ``PeopleRows``."""
        mark = await self._marks.find_one({"_id": _MARK}, session=self._session)
        return mark["value"] if mark else 0

    async def take_sequences(self, count: int) -> int:
        """See ``PeopleRows``."""
        mark = await self._marks.find_one_and_update(
            {"_id": _MARK},
            {"$inc": {"value": count}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        return int(mark["value"]) - count + 1

    async def find_image(self, key: ImageKey) -> ImageFrame | None:
        """See ``PeopleRows``."""
        one: Document = {"uuid": key.bytes} if isinstance(key, uuid.UUID) else {"_id": key}
        document = await self._images.find_one(one | {"visible": True}, _FRAME, session=self._session)
        return _frame_of(document) if document else None

    async def frames_of(self, numbers: Sequence[int]) -> dict[int, ImageFrame]:
        """See ``PeopleRows``."""
        wanted = {"_id": {"$in": list(dict.fromkeys(numbers))}, "visible": True}
        cursor = self._images.find(wanted, _FRAME, session=self._session)
        return {document["_id"]: _frame_of(document) for document in await cursor.to_list(None)}

    async def _find_faces(
        self, condition: Document, index: str, most: int, order: Order = _BY_ID
    ) -> list[FaceRow]:
        return [_face_of(found) for found in await self._find(self._faces, condition, index, order, most)]

    async def _find_people(
        self, condition: Document, index: str, most: int, order: Order = _BY_ID
    ) -> list[PersonRow]:
        return [_person_of(found) for found in await self._find(self._people, condition, index, order, most)]

    async def _find(
        self, collection: Any, condition: Document, index: str, order: Order, most: int
    ) -> list[Document]:
        """What a walk along an index gives; ``most`` 0 for all."""
        cursor = collection.find(condition, session=self._session).hint(index).limit(most)
        return await (cursor.sort(list(order)) if order else cursor).to_list(None)  # type: ignore[no-any-return]


def _face_document(face: FaceRow) -> Document:
    return {
        "_id": face.uuid.bytes,
        "number": face.number,
        "image": face.image.bytes,
        "box": list(face.box),
        "confidence": face.confidence,
        "descriptor": face.descriptor,
        "person": _bytes(face.person),
        "by_hand": face.by_hand,
        "decision": int(face.decision),
        "visible": face.visible,
        "request_id": face.request_id,
        # What the partial indexes go by.
        "nobody": face.is_nobodys,
        "waits": face.waits,
    }


def _face_of(document: Document) -> FaceRow:
    x, y, width, height = document["box"]
    return FaceRow(
        uuid=uuid.UUID(bytes=document["_id"]),
        number=document["number"],
        image=uuid.UUID(bytes=document["image"]),
        box=(x, y, width, height),
        confidence=document["confidence"],
        descriptor=document["descriptor"],
        person=_uuid(document["person"]),
        by_hand=document["by_hand"],
        decision=Decision(document["decision"]),
        visible=document["visible"],
        request_id=document["request_id"],
    )


def _person_document(person: PersonRow) -> Document:
    return {
        "_id": person.uuid.bytes,
        "root": person.root.bytes,
        "create_time_us": person.create_time_us,
        "update_time_us": person.update_time_us,
        "parent": _bytes(person.parent),
        "look": person.look,
        "display_name": person.display_name,
        "hidden": person.hidden,
        "listed": person.listed,
        "face_count": person.face_count,
        "own_count": person.own_count,
        "cover": _bytes(person.cover),
        "chosen_cover": _bytes(person.chosen_cover),
        "samples": person.likeness.samples,
        "total": person.likeness.total,
        "square_sum": person.likeness.square_sum,
        "sequence": person.sequence,
        "revision": person.revision,
    }


def _person_of(document: Document) -> PersonRow:
    return PersonRow(
        uuid=uuid.UUID(bytes=document["_id"]),
        root=uuid.UUID(bytes=document["root"]),
        create_time_us=document["create_time_us"],
        update_time_us=document["update_time_us"],
        parent=_uuid(document["parent"]),
        look=document["look"],
        display_name=document["display_name"],
        hidden=document["hidden"],
        face_count=document["face_count"],
        own_count=document["own_count"],
        cover=_uuid(document["cover"]),
        chosen_cover=_uuid(document["chosen_cover"]),
        likeness=Likeness(document["samples"], document["total"], document["square_sum"]),
        sequence=document["sequence"],
        revision=document["revision"],
    )


def _frame_of(document: Document) -> ImageFrame:
    return ImageFrame(
        document["_id"], uuid.UUID(bytes=document["uuid"]), document["width"], document["height"]
    )


def _above(after: uuid.UUID | None) -> Document:
    return {"_id": {"$gt": after.bytes}} if after else {}


def _bytes(value: uuid.UUID | None) -> bytes | None:
    return value.bytes if value else None


def _uuid(value: bytes | None) -> uuid.UUID | None:
    return uuid.UUID(bytes=value) if value else None
