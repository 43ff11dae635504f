"""What people decide about people and faces. Nothing here is undone by an analysis or by clustering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.catalog.names import image_not_found
from services.catalog.people.boxes import SAME_FACE_OVERLAP, overlaps
from services.catalog.people.change import PeopleChange
from services.catalog.people.model import (
    SAME_PERSON,
    Decision,
    FaceName,
    FaceRow,
    ImageFrame,
    NewFace,
    PersonChange,
    PersonRow,
    ShownFace,
    time_uuid,
)
from services.catalog.people.names import face_name, face_not_found, person_name, person_not_found
from services.catalog.refusals import invalid_field
from services.runtime.errors import AbortedError, AlreadyExistsError, FailedPreconditionError, Reason

MAX_FACES_AN_IMAGE = 1_000
_MAX_LOOKS = 8


async def update_person(
    change: PeopleChange, person: UUID, said: PersonChange, revision: int | None
) -> PersonRow:
    """See ``PeopleStore.update_person``."""
    row = await _listed(change, person)
    if revision is not None and revision != row.revision:
        raise AbortedError(
            Reason.ETAG_MISMATCH, "The person changed since it was read; read it again and repeat the change."
        )
    if said.display_name is not None:
        row = replace(row, display_name=said.display_name)
    if said.hidden is not None:
        row = replace(row, hidden=said.hidden)
    if said.cover is not None:
        row = replace(row, chosen_cover=await _own_face(change, person, said.cover), cover=None)
    change.put(row)
    change.doubt(person)
    await change.finish()
    return change.written(person)


async def merge_people(change: PeopleChange, target: UUID, sources: Sequence[UUID]) -> PersonRow:
    """See ``PeopleStore.merge_people``."""
    await _listed(change, target)
    for source in dict.fromkeys(sources):
        if source == target:
            raise invalid_field("sources", "Other people than the one that stays.")
        part = await change.person(source)
        if part is not None and part.parent == target and not part.look:
            continue  # a repeated call
        await change.merge(await _listed(change, source), target)
    await change.finish()
    return change.written(target)


async def unmerge_person(change: PeopleChange, target: UUID, source: UUID) -> PersonRow:
    """See ``PeopleStore.unmerge_person``."""
    await _listed(change, target)
    part = await change.person(source)
    if part is None or part.look:
        raise person_not_found(source)
    if part.parent != target:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"{person_name(source)} was not merged into {person_name(target)} itself"
            + (f" but into {person_name(part.parent)}; unmerge that one first." if part.parent else "."),
            state="merged elsewhere" if part.parent else "not merged",
        )
    await change.unmerge(part)
    await change.finish()
    return change.written(source)


async def move_face(change: PeopleChange, name: FaceName, person: UUID | None) -> ShownFace:
    """See ``PeopleStore.move_face``."""
    face = await _visible_face(change, name, or_of=person)
    group = await _group_for(change, person, face.descriptor)
    moved = replace(face, person=group, decision=Decision.CONFIRMED)
    await change.change_face(face, moved)
    return await _finish_face(change, moved)


async def ignore_face(change: PeopleChange, name: FaceName) -> None:
    """See ``PeopleStore.ignore_face``."""
    face = await change.rows.get_face(name.face)
    if face is not None and face.visible and face.decision is Decision.IGNORED:
        return  # a repeated call
    face = await _visible_face(change, name)
    await change.change_face(face, replace(face, person=None, decision=Decision.IGNORED))
    await change.finish()


async def create_face(change: PeopleChange, new: NewFace) -> ShownFace:
    """See ``PeopleStore.create_face``."""
    frame = await change.rows.find_image(new.image)
    if frame is None:
        raise image_not_found(new.image)
    known = await change.rows.find_request(new.request_id) if new.request_id else None
    if known is not None:
        return await _finish_face(change, _same_request(known, new, frame))
    _refuse_outside(new, frame)
    await _refuse_known(change, new, frame)
    face = FaceRow(
        uuid=time_uuid(change.now_us),
        number=frame.number,
        image=frame.uuid,
        box=new.box,
        confidence=1.0,
        descriptor=b"",
        person=(await _listed(change, new.person)).uuid if new.person else None,
        by_hand=True,
        decision=Decision.CONFIRMED if new.person else Decision.NONE,
        request_id=new.request_id,
    )
    await change.add_face(face)
    return await _finish_face(change, face)


async def _listed(change: PeopleChange, person: UUID) -> PersonRow:
    row = await change.person(person)
    if row is None or not row.listed:
        raise person_not_found(person, row.root if row and row.parent and not row.look else None)
    return row


async def _own_face(change: PeopleChange, person: UUID, cover: tuple[UUID, ...]) -> UUID | None:
    for name in cover:
        face = await change.rows.get_face(name)
        root = await _root_of(change, face) if face and face.visible else None
        if root != person:
            raise invalid_field("person.cover_face", "A face of this person, or empty.")
    return cover[0] if cover else None


async def _root_of(change: PeopleChange, face: FaceRow) -> UUID | None:
    row = await change.person(face.person) if face.person else None
    return row.root if row else None


async def _visible_face(change: PeopleChange, name: FaceName, or_of: UUID | None = None) -> FaceRow:
    """The face of this name; ``or_of`` is another person it may be of, so that a call can be repeated."""
    face = await change.rows.get_face(name.face)
    if face is None or not face.visible:
        raise face_not_found(name)
    root = await _root_of(change, face)
    if name.person is not None and (root is None or root not in (name.person, or_of)):
        raise face_not_found(name, face_name(root, face.uuid))
    return face


async def _group_for(change: PeopleChange, person: UUID | None, descriptor: bytes) -> UUID:
    """The group of a person that a face is put to: the look that it is like, or a new one.

    Groups that were merged into the person are passed by: what is decided now must not leave with them.
    """
    if person is None:
        return change.add_person(time_uuid(change.now_us)).uuid
    row = await _listed(change, person)
    if not descriptor or not row.likeness.samples:
        return person
    looks = [part for part in await change.tree(person) if part.look and part.parent == person]
    distances = {look.uuid: look.likeness.squared_distance(descriptor) for look in (row, *looks)}
    nearest = min(distances, key=lambda look: (distances[look], look))
    if distances[nearest] < SAME_PERSON**2 or len(looks) >= _MAX_LOOKS:
        return nearest
    return change.add_person(time_uuid(change.now_us), row).uuid


async def _finish_face(change: PeopleChange, face: FaceRow) -> ShownFace:
    await change.finish()
    frame = await change.rows.find_image(face.number)
    if frame is None:
        raise image_not_found(face.number)
    return ShownFace(face, await _root_of(change, face), (frame.width, frame.height))


def _same_request(known: FaceRow, new: NewFace, frame: ImageFrame) -> FaceRow:
    if (known.number, known.box) != (frame.number, new.box):
        raise AlreadyExistsError(
            Reason.REQUEST_ID_REUSED,
            "This request_id came with another image or box before; use a new one for each face.",
            request_id=new.request_id,
        )
    return known


def _refuse_outside(new: NewFace, frame: ImageFrame) -> None:
    x, y, width, height = new.box
    if min(x, y) < 0 or min(width, height) < 1 or x + width > frame.width or y + height > frame.height:
        raise invalid_field("face.box", f"Inside the image, which has {frame.width} x {frame.height} pixels.")


async def _refuse_known(change: PeopleChange, new: NewFace, frame: ImageFrame) -> None:
    known = await change.rows.faces_of_image(frame.number)
    if len(known) >= MAX_FACES_AN_IMAGE:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"The image has {len(known)} faces already; {MAX_FACES_AN_IMAGE} is the most to draw on one.",
            state="full",
        )
    if known and (overlap := overlaps([new.box], [face.box for face in known])).max() >= SAME_FACE_OVERLAP:
        face = known[int(overlap.argmax())]
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            f"There is a face at this place already: {face_name(await _root_of(change, face), face.uuid)}. "
            "Move that one.",
            state="ignored" if face.decision is Decision.IGNORED else "known",
        )
