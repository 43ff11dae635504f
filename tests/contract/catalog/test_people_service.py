"""PeopleService over gRPC: a real server with the interceptors of every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.catalog.people.servicer import PeopleServicer
from services.runtime.channels import open_channel
from services.runtime.errors import Reason
from services.runtime.interceptors import interceptor_chain
from services.runtime.statuses import from_rpc_error
from services.runtime.telemetry import build_metrics
from sightmill.v1 import errors_pb2, people_pb2, people_pb2_grpc
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.people_adapters import STORES, World, message_of, open_world, seen

MAX_MESSAGE_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Served:
    people: people_pb2_grpc.PeopleServiceAsyncStub
    world: World

    async def everybody(self, **fields: Any) -> list[people_pb2.Person]:
        answer = await self.people.ListPeople(people_pb2.ListPeopleRequest(**fields))
        return list(answer.people)

    async def faces(self, parent: str) -> list[people_pb2.PersonFace]:
        answer = await self.people.ListPersonFaces(people_pb2.ListPersonFacesRequest(parent=parent))
        return list(answer.faces)

    async def update(self, paths: list[str], **fields: Any) -> people_pb2.Person:
        request = people_pb2.UpdatePersonRequest(
            person=people_pb2.Person(**fields), update_mask=FieldMask(paths=paths)
        )
        return (await self.people.UpdatePerson(request)).person


@pytest.fixture(params=STORES)
async def served(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Served]:
    async with open_world(request.param, tmp_path, clock) as world:
        server = grpc.aio.server(interceptors=interceptor_chain(build_metrics(), 1_000, asyncio.Event()))
        people_pb2_grpc.add_PeopleServiceServicer_to_server(PeopleServicer(world.people), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with open_channel(f"127.0.0.1:{port}", MAX_MESSAGE_BYTES) as channel:
            stub: Any = people_pb2_grpc.PeopleServiceStub(channel)
            yield Served(stub, world)
        await server.stop(0)


async def refused(call: Awaitable[object], reason: errors_pb2.ErrorReason.ValueType) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    error = from_rpc_error(refusal.value)
    assert error.reason == reason, error
    assert refusal.value.code() is error.code
    return error.message


async def test_the_whole_story_of_two_people(served: Served) -> None:
    people = served.people
    for number in range(3):
        await served.world.photo(seen(1, number), seen(2, number, (320, 240, 64, 48)))
    await served.world.keeper.place_all()
    one, two = await served.everybody()
    assert (one.face_count, two.face_count) == (3, 3)
    assert one.cover_face in {face.name for face in await served.faces(one.name)}

    named = await served.update(["display_name", "name"], name=one.name, display_name="Ada", etag=one.etag)
    assert (named.display_name, named.etag == one.etag) == ("Ada", False)
    assert named.update_time.ToMicroseconds() > one.update_time.ToMicroseconds()

    merged = (
        await people.MergePeople(people_pb2.MergePeopleRequest(name=one.name, sources=[two.name]))
    ).person
    assert (merged.name, merged.face_count) == (one.name, 6)
    await refused(people.GetPerson(people_pb2.GetPersonRequest(name=two.name)), Reason.PERSON_NOT_FOUND)
    back = (
        await people.UnmergePerson(people_pb2.UnmergePersonRequest(name=one.name, source=two.name))
    ).person
    assert (back.name, back.face_count) == (two.name, 3)

    face = (await served.faces(two.name))[0]
    assert not face.confirmed
    moved = (
        await people.MovePersonFace(people_pb2.MovePersonFaceRequest(name=face.name, person=one.name))
    ).face
    assert moved.name == face.name.replace(two.name, one.name)
    assert moved.confirmed
    await people.IgnorePersonFace(people_pb2.IgnorePersonFaceRequest(name=moved.name))
    assert moved.name not in {face.name for face in await served.faces(one.name)}
    alone = (
        await people.MovePersonFace(
            people_pb2.MovePersonFaceRequest(name=f"people/-/{moved.name.split('/', 2)[2]}")
        )
    ).face
    assert alone.name.split("/faces/")[0] not in (one.name, two.name)
    assert [person.face_count for person in await served.everybody()] == [3, 2, 1]


async def test_a_drawn_face_is_shown_in_pixels_and_in_shares(served: Served) -> None:
    image = await served.world.photo()
    face = people_pb2.PersonFace(image=f"images/{image}", box=message_of((320, 240, 64, 48)))
    request = people_pb2.CreatePersonFaceRequest(parent="people/-", face=face, request_id="r1")
    drawn = (await served.people.CreatePersonFace(request)).face
    assert (drawn.image, drawn.confidence, drawn.confirmed) == (f"images/{image}", 1.0, True)
    shares = drawn.box.normalized
    assert (shares.x, shares.y, shares.width, shares.height) == (0.5, 0.5, 0.1, 0.1)
    assert (await served.people.CreatePersonFace(request)).face == drawn
    assert await served.faces("people/-") == [drawn]


async def test_lists_page_by_token_and_refuse_the_token_of_another(served: Served) -> None:
    for who in range(3):
        await served.world.photo(seen(who, 0), seen(who, 1, (320, 240, 64, 48)))
    await served.world.keeper.place_all()
    names, token = [], ""
    for _ in range(3):
        answer = await served.people.ListPeople(people_pb2.ListPeopleRequest(page_size=1, page_token=token))
        names += [person.name for person in answer.people]
        token, last = answer.next_page_token, token
    assert token == ""
    assert names == [person.name for person in await served.everybody()]
    await refused(
        served.people.ListPeople(people_pb2.ListPeopleRequest(page_token=last, show_hidden=True)),
        Reason.INVALID_PAGE_TOKEN,
    )
    first = await served.people.ListPersonFaces(
        people_pb2.ListPersonFacesRequest(parent=names[0], page_size=1)
    )
    request = people_pb2.ListPersonFacesRequest(parent=names[0], page_token=first.next_page_token)
    rest = await served.people.ListPersonFaces(request)
    assert [*first.faces, *rest.faces] == await served.faces(names[0])
    request.parent = names[1]
    await refused(served.people.ListPersonFaces(request), Reason.INVALID_PAGE_TOKEN)


async def test_a_hidden_person_is_listed_on_request(served: Served) -> None:
    await served.world.photo(seen(1))
    await served.world.keeper.place_all()
    (person,) = await served.everybody()
    await served.update(["hidden"], name=person.name, hidden=True)
    assert await served.everybody() == []
    assert [hidden.name for hidden in await served.everybody(show_hidden=True)] == [person.name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "people",
        "people/",
        "people/1",
        "people/0198c0de-0000-7000-8000-000000000001/",
        "images/1",
        "people/-",
    ],
)
async def test_names_have_one_form(served: Served, name: str) -> None:
    people = served.people
    known = f"people/{uuid4()}"
    for call in (
        people.GetPerson(people_pb2.GetPersonRequest(name=name)),
        served.update(["hidden"], name=name),
        people.MergePeople(people_pb2.MergePeopleRequest(name=name, sources=[known])),
        people.MergePeople(people_pb2.MergePeopleRequest(name=known, sources=[name])),
        people.UnmergePerson(people_pb2.UnmergePersonRequest(name=known, source=name)),
        people.MovePersonFace(people_pb2.MovePersonFaceRequest(name=name)),
        people.IgnorePersonFace(people_pb2.IgnorePersonFaceRequest(name=name)),
    ):
        await refused(call, Reason.INVALID_NAME)


async def test_fields_are_checked_and_the_rule_is_named(served: Served) -> None:
    people = served.people
    name = f"people/{uuid4()}"
    box = message_of((0, 0, 9, 9))
    for call, rule in (
        (served.update([], name=name), "display_name, hidden, cover_face"),
        (served.update(["face_count"], name=name), "display_name, hidden, cover_face"),
        (served.update(["display_name"], name=name, display_name="x" * 256), "255"),
        (served.update(["cover_face"], name=name, cover_face=f"people/{uuid4()}/faces/{uuid4()}"), "this"),
        (people.MergePeople(people_pb2.MergePeopleRequest(name=name)), "1 to 100"),
        (people.MergePeople(people_pb2.MergePeopleRequest(name=name, sources=[name] * 101)), "1 to 100"),
        (people.ListPeople(people_pb2.ListPeopleRequest(page_size=-1)), "1,000"),
        (
            people.CreatePersonFace(
                people_pb2.CreatePersonFaceRequest(
                    parent=name, face=people_pb2.PersonFace(image="images/1", box=box), request_id="\n"
                )
            ),
            "printable",
        ),
        (
            people.CreatePersonFace(
                people_pb2.CreatePersonFaceRequest(parent=name, face=people_pb2.PersonFace(image="images/1"))
            ),
            "place",
        ),
    ):
        assert rule in await refused(call, Reason.INVALID_FIELD)
    await refused(served.update(["hidden"], name=name), Reason.PERSON_NOT_FOUND)
