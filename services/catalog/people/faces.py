"""Faces of an image as its analyses come and go; what people decided of them stays."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from services.catalog.findings import FoundFace
from services.catalog.people.boxes import match_boxes
from services.catalog.people.change import PeopleChange
from services.catalog.people.model import DESCRIPTOR_BYTES, FaceRow, Placed, Placement, time_uuid

# Descriptors have a length of about 1.4; numbers beyond this are those of another kind of thing.
_LARGEST = 100.0
# Of UUIDs within one microsecond; see time_uuid.
_PLACES = 4_096


async def replace_faces(
    change: PeopleChange, number: int, image: uuid.UUID, found: Sequence[FoundFace]
) -> None:
    """Makes the faces that were found those of an image.

    A box that overlaps a known one is that face and keeps its name, its person and what was decided of it.
    Known faces that are not found go, but for those that somebody drew or decided about.
    """
    known = await change.rows.faces_of_image(number)
    matched = match_boxes([face.box for face in known], [face.box for face in found])
    kept = {known[old].uuid for old in matched.values()}
    for face in known:
        if face.uuid not in kept and not face.is_kept:
            await change.drop_face(face)
    for place, seen in enumerate(found):
        if place in matched:
            face = known[matched[place]]
            await change.change_face(face, _seen_again(face, seen))
        else:
            await change.add_face(_new_face(number, image, seen, time_uuid(change.now_us, place)))
    await change.finish()


async def drop_faces(change: PeopleChange, number: int) -> None:
    """Removes all faces of an image."""
    for face in await change.rows.faces_of_image(number):
        await change.drop_face(face)
    await change.finish()


async def show_faces(change: PeopleChange, number: int, *, visible: bool) -> None:
    """Takes the faces of an image into lists and counts, or out of them."""
    for face in await change.rows.faces_of_image(number):
        await change.change_face(face, replace(face, visible=visible))
    await change.finish()


async def place_faces(change: PeopleChange, placements: Sequence[Placement], seen: int) -> Placed:
    """See ``PeopleStore.place_faces``."""
    if await change.rows.last_sequence() != seen:
        return Placed(applied=False)
    gone: set[uuid.UUID] = set()
    for placement in placements:
        face = await change.rows.get_face(placement.face)
        if face is None or not face.waits:
            continue
        if await change.person(placement.person) is None:
            if not placement.new:
                gone.add(placement.person)
                continue
            change.add_person(placement.person)
        await change.change_face(face, replace(face, person=placement.person))
    await change.finish()
    return Placed(True, frozenset(gone))


def time_names(now_us: int, count: int) -> Iterator[bytes]:
    """The bytes of ``count`` UUIDs as ``time_uuid`` makes them, those that follow one another for less."""
    for place in range(count):
        if place % _PLACES == 0:
            first = time_uuid(now_us).int
        yield (first + (place % _PLACES << 50)).to_bytes(16, "big")


def usable_descriptor(seen: FoundFace) -> bytes:
    """The descriptor, or none where it is no such thing: one that is not finite would poison its person."""
    if len(seen.descriptor) != DESCRIPTOR_BYTES:
        return b""
    largest = np.abs(np.frombuffer(seen.descriptor, np.float32)).max()
    return seen.descriptor if largest < _LARGEST else b""


def _seen_again(face: FaceRow, seen: FoundFace) -> FaceRow:
    # An analysis without descriptors says nothing of those that are known.
    face = replace(face, descriptor=usable_descriptor(seen) or face.descriptor)
    return face if face.by_hand else replace(face, box=seen.box, confidence=seen.confidence)


def _new_face(number: int, image: uuid.UUID, seen: FoundFace, name: uuid.UUID) -> FaceRow:
    return FaceRow(name, number, image, seen.box, seen.confidence, usable_descriptor(seen))
