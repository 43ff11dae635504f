"""What a client asks about people: who there is, what they are called, who is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

from google.protobuf import field_mask_pb2

from sightmill.connection import Connection
from sightmill.paging import pages
from sightmill.v1 import people_pb2

PersonName: TypeAlias = str | people_pb2.Person


class PeopleCalls(Connection):
    """Calls of ``PeopleService``. A person is named by the name ``people/{person}`` or a ``Person``."""

    async def list_people(
        self, *, show_hidden: bool = False, page_size: int = 0
    ) -> AsyncIterator[people_pb2.Person]:
        """All people."""

        async def fetch(token: str) -> tuple[Sequence[people_pb2.Person], str]:
            request = people_pb2.ListPeopleRequest(
                page_size=page_size, page_token=token, show_hidden=show_hidden
            )
            answer = await self._call(self._people.ListPeople, request)
            return answer.people, answer.next_page_token

        async for person in pages(fetch):
            yield person

    async def get_person(self, person: PersonName) -> people_pb2.Person:
        """One person."""
        request = people_pb2.GetPersonRequest(name=person_name(person))
        answer = await self._call(self._people.GetPerson, request)
        return answer.person

    async def list_person_faces(
        self, person: PersonName, *, page_size: int = 0
    ) -> AsyncIterator[people_pb2.PersonFace]:
        """All faces of a person."""

        async def fetch(token: str) -> tuple[Sequence[people_pb2.PersonFace], str]:
            request = people_pb2.ListPersonFacesRequest(
                parent=person_name(person), page_size=page_size, page_token=token
            )
            answer = await self._call(self._people.ListPersonFaces, request)
            return answer.faces, answer.next_page_token

        async for face in pages(fetch):
            yield face

    async def update_person(
        self, person: PersonName, *, display_name: str | None = None, hidden: bool | None = None
    ) -> people_pb2.Person:
        """Names or hides a person."""
        changes = {"display_name": display_name, "hidden": hidden}
        paths = [path for path, value in changes.items() if value is not None]
        changed = people_pb2.Person(
            name=person_name(person), display_name=display_name or "", hidden=bool(hidden)
        )
        request = people_pb2.UpdatePersonRequest(
            person=changed, update_mask=field_mask_pb2.FieldMask(paths=paths)
        )
        answer = await self._call(self._people.UpdatePerson, request)
        return answer.person

    async def merge_people(self, person: PersonName, sources: Sequence[PersonName]) -> people_pb2.Person:
        """Makes others, 1 to 100, part of a person."""
        names = [person_name(source) for source in sources]
        request = people_pb2.MergePeopleRequest(name=person_name(person), sources=names)
        answer = await self._call_once(self._people.MergePeople, request)
        return answer.person

    async def unmerge_person(self, person: PersonName, source: PersonName) -> people_pb2.Person:
        """Brings back a person that was merged into another."""
        request = people_pb2.UnmergePersonRequest(name=person_name(person), source=person_name(source))
        answer = await self._call_once(self._people.UnmergePerson, request)
        return answer.person


def person_name(person: PersonName) -> str:
    """The name of a person given by name or as a message."""
    return person.name if isinstance(person, people_pb2.Person) else person
