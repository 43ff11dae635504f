"""Reads of people and their faces, over the rows of any store."""

from __future__ import annotations

from uuid import UUID

from services.catalog.people.model import (
    FacePage,
    FacePlace,
    FaceRow,
    Likenesses,
    PeoplePage,
    PersonPlace,
    PersonRow,
    ShownFace,
)
from services.catalog.people.names import person_not_found
from services.catalog.people.rows import PeopleRows


async def get_person(rows: PeopleRows, person: UUID) -> PersonRow:
    """See ``PeopleStore.get_person``."""
    row = await rows.get_person(person)
    if row is None or not row.listed:
        raise person_not_found(person, row.root if row and row.parent and not row.look else None)
    return row


async def list_people(rows: PeopleRows, size: int, after: PersonPlace | None, *, hidden: bool) -> PeoplePage:
    """See ``PeopleStore.list_people``."""
    people = await rows.list_people(after, size + 1, hidden=hidden)
    page = tuple(people[:size])
    return PeoplePage(page, (page[-1].face_count, page[-1].uuid) if len(people) > size else None)


async def list_faces(rows: PeopleRows, person: UUID | None, size: int, after: FacePlace | None) -> FacePage:
    """See ``PeopleStore.list_faces``."""
    if person is None:
        faces = await rows.faces_of_nobody(after[1] if after else None, size + 1)
    else:
        await get_person(rows, person)
        faces = await _faces_of_tree(rows, person, size + 1, after)
    page = faces[:size]
    frames = await rows.frames_of([face.number for face in page])
    shown = tuple(
        ShownFace(face, person, (frames[face.number].width, frames[face.number].height))
        for face in page
        # One that was hidden meanwhile, where a read is not of one moment.
        if face.number in frames
    )
    return FacePage(shown, (page[-1].person, page[-1].uuid) if len(faces) > size else None)


async def read_likenesses(rows: PeopleRows, after: int, most: int) -> Likenesses:
    """See ``PeopleStore.read_likenesses``."""
    last = await rows.last_sequence()
    return Likenesses(tuple(await rows.people_since(after, most)), last)


async def _faces_of_tree(rows: PeopleRows, person: UUID, most: int, after: FacePlace | None) -> list[FaceRow]:
    faces: list[FaceRow] = []
    for part in await rows.people_of_root(person):
        if not part.own_count or (after and after[0] and part.uuid < after[0]):
            continue
        above = after[1] if after and part.uuid == after[0] else None
        faces += await rows.faces_of_group(part.uuid, above, most - len(faces))
        if len(faces) >= most:
            break
    return faces
