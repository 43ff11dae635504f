"""Random histories of analyses, clustering and decisions: what people decided is never undone."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.catalog.people.clusters import PeopleKeeper
from services.catalog.people.model import Box, FaceName, NewFace, PersonChange, PersonRow, ShownFace
from services.runtime.errors import NotFoundError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.people_adapters import STORES, Seen, World, open_world, shot
from tests.contract.catalog.people_history import ModelPeople

T = TypeVar("T")
BOXES: tuple[Box, ...] = ((10, 10, 50, 50), (200, 10, 50, 50), (400, 10, 50, 50))
# Who is at each of the three places: three people, nobody, or somebody without a descriptor.
SIGHTS = st.tuples(*[st.sampled_from((None, 0, 1, 2, 3))] * 3)
PICKS = st.integers(0, 1_000)


class PeopleHistory(RuleBasedStateMachine):
    """One history; ``kind`` is set by the test."""

    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sightmill-people-"))
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        opening = self.stack.enter_async_context(open_world(type(self).kind, self.folder, Clock()))
        self.world: World = self.run(opening)
        self.model = ModelPeople()
        self.images: list[UUID] = []
        self.hidden: list[UUID] = []
        self.shots = 0
        self.people: list[PersonRow] = []
        self.shown: list[ShownFace] = []

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def sight(self, who: tuple[int | None, ...]) -> list[Seen]:
        self.shots += 1
        return [
            Seen(box, shot(person, self.shots) if person else ())
            for box, person in zip(BOXES, who, strict=True)
            if person is not None
        ]

    def face(self, pick: int) -> ShownFace:
        return self.shown[pick % len(self.shown)]

    def person(self, pick: int) -> UUID:
        return self.people[pick % len(self.people)].uuid

    @rule(who=SIGHTS)
    def photo(self, who: tuple[int | None, ...]) -> None:
        self.images.append(self.run(self.world.photo(*self.sight(who))))

    @precondition(lambda self: self.images)
    @rule(pick=PICKS, who=SIGHTS)
    def analyse(self, pick: int, who: tuple[int | None, ...]) -> None:
        image = self.images[pick % len(self.images)]
        self.run(self.world.analyse(image, *self.sight(who)))

    @rule(restart=st.booleans())
    def cluster(self, restart: bool) -> None:
        if restart:
            self.world.keeper = PeopleKeeper(self.world.people)
        self.run(self.world.keeper.place_all())
        assert self.run(self.world.people.faces_to_place(1)) == []

    @precondition(lambda self: len(self.people) > 1)
    @rule(one=PICKS, other=PICKS)
    def merge(self, one: int, other: int) -> None:
        target, source = self.person(one), self.person(other)
        if target != source:
            merged = self.run(self.world.people.merge_people(target, [source]))
            self.model.parents[source] = target
            assert merged.uuid == target

    @precondition(lambda self: self.model.parents)
    @rule(pick=PICKS)
    def unmerge(self, pick: int) -> None:
        listed = {person.uuid for person in self.people}
        merged = [source for source, target in self.model.parents.items() if target in listed]
        if not merged:
            return
        source = merged[pick % len(merged)]
        sure = self.model.surely_of(source, self.shown)
        target = self.model.parents.pop(source)
        with suppress(NotFoundError):  # nothing may be left of it
            assert self.run(self.world.people.unmerge_person(target, source)).uuid == source
            return
        assert not sure

    @precondition(lambda self: self.shown)
    @rule(pick=PICKS, who=PICKS, new=st.booleans())
    def move(self, pick: int, who: int, new: bool) -> None:
        face = self.face(pick)
        target = None if new or not self.people else self.person(who)
        moved = self.run(self.world.people.move_face(FaceName(face.person, face.face.uuid), target))
        assert target in (None, moved.person)
        self.model.confirm(moved)

    @precondition(lambda self: self.shown)
    @rule(pick=PICKS, back=st.booleans())
    def ignore(self, pick: int, back: bool) -> None:
        face = self.face(pick)
        self.run(self.world.people.ignore_face(FaceName(face.person, face.face.uuid)))
        self.model.ignore(face.face.uuid)
        if back:
            moved = self.run(self.world.people.move_face(FaceName(None, face.face.uuid), None))
            self.model.confirm(moved)

    @precondition(lambda self: self.people)
    @rule(pick=PICKS, name=st.sampled_from(["", "Ada"]))
    def name(self, pick: int, name: str) -> None:
        person = self.person(pick)
        self.run(self.world.people.update_person(person, PersonChange(display_name=name), None))
        (self.model.named.add if name else self.model.named.discard)(person)

    @precondition(lambda self: self.images)
    @rule(pick=PICKS, who=PICKS, nobody=st.booleans())
    def draw(self, pick: int, who: int, nobody: bool) -> None:
        self.shots += 1
        image = self.images[pick % len(self.images)]
        person = None if nobody or not self.people else self.person(who)
        box = (self.shots % 600, 100 + 40 * (self.shots // 600), 1, 30)
        drawn = self.run(self.world.people.create_face(NewFace(person, image, box)))
        self.model.kept[drawn.face.uuid] = image
        if person:
            self.model.confirm(drawn)

    @precondition(lambda self: self.images)
    @rule(pick=PICKS)
    def hide(self, pick: int) -> None:
        image = self.images.pop(pick % len(self.images))
        self.run(self.world.images.hide_image(image))
        self.hidden.append(image)

    @precondition(lambda self: self.hidden)
    @rule(pick=PICKS)
    def restore(self, pick: int) -> None:
        image = self.hidden.pop(pick % len(self.hidden))
        self.run(self.world.images.restore_image(image))
        self.images.append(image)

    @precondition(lambda self: self.images)
    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        image = self.images.pop(pick % len(self.images))
        self.run(self.world.images.delete_image(image))
        self.model.forget([face for face, kept in self.model.kept.items() if kept == image])

    @invariant()
    def everything_is_where_it_belongs(self) -> None:
        self.people = self.run(self.world.everybody())
        self.shown = self.run(self.world.all_faces())
        self.model.check(self.people, self.shown, self.images)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", STORES)
def test_no_history_undoes_what_people_decided(kind: str) -> None:
    class History(PeopleHistory):
        pass

    History.kind = kind
    run_state_machine_as_test(
        History,
        settings=settings(
            # The server that the tests have for MongoDB is not made for speed.
            max_examples=20 if kind == "sqlite" else 5,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )
