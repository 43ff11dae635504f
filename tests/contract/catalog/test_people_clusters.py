"""Clustering: who is put together, in whatever pieces and by however many keepers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from services.catalog.people.clusters import PeopleKeeper
from services.catalog.people.index import MOST_FACES
from services.catalog.people.model import FaceName
from services.runtime.errors import InvalidArgumentError, NotFoundError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.people_adapters import STORES, World, open_world, seen

WAIT_S = 20.0


@pytest.fixture(params=STORES)
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with open_world(request.param, tmp_path, clock) as opened:
        yield opened


async def shots_of(world: World, people: int, shots: int) -> dict[UUID, int]:
    """Images of everybody in a random order; whose each is."""
    order = list(itertools.product(range(people), range(shots)))
    mixed = [order[place] for place in np.random.default_rng(people).permutation(len(order))]
    return {await world.photo(seen(who, number)): who for who, number in mixed}


async def groups_of(world: World) -> set[frozenset[UUID]]:
    """The images of each person, as they were placed."""
    people = await world.everybody()
    return {frozenset([shown.face.image for shown in await world.faces(person.uuid)]) for person in people}


def groups_by(truth: dict[UUID, int]) -> set[frozenset[UUID]]:
    return {frozenset(image for image in truth if truth[image] == who) for who in truth.values()}


async def test_shots_of_a_person_come_together_across_batches(world: World) -> None:
    truth = await shots_of(world, 8, 6)
    assert len(truth) > MOST_FACES
    await world.keeper.place_all()
    assert await groups_of(world) == groups_by(truth)


async def test_a_keeper_that_starts_later_goes_on_where_the_other_one_was(world: World) -> None:
    truth = await shots_of(world, 3, 2)
    await world.keeper.place_all()
    truth |= {await world.photo(seen(who, 10)): who for who in range(3)}
    await PeopleKeeper(world.people).place_all()
    truth |= {await world.photo(seen(who, 11)): who for who in range(3)}
    await world.keeper.place_all()
    assert await groups_of(world) == groups_by(truth)


async def test_keepers_at_the_same_time_make_one_person_of_one(world: World) -> None:
    truth = await shots_of(world, 5, 4)
    await asyncio.gather(*(PeopleKeeper(world.people).place_all() for _ in range(3)))
    assert await groups_of(world) == groups_by(truth)


async def test_decisions_while_keepers_are_at_work_leave_exact_counts(world: World) -> None:
    truth = await shots_of(world, 4, 5)

    async def decide() -> None:
        for _ in range(4):
            try:
                faces, people = await world.all_faces(), await world.everybody()
            except NotFoundError:  # merged with somebody between the look at people and that at their faces
                continue
            for shown, person in zip(faces, people, strict=False):
                name = FaceName(None, shown.face.uuid)
                with suppress(NotFoundError):  # somebody may be gone by now
                    await world.people.move_face(name, person.uuid)
            with suppress(NotFoundError, IndexError, InvalidArgumentError):  # nobody else yet
                await world.people.merge_people(people[0].uuid, [people[-1].uuid])

    async def rid() -> None:
        for image in [*truth][:5]:
            await world.images.delete_image(image)

    keepers = [PeopleKeeper(world.people).place_all() for _ in range(2)]
    await asyncio.gather(*keepers, decide(), decide(), rid())
    await world.keeper.place_all()
    assert await world.faces(None) == []
    assert {shown.face.image for shown in await world.all_faces()} == {*truth} - {*[*truth][:5]}
    for person in await world.everybody():
        assert person.face_count == len(await world.faces(person.uuid)) > 0


async def test_somebody_who_vanished_meanwhile_comes_anew(world: World) -> None:
    image = await world.photo(seen(1, 0))
    (before,) = await world.placed()
    # With the next face the keeper learns what became of the one before.
    other = await world.photo(seen(2, 0))
    await world.placed()
    await world.images.delete_image(image)
    await world.images.delete_image(other)
    await world.photo(seen(1, 1))
    async with asyncio.timeout(WAIT_S):
        (after,) = await world.placed()
    assert (after.face_count, after.uuid == before.uuid) == (1, False)


@pytest.mark.parametrize("told", [True, False])
async def test_a_running_keeper_places_what_comes_and_stops(world: World, told: bool) -> None:
    changed, stopping = asyncio.Event(), asyncio.Event()
    keeper = PeopleKeeper(world.people, changed, poll_s=WAIT_S if told else 0.01)
    running = asyncio.create_task(keeper.run(stopping))
    for number in range(2):
        await world.photo(seen(1, number))
        async with asyncio.timeout(WAIT_S / 2):
            while [person.face_count for person in await world.everybody()] != [number + 1]:
                if told:
                    changed.set()
    stopping.set()
    async with asyncio.timeout(WAIT_S / 2):
        await running


async def test_a_keeper_outlives_a_store_that_fails(world: World) -> None:
    class Failing(PeopleKeeper):
        failed = 0

        async def place_some(self) -> bool:
            self.failed += 1
            if self.failed == 1:
                raise RuntimeError("out of order")
            return await super().place_some()

    stopping = asyncio.Event()
    keeper = Failing(world.people, poll_s=0.01)
    running = asyncio.create_task(keeper.run(stopping))
    await world.photo(seen(1))
    async with asyncio.timeout(WAIT_S):
        while not await world.everybody():
            pass
    stopping.set()
    await running
    assert keeper.failed > 1
