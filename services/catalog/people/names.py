"""Names of people and faces: ``people/{uuid}`` and ``people/{uuid}/faces/{uuid}``; "-" for nobody."""

from __future__ import annotations

import re
from uuid import UUID

from services.catalog.people.model import FaceName
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason

NOBODY = "people/-"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PERSON = re.compile(f"people/({_UUID})")
_FACE = re.compile(f"people/({_UUID}|-)/faces/({_UUID})")
_MAX_SHOWN_CHARS = 100


def person_name(person: UUID | None) -> str:
    """The resource name of a person; None is nobody."""
    return f"people/{person}" if person else NOBODY


def face_name(person: UUID | None, face: UUID) -> str:
    """The resource name of a face."""
    return f"{person_name(person)}/faces/{face}"


def parse_person_name(name: str) -> UUID:
    """Raises ``InvalidArgumentError(INVALID_NAME)``, as all parsers here do."""
    found = _PERSON.fullmatch(name)
    if found is None:
        raise _invalid("A person's name is people/ and a UUID in lower case.", name)
    return UUID(found[1])


def parse_parent(name: str) -> UUID | None:
    """A person, or None for nobody."""
    return None if name == NOBODY else parse_person_name(name)


def parse_face_name(name: str) -> FaceName:
    """A face of a person, or, by ``people/-``, of whoever it is."""
    found = _FACE.fullmatch(name)
    if found is None:
        raise _invalid(
            "A face's name is people/PERSON/faces/FACE with UUIDs in lower case; PERSON may be -.", name
        )
    return FaceName(None if found[1] == "-" else UUID(found[1]), UUID(found[2]))


def person_not_found(person: UUID, merged_into: UUID | None = None) -> NotFoundError:
    """The answer when there is no such person, or one that is part of another now."""
    way_out = (
        f"It is part of {person_name(merged_into)} now; use that one, or unmerge it there."
        if merged_into
        else "It may have lost its last face, or have been merged."
    )
    name = person_name(person)
    return NotFoundError(Reason.PERSON_NOT_FOUND, f"There is no person {name}. {way_out}", name=name)


def face_not_found(name: FaceName, now: str = "") -> NotFoundError:
    """The answer when there is no such face, or when it is of somebody else; ``now`` is its name now."""
    asked = face_name(name.person, name.face)
    way_out = f"It is {now} now." if now else "Its image may have been deleted, or analysed again without it."
    return NotFoundError(Reason.PERSON_NOT_FOUND, f"There is no face {asked}. {way_out}", name=asked)


def _invalid(rule: str, name: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_NAME, rule, name=name[:_MAX_SHOWN_CHARS])
