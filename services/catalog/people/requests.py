"""What requests about people may say: checks them and turns them into plain data."""

from __future__ import annotations

import re
from uuid import UUID

from services.catalog.names import parse_image_name
from services.catalog.people.model import FacePlace, NewFace, PersonChange, PersonPlace
from services.catalog.people.names import parse_face_name, parse_parent, parse_person_name
from services.catalog.refusals import invalid_field
from services.catalog.requests.lists import parse_page_size
from services.catalog.requests.page_tokens import everything_but_the_page, read_count_token, read_text_token
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import people_pb2

MAX_SOURCES = 100
MAX_NAME_CHARS = 255
_REQUEST_ID = re.compile(r"[\x20-\x7e]{0,128}")
_REVISION = re.compile(r"[1-9][0-9]{0,17}")
_CHANGEABLE = ("display_name", "hidden", "cover_face")
# An edge that derives the mask from a body names these, too; they say which person and which revision.
_NAMING = frozenset({"name", "etag"})


def parse_people_list(request: people_pb2.ListPeopleRequest) -> tuple[int, PersonPlace | None, bytes]:
    """Size, place, and what the next page's request must have in common with this one."""
    bound_to = everything_but_the_page(request)
    size = parse_page_size(request.page_size)
    place = read_count_token(bound_to, request.page_token)
    return size, (place[0], _uuid_in_token(place[1])) if place else None, bound_to


def people_place(place: PersonPlace | None) -> tuple[int, str] | None:
    """The place as it stands in a token."""
    return (place[0], str(place[1])) if place else None


def parse_face_list(
    request: people_pb2.ListPersonFacesRequest,
) -> tuple[UUID | None, int, FacePlace | None, bytes]:
    """Person, size, place, and what the next page's request must have in common with this one."""
    bound_to = everything_but_the_page(request)
    size = parse_page_size(request.page_size)
    text = read_text_token(bound_to, request.page_token)
    place = None
    if text is not None:
        group, _, face = text.partition("/")
        place = _uuid_in_token(group) if group else None, _uuid_in_token(face)
    return parse_parent(request.parent), size, place, bound_to


def face_place(place: FacePlace | None) -> tuple[str] | None:
    """The place as it stands in a token."""
    return (f"{place[0] or ''}/{place[1]}",) if place else None


def parse_person_update(request: people_pb2.UpdatePersonRequest) -> tuple[UUID, PersonChange, int | None]:
    """The person, the change, and the revision that the caller has seen, if they say."""
    person = request.person
    paths = set(request.update_mask.paths) - _NAMING
    if not paths or not paths <= set(_CHANGEABLE):
        raise invalid_field("update_mask", f"Name what to change, one or more of {', '.join(_CHANGEABLE)}.")
    if "display_name" in paths and len(person.display_name) > MAX_NAME_CHARS:
        raise invalid_field("person.display_name", f"At most {MAX_NAME_CHARS} characters.")
    key = parse_person_name(person.name)
    change = PersonChange(
        display_name=person.display_name if "display_name" in paths else None,
        hidden=person.hidden if "hidden" in paths else None,
        cover=_parse_cover(key, person.cover_face) if "cover_face" in paths else None,
    )
    return key, change, _parse_etag(person.etag)


def parse_merge(request: people_pb2.MergePeopleRequest) -> tuple[UUID, list[UUID]]:
    """The person that stays, and those that become part of it."""
    if not 1 <= len(request.sources) <= MAX_SOURCES:
        raise invalid_field("sources", f"1 to {MAX_SOURCES} people.")
    return parse_person_name(request.name), [parse_person_name(source) for source in request.sources]


def parse_new_face(request: people_pb2.CreatePersonFaceRequest) -> NewFace:
    """The face to add."""
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise invalid_field("request_id", "At most 128 printable ASCII characters.")
    if not request.face.HasField("box"):
        raise invalid_field("face.box", "The place of the face in pixels of the upright image.")
    box = request.face.box
    return NewFace(
        person=parse_parent(request.parent),
        image=parse_image_name(request.face.image),
        box=(box.x, box.y, box.width, box.height),
        request_id=request.request_id,
    )


def _parse_cover(person: UUID, name: str) -> tuple[UUID, ...]:
    if not name:
        return ()
    face = parse_face_name(name)
    if face.person not in (None, person):
        raise invalid_field("person.cover_face", "A face of this person, or empty.")
    return (face.face,)


def _parse_etag(etag: str) -> int | None:
    # Anything that was never given out is of no revision at all, and so of none that is current.
    if not etag:
        return None
    return int(etag) if _REVISION.fullmatch(etag) else 0


def _uuid_in_token(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidArgumentError(
            Reason.INVALID_PAGE_TOKEN, "The page token is malformed; pass next_page_token back as it came."
        ) from None
