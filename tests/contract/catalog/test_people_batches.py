"""Faces of many images that come with one batch of outcomes, over every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.states import ImageState
from tests.contract.catalog.adapters import Clock, analysis, new_image, outcome
from tests.contract.catalog.people_adapters import STORES, World, open_world, result_of, seen

LEFT, RIGHT = (10, 10, 50, 50), (400, 10, 50, 50)


@pytest.fixture(params=STORES)
async def world(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    async with open_world(request.param, tmp_path, clock) as opened:
        yield opened


async def test_each_image_of_a_batch_gets_its_faces_and_keeps_known_ones(world: World) -> None:
    known = await world.photo(seen(1, box=LEFT))
    (before,) = await world.faces(None)
    new = [(await world.images.create_image(new_image(f"new {place}"), ""))[0].uuid for place in range(3)]
    hidden = new[2]
    boxes = {known: (LEFT, RIGHT), new[0]: (LEFT, RIGHT), new[1]: (RIGHT,), hidden: (LEFT,)}
    batch = []
    for image, places in boxes.items():
        record = await world.images.get_image(image, with_results=False)
        result = result_of([seen(place, box=box) for place, box in enumerate(places, 5)])
        found = replace(analysis(version="later", result=result), sha256=record.image.sha256)
        batch.append(outcome(image, found, state=ImageState.PROCESSED))
    await world.images.hide_image(hidden)
    assert not any(await world.images.write_outcomes(batch))
    shown = await world.faces(None)
    assert {image: {face.face.box for face in shown if face.face.image == image} for image in boxes} == {
        **{image: set(places) for image, places in boxes.items()},
        hidden: set(),
    }
    assert before.face.uuid in {face.face.uuid for face in shown}
    assert len({face.face.uuid for face in shown}) == len(shown) == 5
    assert all(face.face.confidence == pytest.approx(0.9) and face.face.descriptor for face in shown)
    assert sum(person.face_count for person in await world.placed()) == 5
    await world.images.restore_image(hidden)
    assert [face.face.image for face in await world.faces(None)] == [hidden]
