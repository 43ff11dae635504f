"""PeopleService: messages in, store calls, messages out."""

from __future__ import annotations

from typing import Any

import grpc

from services.catalog.names import image_name
from services.catalog.people.model import Decision, PersonRow, ShownFace
from services.catalog.people.names import face_name, parse_face_name, parse_person_name, person_name
from services.catalog.people.requests import (
    face_place,
    parse_face_list,
    parse_merge,
    parse_new_face,
    parse_people_list,
    parse_person_update,
    people_place,
)
from services.catalog.people.store import PeopleStore
from services.catalog.requests.page_tokens import make_page_token
from sightmill.v1 import common_pb2, people_pb2, people_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PeopleServicer(people_pb2_grpc.PeopleServiceServicer):
    """See the contract."""

    def __init__(self, store: PeopleStore) -> None:
        self._store = store

    async def GetPerson(
        self, request: people_pb2.GetPersonRequest, context: Context
    ) -> people_pb2.GetPersonResponse:
        """See the contract."""
        person = await self._store.get_person(parse_person_name(request.name))
        return people_pb2.GetPersonResponse(person=person_message(person))

    async def ListPeople(
        self, request: people_pb2.ListPeopleRequest, context: Context
    ) -> people_pb2.ListPeopleResponse:
        """See the contract."""
        size, after, bound_to = parse_people_list(request)
        page = await self._store.list_people(size, after, hidden=request.show_hidden)
        return people_pb2.ListPeopleResponse(
            people=[person_message(person) for person in page.people],
            next_page_token=make_page_token(bound_to, people_place(page.next)),
        )

    async def UpdatePerson(
        self, request: people_pb2.UpdatePersonRequest, context: Context
    ) -> people_pb2.UpdatePersonResponse:
        """See the contract."""
        person = await self._store.update_person(*parse_person_update(request))
        return people_pb2.UpdatePersonResponse(person=person_message(person))

    async def MergePeople(
        self, request: people_pb2.MergePeopleRequest, context: Context
    ) -> people_pb2.MergePeopleResponse:
        """See the contract."""
        person = await self._store.merge_people(*parse_merge(request))
        return people_pb2.MergePeopleResponse(person=person_message(person))

    async def UnmergePerson(
        self, request: people_pb2.UnmergePersonRequest, context: Context
    ) -> people_pb2.UnmergePersonResponse:
        """See the contract."""
        target, source = parse_person_name(request.name), parse_person_name(request.source)
        person = await self._store.unmerge_person(target, source)
        return people_pb2.UnmergePersonResponse(person=person_message(person))

    async def ListPersonFaces(
        self, request: people_pb2.ListPersonFacesRequest, context: Context
    ) -> people_pb2.ListPersonFacesResponse:
        """See the contract."""
        person, size, after, bound_to = parse_face_list(request)
        page = await self._store.list_faces(person, size, after)
        return people_pb2.ListPersonFacesResponse(
            faces=[face_message(shown) for shown in page.faces],
            next_page_token=make_page_token(bound_to, face_place(page.next)),
        )

    async def MovePersonFace(
        self, request: people_pb2.MovePersonFaceRequest, context: Context
    ) -> people_pb2.MovePersonFaceResponse:
        """See the contract."""
        person = parse_person_name(request.person) if request.person else None
        shown = await self._store.move_face(parse_face_name(request.name), person)
        return people_pb2.MovePersonFaceResponse(face=face_message(shown))

    async def IgnorePersonFace(
        self, request: people_pb2.IgnorePersonFaceRequest, context: Context
    ) -> people_pb2.IgnorePersonFaceResponse:
        """See the contract."""
        await self._store.ignore_face(parse_face_name(request.name))
        return people_pb2.IgnorePersonFaceResponse()

    async def CreatePersonFace(
        self, request: people_pb2.CreatePersonFaceRequest, context: Context
    ) -> people_pb2.CreatePersonFaceResponse:
        """See the contract."""
        shown = await self._store.create_face(parse_new_face(request))
        return people_pb2.CreatePersonFaceResponse(face=face_message(shown))


def person_message(row: PersonRow) -> people_pb2.Person:
    """A person as the contract shows it."""
    message = people_pb2.Person(
        name=person_name(row.uuid),
        display_name=row.display_name,
        face_count=row.face_count,
        cover_face=face_name(row.uuid, row.cover) if row.cover else "",
        hidden=row.hidden,
        etag=str(row.revision),
    )
    message.create_time.FromMicroseconds(row.create_time_us)
    message.update_time.FromMicroseconds(row.update_time_us)
    return message


def face_message(shown: ShownFace) -> people_pb2.PersonFace:
    """A face as the contract shows it."""
    face, (width, height) = shown.face, shown.size
    x, y, box_width, box_height = face.box
    box = common_pb2.BoundingBox(
        x=x,
        y=y,
        width=box_width,
        height=box_height,
        normalized=common_pb2.NormalizedBox(
            x=x / width, y=y / height, width=box_width / width, height=box_height / height
        ),
    )
    return people_pb2.PersonFace(
        name=face_name(shown.person, face.uuid),
        image=image_name(face.image),
        box=box,
        confidence=face.confidence,
        confirmed=face.by_hand or face.decision is Decision.CONFIRMED,
    )
