"""What the rules of people ask of the rows of a store, within one change or one read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol

from services.catalog.names import ImageKey
from services.catalog.people.model import FaceRow, ImageFrame, PersonPlace, PersonRow


class PeopleRows(Protocol):
    """Rows as they are, with the writes of the same change; no rules. Faces and people come by uuid.

    Coroutines, because one store answers over the wire; that of SQLite never waits.
    """

    async def get_face(self, face: uuid.UUID) -> FaceRow | None:
        """One face."""
        ...

    async def faces_of_image(self, number: int) -> list[FaceRow]:
        """All faces of an image."""
        ...

    async def faces_of_group(self, group: uuid.UUID, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """Visible faces of one group, ascending, above ``after``."""
        ...

    async def faces_of_nobody(self, after: uuid.UUID | None, most: int) -> list[FaceRow]:
        """Visible faces without a group that are not ignored, ascending, above ``after``."""
        ...

    async def faces_to_place(self, most: int) -> list[FaceRow]:
        """The first faces that wait to be placed by their looks."""
        ...

    async def has_faces(self, group: uuid.UUID) -> bool:
        """Whether a group has any face, visible or not."""
        ...

    async def find_request(self, request_id: str) -> FaceRow | None:
        """The face that was drawn by a request."""
        ...

    async def put_face(self, face: FaceRow) -> None:
        """Adds or replaces a face."""
        ...

    async def drop_face(self, face: uuid.UUID) -> None:
        """Removes a face."""
        ...

    async def get_person(self, person: uuid.UUID) -> PersonRow | None:
        """One group."""
        ...

    async def list_people(self, after: PersonPlace | None, most: int, *, hidden: bool) -> list[PersonRow]:
        """Listed people by falling number of faces and falling uuid, below ``after``."""
        ...

    async def people_of_root(self, root: uuid.UUID) -> list[PersonRow]:
        """A person and all groups that are part of it, ascending."""
        ...

    async def parts_of(self, parent: uuid.UUID) -> list[uuid.UUID]:
        """The groups that were merged into this one directly."""
        ...

    async def people_since(self, sequence: int, most: int) -> list[PersonRow]:
        """Groups with a higher sequence, ascending by it."""
        ...

    async def put_person(self, person: PersonRow) -> None:
        """Adds or replaces a group."""
        ...

    async def drop_person(self, person: uuid.UUID) -> None:
        """Removes a group."""
        ...

    async def last_sequence(self) -> int:
        """The last sequence that was taken; 0 before the first."""
        ...

    async def take_sequences(self, count: int) -> int:
        """Takes ``count`` sequences that nobody else gets; gives the first of them."""
        ...

    async def find_image(self, key: ImageKey) -> ImageFrame | None:
        """An image that is not deleted."""
        ...

    async def frames_of(self, numbers: Sequence[int]) -> dict[int, ImageFrame]:
        """Images by number that are not deleted."""
        ...
