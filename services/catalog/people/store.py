"""What PeopleService and the clustering ask of a store, and how every store answers.

Promises are those of ``services.catalog.store``. An unknown person, one that was merged and one that has
neither faces nor a name are ``NotFoundError(PERSON_NOT_FOUND)``. Faces of images that are not shown are
neither listed nor counted. A face of no visible image is not found.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from services.catalog.people import decisions, reads
from services.catalog.people.change import PeopleChange
from services.catalog.people.faces import place_faces
from services.catalog.people.model import (
    FaceName,
    FacePage,
    FacePlace,
    FaceRow,
    Likenesses,
    NewFace,
    PeoplePage,
    PersonChange,
    PersonPlace,
    PersonRow,
    Placed,
    Placement,
    ShownFace,
)
from services.catalog.people.rows import PeopleRows

T = TypeVar("T")


class PeopleStore(Protocol):
    """People and their faces."""

    async def get_person(self, person: UUID) -> PersonRow:
        """One person."""
        ...

    async def list_people(self, size: int, after: PersonPlace | None, *, hidden: bool) -> PeoplePage:
        """A page of people, those with most faces first; ``hidden`` takes in hidden ones."""
        ...

    async def update_person(self, person: UUID, said: PersonChange, revision: int | None) -> PersonRow:
        """Changes what people say of a person.

        ``AbortedError(ETAG_MISMATCH)`` when ``revision`` is given and not current,
        ``InvalidArgumentError(INVALID_FIELD)`` for a cover that is no face of this person.
        """
        ...

    async def merge_people(self, target: UUID, sources: Sequence[UUID]) -> PersonRow:
        """Makes the sources part of the target; those that are already are passed by.

        Each source keeps its faces and its likeness below the target: later faces that look like a source are
        the target's as long as the merge holds.
        """
        ...

    async def unmerge_person(self, target: UUID, source: UUID) -> PersonRow:
        """Brings a source back: with the faces that it had and those that clustering put to its likeness
        since, without those that people moved since.

        ``FailedPreconditionError(WRONG_STATE)`` when it was not merged into the target itself.
        """
        ...

    async def list_faces(self, person: UUID | None, size: int, after: FacePlace | None) -> FacePage:
        """A page of the faces of a person, those of each part together; None for faces of nobody that are
        not ignored."""
        ...

    async def move_face(self, name: FaceName, person: UUID | None) -> ShownFace:
        """Says whose a face is, None for a new person; also of one that was ignored."""
        ...

    async def ignore_face(self, name: FaceName) -> None:
        """Says that a face is of no interest; again is harmless."""
        ...

    async def create_face(self, new: NewFace) -> ShownFace:
        """Adds a face that somebody drew; the same ``request_id`` gives the face that it made.

        ``NotFoundError(IMAGE_NOT_FOUND)``, ``InvalidArgumentError(INVALID_FIELD)`` for a box that is not
        inside the image, ``FailedPreconditionError(WRONG_STATE)`` where there is a face already,
        ``AlreadyExistsError(REQUEST_ID_REUSED)``.
        """
        ...

    async def faces_to_place(self, most: int) -> list[FaceRow]:
        """The first faces with a descriptor that nobody has placed, in the order they came."""
        ...

    async def read_likenesses(self, after: int, most: int) -> Likenesses:
        """Groups whose likeness changed after a sequence."""
        ...

    async def place_faces(self, placements: Sequence[Placement], seen: int) -> Placed:
        """Puts faces that still wait to people; others are passed by.

        Nothing happens unless ``seen`` is the last sequence of all likenesses.
        """
        ...


class StoredPeople(ABC):
    """See ``PeopleStore``: the same rules over the rows of any store."""

    @abstractmethod
    async def _change(self, work: Callable[[PeopleChange], Coroutine[Any, Any, T]]) -> T:
        """Runs a change, all or nothing."""

    @abstractmethod
    async def _read(self, work: Callable[[PeopleRows], Coroutine[Any, Any, T]]) -> T:
        """Runs a read."""

    async def get_person(self, person: UUID) -> PersonRow:
        """See ``PeopleStore``."""
        return await self._read(lambda rows: reads.get_person(rows, person))

    async def list_people(self, size: int, after: PersonPlace | None, *, hidden: bool) -> PeoplePage:
        """See ``PeopleStore``."""
        return await self._read(lambda rows: reads.list_people(rows, size, after, hidden=hidden))

    async def update_person(self, person: UUID, said: PersonChange, revision: int | None) -> PersonRow:
        """See ``PeopleStore``."""
        return await self._change(lambda change: decisions.update_person(change, person, said, revision))

    async def merge_people(self, target: UUID, sources: Sequence[UUID]) -> PersonRow:
        """See ``PeopleStore``."""
        return await self._change(lambda change: decisions.merge_people(change, target, sources))

    async def unmerge_person(self, target: UUID, source: UUID) -> PersonRow:
        """See ``PeopleStore``."""
        return await self._change(lambda change: decisions.unmerge_person(change, target, source))

    async def list_faces(self, person: UUID | None, size: int, after: FacePlace | None) -> FacePage:
        """See ``PeopleStore``."""
        return await self._read(lambda rows: reads.list_faces(rows, person, size, after))

    async def move_face(self, name: FaceName, person: UUID | None) -> ShownFace:
        """See ``PeopleStore``."""
        return await self._change(lambda change: decisions.move_face(change, name, person))

    async def ignore_face(self, name: FaceName) -> None:
        """See ``PeopleStore``."""
        await self._change(lambda change: decisions.ignore_face(change, name))

    async def create_face(self, new: NewFace) -> ShownFace:
        """See ``PeopleStore``."""
        return await self._change(lambda change: decisions.create_face(change, new))

    async def faces_to_place(self, most: int) -> list[FaceRow]:
        """See ``PeopleStore``."""
        return await self._read(lambda rows: rows.faces_to_place(most))

    async def read_likenesses(self, after: int, most: int) -> Likenesses:
        """See ``PeopleStore``."""
        return await self._read(lambda rows: reads.read_likenesses(rows, after, most))

    async def place_faces(self, placements: Sequence[Placement], seen: int) -> Placed:
        """See ``PeopleStore``."""
        return await self._change(lambda change: place_faces(change, placements, seen))
