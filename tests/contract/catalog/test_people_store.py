"""The port PeopleStore: what people decide, over every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.catalog.people.model import (
    FaceName,
    NewFace,
    PersonChange,
    PersonRow,
    Placed,
    Placement,
    ShownFace,
)
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.people_adapters import STORES, Seen, World, open_world, seen, shot

LEFT, MIDDLE, RIGHT = (10, 10, 50, 50), (200, 10, 50, 50), (400, 10, 50, 50)


@pytest.fixture(params=STORES)
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with open_world(request.param, tmp_path, clock) as opened:
        yield opened


async def refused(call: Any, reason: errors_pb2.ErrorReason.ValueType) -> str:
    with pytest.raises(ServiceError) as refusal:
        await call
    assert refusal.value.reason == reason, refusal.value
    return refusal.value.message


def name_of(shown: ShownFace) -> FaceName:
    return FaceName(shown.person, shown.face.uuid)


async def person_of(world: World, who: int, shots: int) -> PersonRow:
    """A person of whom there are that many shots, each in an image of its own."""
    before = {person.uuid for person in await world.everybody()}
    for number in range(shots):
        await world.photo(seen(who, number))
    (person,) = [person for person in await world.placed() if person.uuid not in before]
    assert person.face_count == shots
    return person


async def test_faces_wait_as_of_nobody_until_they_are_placed(world: World) -> None:
    image = await world.photo(seen(1))
    (shown,) = await world.faces(None)
    assert (shown.person, shown.face.image, shown.size) == (None, image, (640, 480))
    assert not shown.face.decision
    (person,) = await world.placed()
    assert (person.face_count, person.cover) == (1, shown.face.uuid)
    assert await world.faces(None) == []
    assert [face.face.uuid for face in await world.faces(person.uuid)] == [shown.face.uuid]


async def test_a_face_without_descriptor_stays_with_nobody_until_somebody_moves_it(world: World) -> None:
    await world.photo(Seen(LEFT))
    assert await world.placed() == []
    (shown,) = await world.faces(None)
    moved = await world.people.move_face(name_of(shown), None)
    (person,) = await world.everybody()
    assert moved.person == person.uuid
    assert await world.faces(None) == []


async def test_people_with_most_faces_come_first_page_by_page(world: World) -> None:
    sizes = {1: 1, 2: 3, 3: 1, 4: 2}
    for who, shots in sizes.items():
        await person_of(world, who, shots)
    listed: list[PersonRow] = []
    after = None
    while True:
        page = await world.people.list_people(1, after, hidden=False)
        listed += page.people
        if (after := page.next) is None:
            break
    assert [person.face_count for person in listed] == [3, 2, 1, 1]
    assert len({person.uuid for person in listed}) == 4
    assert listed == await world.everybody()


async def test_faces_of_a_merged_person_come_page_by_page(world: World) -> None:
    people = [await person_of(world, who, 3) for who in (1, 2, 3)]
    await world.people.merge_people(people[1].uuid, [people[0].uuid, people[2].uuid])
    listed: list[UUID] = []
    after = None
    while True:
        page = await world.people.list_faces(people[1].uuid, 2, after)
        assert {shown.person for shown in page.faces} == {people[1].uuid}
        listed += [shown.face.uuid for shown in page.faces]
        if (after := page.next) is None:
            break
    assert len(listed) == len(set(listed)) == 9


async def test_a_name_and_hiding_are_kept_and_checked_by_etag(world: World) -> None:
    person = await person_of(world, 1, 2)
    named = await world.people.update_person(person.uuid, PersonChange(display_name="Ada"), person.revision)
    assert (named.display_name, named.revision) == ("Ada", person.revision + 1)
    await refused(
        world.people.update_person(person.uuid, PersonChange(hidden=True), person.revision),
        Reason.ETAG_MISMATCH,
    )
    await world.people.update_person(person.uuid, PersonChange(hidden=True), None)
    assert (await world.people.list_people(10, None, hidden=False)).people == ()
    assert [person.display_name for person in await world.everybody()] == ["Ada"]
    assert (await world.people.get_person(person.uuid)).hidden


async def test_a_chosen_cover_stays_and_a_lost_one_is_replaced(world: World) -> None:
    person = await person_of(world, 1, 3)
    faces = await world.faces(person.uuid)
    chosen = next(shown for shown in faces if shown.face.uuid != person.cover)
    change = PersonChange(cover=(chosen.face.uuid,))
    assert (await world.people.update_person(person.uuid, change, None)).cover == chosen.face.uuid
    await world.images.hide_image(chosen.face.image)
    assert (await world.people.get_person(person.uuid)).cover in {
        shown.face.uuid for shown in faces if shown != chosen
    }
    await world.images.restore_image(chosen.face.image)
    assert (await world.people.get_person(person.uuid)).cover == chosen.face.uuid
    other = await person_of(world, 2, 1)
    assert other.cover is not None
    await refused(
        world.people.update_person(person.uuid, PersonChange(cover=(other.cover,)), None),
        Reason.INVALID_FIELD,
    )


async def test_a_merge_takes_everything_and_unmerging_brings_it_back(world: World) -> None:
    target, source = await person_of(world, 1, 2), await person_of(world, 2, 3)
    before = {shown.face.uuid for shown in await world.faces(source.uuid)}
    merged = await world.people.merge_people(target.uuid, [source.uuid])
    assert (merged.face_count, len(await world.faces(target.uuid))) == (5, 5)
    again = await world.people.merge_people(target.uuid, [source.uuid])
    assert again == merged
    message = await refused(world.people.get_person(source.uuid), Reason.PERSON_NOT_FOUND)
    assert str(target.uuid) in message
    back = await world.people.unmerge_person(target.uuid, source.uuid)
    assert (back.uuid, back.face_count) == (source.uuid, 3)
    assert {shown.face.uuid for shown in await world.faces(source.uuid)} == before
    assert (await world.people.get_person(target.uuid)).face_count == 2
    await refused(world.people.unmerge_person(target.uuid, source.uuid), Reason.WRONG_STATE)


async def test_a_merged_person_brings_what_was_merged_into_it(world: World) -> None:
    one, two, three = [await person_of(world, who, who) for who in (1, 2, 3)]
    await world.people.merge_people(two.uuid, [one.uuid])
    await world.people.merge_people(three.uuid, [two.uuid])
    message = await refused(world.people.unmerge_person(three.uuid, one.uuid), Reason.WRONG_STATE)
    assert str(two.uuid) in message
    assert (await world.people.unmerge_person(three.uuid, two.uuid)).face_count == 3
    assert (await world.people.unmerge_person(two.uuid, one.uuid)).face_count == 1
    assert sorted(person.face_count for person in await world.everybody()) == [1, 2, 3]


async def test_a_face_moved_since_the_merge_does_not_go_back(world: World) -> None:
    target, source = await person_of(world, 1, 1), await person_of(world, 2, 2)
    kept, gone = await world.faces(source.uuid)
    await world.people.merge_people(target.uuid, [source.uuid])
    moved = await world.people.move_face(FaceName(target.uuid, kept.face.uuid), target.uuid)
    assert moved.person == target.uuid
    back = await world.people.unmerge_person(target.uuid, source.uuid)
    assert [shown.face.uuid for shown in await world.faces(back.uuid)] == [gone.face.uuid]
    assert (await world.people.get_person(target.uuid)).face_count == 2


async def test_later_faces_follow_a_merge_and_the_end_of_it(world: World) -> None:
    target, source = await person_of(world, 1, 2), await person_of(world, 2, 2)
    await world.people.merge_people(target.uuid, [source.uuid])
    image = await world.photo(seen(2, 7))
    assert [person.face_count for person in await world.placed()] == [5]
    await world.people.unmerge_person(target.uuid, source.uuid)
    assert (await world.face_in(image)).person == source.uuid
    for who, person in ((1, target), (2, source)):
        later = await world.photo(seen(who, 8))
        await world.placed()
        assert (await world.face_in(later)).person == person.uuid


async def test_a_moved_face_draws_those_like_it_and_never_goes_back(world: World) -> None:
    ada, ben = await person_of(world, 1, 3), await person_of(world, 2, 1)
    odd = (await world.faces(ada.uuid))[0]
    moved = await world.people.move_face(name_of(odd), ben.uuid)
    assert moved.person == ben.uuid
    for number in range(10, 14):
        await world.photo(seen(1, number), seen(2, number, MIDDLE))
    await world.placed()
    (still,) = [shown for shown in await world.all_faces() if shown.face.uuid == odd.face.uuid]
    assert still.person == ben.uuid
    # Ben still looks like Ben although a face that is not like him was put there.
    later = await world.photo(seen(2, 20))
    await world.placed()
    assert (await world.face_in(later)).person == ben.uuid


async def test_a_face_can_be_moved_to_a_new_person_and_the_call_be_repeated(world: World) -> None:
    person = await person_of(world, 1, 2)
    shown = (await world.faces(person.uuid))[0]
    alone = await world.people.move_face(name_of(shown), None)
    assert alone.person not in (None, person.uuid)
    assert alone.person is not None
    once = await world.people.move_face(FaceName(None, shown.face.uuid), person.uuid)
    message = await refused(world.people.ignore_face(name_of(alone)), Reason.PERSON_NOT_FOUND)
    assert str(person.uuid) in message
    twice = await world.people.move_face(name_of(alone), person.uuid)
    assert once == twice
    assert [person.face_count for person in await world.everybody()] == [2]


async def test_an_ignored_face_is_nowhere_and_can_be_taken_back(world: World) -> None:
    person = await person_of(world, 1, 1)
    (shown,) = await world.faces(person.uuid)
    await world.people.ignore_face(name_of(shown))
    await world.people.ignore_face(name_of(shown))
    assert await world.placed() == []
    assert await world.faces(None) == []
    await world.analyse(shown.face.image, seen(1))
    assert await world.placed() == []
    back = await world.people.move_face(FaceName(None, shown.face.uuid), None)
    assert [person.uuid for person in await world.everybody()] == [back.person]


async def test_a_new_analysis_keeps_who_a_face_is_of(world: World) -> None:
    image = await world.photo(seen(1, 0, LEFT), seen(2, 0, RIGHT))
    await world.placed()
    people = {
        shown.face.box: shown
        for person in await world.everybody()
        for shown in await world.faces(person.uuid)
    }
    named = await world.people.update_person(
        people[LEFT].person or uuid4(), PersonChange(display_name="Ada"), None
    )
    # Seen in another order, a little aside, and the descriptor of somebody else.
    await world.analyse(image, seen(5, 0, (402, 12, 50, 50)), seen(6, 0, (13, 11, 50, 52)))
    await world.placed()
    (shown,) = await world.faces(named.uuid)
    assert (shown.face.uuid, shown.face.box) == (people[LEFT].face.uuid, (13, 11, 50, 52))
    assert len(await world.everybody()) == 2


async def test_faces_that_are_not_found_any_more_go_unless_somebody_decided(world: World) -> None:
    image = await world.photo(seen(1, 0, LEFT), seen(2, 0, MIDDLE), seen(3, 0, RIGHT))
    people = await world.placed()
    boxes = {(await world.faces(person.uuid))[0].face.box: person.uuid for person in people}
    confirmed = (await world.faces(boxes[MIDDLE]))[0]
    await world.people.move_face(name_of(confirmed), boxes[MIDDLE])
    drawn = await world.people.create_face(NewFace(boxes[MIDDLE], image, (100, 300, 40, 40)))
    await world.analyse(image, seen(1, 0, LEFT))
    assert {person.uuid for person in await world.placed()} == {boxes[LEFT], boxes[MIDDLE]}
    assert {shown.face.uuid for shown in await world.faces(boxes[MIDDLE])} == {
        confirmed.face.uuid,
        drawn.face.uuid,
    }
    await world.analyse(image)
    assert [person.uuid for person in await world.everybody()] == [boxes[MIDDLE]]


async def test_a_drawn_face_learns_its_descriptor_and_keeps_its_box(world: World) -> None:
    image = await world.photo()
    drawn = await world.people.create_face(NewFace(None, image, LEFT))
    await world.analyse(image, seen(1, 0, (12, 13, 49, 49)))
    await world.photo(seen(1, 1))
    (person,) = await world.placed()
    faces = {shown.face.uuid: shown.face for shown in await world.faces(person.uuid)}
    assert (len(faces), faces[drawn.face.uuid].box) == (2, LEFT)
    assert faces[drawn.face.uuid].confidence == 1.0


async def test_nothing_is_left_of_people_that_were_merged_and_lost_their_faces(world: World) -> None:
    target, source = await person_of(world, 1, 1), await person_of(world, 2, 1)
    images = [(await world.faces(person.uuid))[0].face.image for person in (target, source)]
    await world.people.merge_people(target.uuid, [source.uuid])
    await world.images.delete_image(images[0])
    assert [(person.uuid, person.face_count) for person in await world.everybody()] == [(target.uuid, 1)]
    await world.images.delete_image(images[1])
    assert (await world.people.read_likenesses(-1, 10)).people == ()


async def test_people_without_faces_go_unless_they_have_a_name(world: World) -> None:
    ada, ben = await person_of(world, 1, 1), await person_of(world, 2, 1)
    await world.people.update_person(ada.uuid, PersonChange(display_name="Ada"), None)
    for person in (ada, ben):
        (shown,) = await world.faces(person.uuid)
        await world.images.delete_image(shown.face.image)
    assert [(person.uuid, person.face_count, person.cover) for person in await world.everybody()] == [
        (ada.uuid, 0, None)
    ]
    await refused(world.people.get_person(ben.uuid), Reason.PERSON_NOT_FOUND)
    await world.people.update_person(ada.uuid, PersonChange(display_name=""), None)
    assert await world.everybody() == []


async def test_faces_of_hidden_images_are_not_listed_nor_counted(world: World) -> None:
    person = await person_of(world, 1, 2)
    first, second = await world.faces(person.uuid)
    await world.images.hide_image(first.face.image)
    assert (await world.people.get_person(person.uuid)).face_count == 1
    assert await world.faces(person.uuid) == [second]
    await refused(world.people.ignore_face(name_of(first)), Reason.PERSON_NOT_FOUND)
    await world.images.hide_image(second.face.image)
    assert await world.everybody() == []
    await world.images.restore_image(first.face.image)
    await world.images.restore_image(second.face.image)
    assert await world.faces(person.uuid) == [first, second]
    waiting = await world.photo(seen(9))
    await world.images.hide_image(waiting)
    assert (len(await world.placed()), await world.faces(None)) == (1, [])
    await world.images.restore_image(waiting)
    assert len(await world.placed()) == 2


async def test_a_drawn_face_is_one_however_often_it_is_sent(world: World) -> None:
    image = await world.photo()
    new = NewFace(None, image, (600, 440, 40, 40), "r1")
    drawn = await world.people.create_face(new)
    assert (drawn.person, drawn.face.confidence, drawn.face.by_hand) == (None, 1.0, True)
    assert await world.people.create_face(new) == drawn
    assert await world.faces(None) == [drawn]
    other = NewFace(None, image, (0, 0, 40, 40), "r1")
    await refused(world.people.create_face(other), Reason.REQUEST_ID_REUSED)
    message = await refused(
        world.people.create_face(NewFace(None, image, (601, 440, 39, 40))), Reason.WRONG_STATE
    )
    assert str(drawn.face.uuid) in message


@pytest.mark.parametrize(
    "box", [(601, 0, 40, 40), (0, 441, 40, 40), (-1, 0, 9, 9), (5, 5, 0, 9), (5, 5, 9, 0)]
)
async def test_a_drawn_face_lies_inside_its_image(world: World, box: tuple[int, int, int, int]) -> None:
    image = await world.photo()
    await refused(world.people.create_face(NewFace(None, image, box)), Reason.INVALID_FIELD)


async def test_what_does_not_exist_is_refused(world: World) -> None:
    person = await person_of(world, 1, 1)
    (shown,) = await world.faces(person.uuid)
    nobody = uuid4()
    people = world.people
    for call in (
        people.get_person(nobody),
        people.update_person(nobody, PersonChange(hidden=True), None),
        people.merge_people(nobody, [person.uuid]),
        people.merge_people(person.uuid, [nobody]),
        people.unmerge_person(person.uuid, nobody),
        people.list_faces(nobody, 10, None),
        people.move_face(name_of(shown), nobody),
        people.move_face(FaceName(None, nobody), person.uuid),
        people.move_face(FaceName(nobody, shown.face.uuid), None),
        people.ignore_face(FaceName(nobody, shown.face.uuid)),
        people.create_face(NewFace(nobody, shown.face.image, RIGHT)),
    ):
        await refused(call, Reason.PERSON_NOT_FOUND)
    for image in (nobody, 4_711):
        await refused(people.create_face(NewFace(None, image, RIGHT)), Reason.IMAGE_NOT_FOUND)
    await refused(people.merge_people(person.uuid, [person.uuid]), Reason.INVALID_FIELD)
    assert await world.everybody() == [person]


async def test_a_refused_merge_merges_nothing(world: World) -> None:
    target, source = await person_of(world, 1, 1), await person_of(world, 2, 1)
    await refused(world.people.merge_people(target.uuid, [source.uuid, uuid4()]), Reason.PERSON_NOT_FOUND)
    assert len(await world.everybody()) == 2


async def test_placements_are_stored_once_and_only_as_long_as_nothing_changed(world: World) -> None:
    await world.photo(seen(1))
    (face,) = await world.people.faces_to_place(10)
    seen_before = (await world.people.read_likenesses(0, 10)).last
    first, second = uuid4(), uuid4()
    placed = await world.people.place_faces([Placement(face.uuid, first, new=True)], seen_before)
    assert placed == Placed(applied=True)
    late = await world.people.place_faces([Placement(face.uuid, second, new=True)], seen_before)
    assert late == Placed(applied=False)
    likenesses = await world.people.read_likenesses(seen_before, 10)
    assert [person.uuid for person in likenesses.people] == [first]
    taken = await world.people.place_faces([Placement(face.uuid, second, new=True)], likenesses.last)
    assert taken == Placed(applied=True)
    assert [person.uuid for person in await world.everybody()] == [first]


async def test_a_face_is_not_placed_with_a_person_that_is_gone(world: World) -> None:
    await world.photo(seen(1))
    (face,) = await world.people.faces_to_place(10)
    gone = uuid4()
    last = (await world.people.read_likenesses(0, 10)).last
    placed = await world.people.place_faces([Placement(face.uuid, gone, new=False)], last)
    assert placed.gone == {gone}
    assert len(await world.people.faces_to_place(10)) == 1


async def test_descriptors_that_are_none_wait_for_nobody(world: World) -> None:
    poison = (float("nan"), *shot(1)[1:])
    await world.photo(Seen(LEFT, poison), Seen(MIDDLE, shot(2)[:64]), Seen(RIGHT, (1e30,) * 128))
    assert await world.people.faces_to_place(10) == []
    assert len(await world.faces(None)) == 3
