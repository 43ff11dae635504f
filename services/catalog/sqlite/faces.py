"""Rows of faces and people in SQLite, and what a change of an image does to its faces."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from services.catalog.findings import FoundFace
from services.catalog.names import ImageKey
from services.catalog.people import faces as people_faces
from services.catalog.people.change import PeopleChange
from services.catalog.people.faces import time_names, usable_descriptor
from services.catalog.people.model import (
    Decision,
    FaceRow,
    ImageFrame,
    Likeness,
    PersonPlace,
    PersonRow,
)

T = TypeVar("T")
_FACE = """uuid, number, image, x, y, width, height, confidence, descriptor, person, by_hand, decision,
    visible, coalesce(request_id, '')"""
_PERSON = """uuid, root, create_time_us, update_time_us, parent, look, display_name, hidden, face_count,
    own_count, cover, chosen_cover, samples, total, square_sum, sequence, revision"""
_ADD_FACE = """INSERT INTO faces (uuid, number, image, x, y, width, height, confidence, descriptor, person,
        by_hand, decision, visible, request_id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PUT_FACE = f"""{_ADD_FACE}
    ON CONFLICT (uuid) DO UPDATE SET x = excluded.x, y = excluded.y, width = excluded.width,
        height = excluded.height, confidence = excluded.confidence, descriptor = excluded.descriptor,
        person = excluded.person, by_hand = excluded.by_hand, decision = excluded.decision,
        visible = excluded.visible"""
_LOWEST, _HIGHEST = bytes(16), b"\xff" * 16


def replace_faces(
    connection: sqlite3.Connection,
    number: int,
    image_uuid: uuid.UUID,
    faces: Sequence[FoundFace],
    now_us: int,
) -> None:
    """See ``people_faces.replace_faces``; within a change of the store."""
    known = connection.execute("SELECT 1 FROM faces WHERE number = ? LIMIT 1", (number,)).fetchone()
    if not faces and known is None:
        return  # as with most images, so it must cost next to nothing
    change_people(
        connection, now_us, lambda change: people_faces.replace_faces(change, number, image_uuid, faces)
    )


def add_faces(
    connection: sqlite3.Connection,
    found: Iterable[tuple[int, bytes, Sequence[FoundFace], bool]],
    now_us: int,
) -> None:
    """Writes the faces of images that have none yet: number, UUID, faces and whether the image is visible.

    Nobody's faces change no person, so all of them go into one statement.
    """
    connection.executemany(_ADD_FACE, (row for image in found for row in _new_rows(*image, now_us)))


def drop_faces(connection: sqlite3.Connection, number: int) -> None:
    """Removes all faces of an image that is deleted for good; within a change of the store."""
    change_people(connection, _now_us(), lambda change: people_faces.drop_faces(change, number))


def show_faces(connection: sqlite3.Connection, number: int, visible: bool) -> None:
    """Hides the faces of an image, or shows them again; within a change of the store."""
    change_people(
        connection, _now_us(), lambda change: people_faces.show_faces(change, number, visible=visible)
    )


def change_people(
    connection: sqlite3.Connection, now_us: int, work: Callable[[PeopleChange], Awaitable[T]]
) -> T:
    """Runs a change of people on the writer's thread."""

    async def run() -> T:
        return await work(PeopleChange(SqlitePeopleRows(connection), now_us))

    return at_once(run())


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine over :class:`SqlitePeopleRows`, none of which ever waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # what the coroutine returned
    work.close()
    raise RuntimeError("A coroutine over rows of SQLite waited for something else.")


def _now_us() -> int:
    return time.time_ns() // 1_000


class SqlitePeopleRows:
    """See ``PeopleRows``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def get_face(self, face: uuid.UUID) -> FaceRow | None:
        """See ``PeopleRows``."""
        return self._one_face("uuid = ?", face.bytes)

    async def faces_of_image(self, number: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return self._faces("number = ? ORDER BY uuid", number)

    async def faces_of_group(self, group: uuid.UUID, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return self._faces(
            "person = ? AND visible = 1 AND uuid > ? ORDER BY uuid LIMIT ?", group.bytes, _above(after), most
        )

    async def faces_of_nobody(self, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return self._faces(
            "person IS NULL AND visible = 1 AND decision < 2 AND uuid > ? ORDER BY uuid LIMIT ?",
            _above(after),
            most,
        )

    async def faces_to_place(self, most: int) -> list[FaceRow]:
        """See ``PeopleRows``."""
        return self._faces(
            "person IS NULL AND visible = 1 AND decision = 0 AND descriptor <> x'' ORDER BY uuid LIMIT ?",
            most,
        )

    async def has_faces(self, group: uuid.UUID) -> bool:
        """See ``PeopleRows``."""
        return self._exists("SELECT EXISTS (SELECT 1 FROM faces WHERE person = ?)", group.bytes)

    async def find_request(self, request_id: str) -> FaceRow | None:
        """See ``PeopleRows``."""
        return self._one_face("request_id = ?", request_id)

    async def put_face(self, face: FaceRow) -> None:
        """See ``PeopleRows``."""
        self._connection.execute(_PUT_FACE, _row_of_face(face))

    async def drop_face(self, face: uuid.UUID) -> None:
        """See ``PeopleRows``."""
        self._connection.execute("DELETE FROM faces WHERE uuid = ?", (face.bytes,))

    async def get_person(self, person: uuid.UUID) -> PersonRow | None:
        """See ``PeopleRows``."""
        people = self._people("uuid = ?", person.bytes)
        return people[0] if people else None

    async def list_people(self, after: PersonPlace | None, most: int, *, hidden: bool) -> list[PersonRow]:
        """See ``PeopleRows``."""
        # Named, because SQLite takes the other one for as good.
        index = "people_listed" if hidden else "people_shown"
        shown = "listed = 1" if hidden else "listed = 1 AND hidden = 0"
        count, person = (after[0], after[1].bytes) if after else (2**62, _HIGHEST)
        return self._people(
            f"{shown} AND (face_count, uuid) < (?, ?) ORDER BY face_count DESC, uuid DESC LIMIT ?",
            count,
            person,
            most,
            index=index,
        )

    async def people_of_root(self, root: uuid.UUID) -> list[PersonRow]:
        """See ``PeopleRows``."""
        return self._people("root = ? ORDER BY uuid", root.bytes)

    async def parts_of(self, parent: uuid.UUID) -> list[uuid.UUID]:
        """See ``PeopleRows``."""
        rows = self._connection.execute("SELECT uuid FROM people WHERE parent = ?", (parent.bytes,))
        return [uuid.UUID(bytes=part) for (part,) in rows]

    async def people_since(self, sequence: int, most: int) -> list[PersonRow]:
        """See ``PeopleRows``."""
        return self._people("sequence > ? ORDER BY sequence LIMIT ?", sequence, most)

    async def put_person(self, person: PersonRow) -> None:
        """See ``PeopleRows``."""
        self._connection.execute(
            f"INSERT OR REPLACE INTO people ({_PERSON}, listed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                person.uuid.bytes,
                person.root.bytes,
                person.create_time_us,
                person.update_time_us,
                _bytes(person.parent),
                person.look,
                person.display_name,
                person.hidden,
                person.face_count,
                person.own_count,
                _bytes(person.cover),
                _bytes(person.chosen_cover),
                person.likeness.samples,
                person.likeness.total,
                person.likeness.square_sum,
                person.sequence,
                person.revision,
                person.listed,
            ),
        )

    async def drop_person(self, person: uuid.UUID) -> None:
        """See ``PeopleRows``."""
        self._connection.execute("DELETE FROM people WHERE uuid = ?", (person.bytes,))

    async def last_sequence(self) -> int:
        """See ``PeopleRows``."""
        return self._number("SELECT value FROM marks WHERE name = 'people'")

    async def take_sequences(self, count: int) -> int:
        """See ``PeopleRows``."""
        last = self._number("UPDATE marks SET value = value + ? WHERE name = 'people' RETURNING value", count)
        return last - count + 1

    async def find_image(self, key: ImageKey) -> ImageFrame | None:
        """See ``PeopleRows``."""
        column, value = ("uuid", key.bytes) if isinstance(key, uuid.UUID) else ("number", key)
        row = self._connection.execute(
            f"SELECT number, uuid, width, height FROM images WHERE {column} = ? AND delete_time_us IS NULL",
            (value,),
        ).fetchone()
        return None if row is None else ImageFrame(row[0], uuid.UUID(bytes=row[1]), row[2], row[3])

    async def frames_of(self, numbers: Sequence[int]) -> dict[int, ImageFrame]:
        """See ``PeopleRows``."""
        frames = [await self.find_image(number) for number in dict.fromkeys(numbers)]
        return {frame.number: frame for frame in frames if frame}

    def _one_face(self, condition: str, value: object) -> FaceRow | None:
        faces = self._faces(condition, value)
        return faces[0] if faces else None

    def _faces(self, condition: str, *values: object) -> list[FaceRow]:
        rows = self._connection.execute(f"SELECT {_FACE} FROM faces WHERE {condition}", values)
        return [_face_from_row(row) for row in rows]

    def _people(self, condition: str, *values: object, index: str = "") -> list[PersonRow]:
        table = f"people INDEXED BY {index}" if index else "people"
        rows = self._connection.execute(f"SELECT {_PERSON} FROM {table} WHERE {condition}", values)
        return [_person_from_row(row) for row in rows]

    def _number(self, statement: str, *values: object) -> int:
        # All rows, because a statement that is left in the middle keeps its locks.
        ((value,),) = self._connection.execute(statement, values).fetchall()
        return int(value)

    def _exists(self, statement: str, value: object) -> bool:
        return bool(self._number(statement, value))


def _new_rows(
    number: int, image: bytes, faces: Sequence[FoundFace], visible: bool, now_us: int
) -> Iterator[tuple[object, ...]]:
    # What _row_of_face gives for new faces, at a third of its cost.
    for face, name in zip(faces, time_names(now_us, len(faces)), strict=True):
        descriptor = usable_descriptor(face)
        yield name, number, image, *face.box, face.confidence, descriptor, None, False, 0, visible, None


def _row_of_face(face: FaceRow) -> tuple[object, ...]:
    return (
        face.uuid.bytes,
        face.number,
        face.image.bytes,
        *face.box,
        face.confidence,
        face.descriptor,
        _bytes(face.person),
        face.by_hand,
        int(face.decision),
        face.visible,
        face.request_id or None,
    )


def _face_from_row(row: tuple[Any, ...]) -> FaceRow:
    return FaceRow(
        uuid=uuid.UUID(bytes=row[0]),
        number=row[1],
        image=uuid.UUID(bytes=row[2]),
        box=row[3:7],
        confidence=row[7],
        descriptor=row[8],
        person=_uuid(row[9]),
        by_hand=bool(row[10]),
        decision=Decision(row[11]),
        visible=bool(row[12]),
        request_id=row[13],
    )


def _person_from_row(row: tuple[Any, ...]) -> PersonRow:
    return PersonRow(
        uuid=uuid.UUID(bytes=row[0]),
        root=uuid.UUID(bytes=row[1]),
        create_time_us=row[2],
        update_time_us=row[3],
        parent=_uuid(row[4]),
        look=bool(row[5]),
        display_name=row[6],
        hidden=bool(row[7]),
        face_count=row[8],
        own_count=row[9],
        cover=_uuid(row[10]),
        chosen_cover=_uuid(row[11]),
        likeness=Likeness(*row[12:15]),
        sequence=row[15],
        revision=row[16],
    )


def _above(after: uuid.UUID | None) -> bytes:
    return after.bytes if after else _LOWEST


def _bytes(value: uuid.UUID | None) -> bytes | None:
    return value.bytes if value else None


def _uuid(value: bytes | None) -> uuid.UUID | None:
    return uuid.UUID(bytes=value) if value else None
