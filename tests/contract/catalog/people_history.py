"""What must be so of people after any history, as a few dictionaries know it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from services.catalog.people.model import Decision, PersonRow, ShownFace


@dataclass(slots=True)
class ModelPeople:
    """Merges and decisions as they were made; faces and people by uuid.

    ``homes`` holds whom a face can have been put to: several where it was placed with somebody that others
    were merged into, fewer as unmerging tells them apart. ``kept`` are the images of faces that no analysis
    may take away.
    """

    parents: dict[UUID, UUID] = field(default_factory=dict)
    homes: dict[UUID, set[UUID]] = field(default_factory=dict)
    confirmed: set[UUID] = field(default_factory=set)
    ignored: set[UUID] = field(default_factory=set)
    kept: dict[UUID, UUID] = field(default_factory=dict)
    named: set[UUID] = field(default_factory=set)

    def root(self, person: UUID) -> UUID:
        while person in self.parents:
            person = self.parents[person]
        return person

    def is_below(self, person: UUID, top: UUID) -> bool:
        while person != top and person in self.parents:
            person = self.parents[person]
        return person == top

    def surely_of(self, top: UUID, shown: Iterable[ShownFace]) -> bool:
        """Whether a face is shown that can only have been put to ``top`` or what was merged into it."""
        homes = [self.homes[face.face.uuid] for face in shown if face.face.uuid in self.homes]
        return any(all(self.is_below(person, top) for person in home) for home in homes)

    def confirm(self, shown: ShownFace) -> None:
        assert shown.person is not None
        self.homes[shown.face.uuid] = {shown.person}
        self.kept[shown.face.uuid] = shown.face.image
        self.confirmed.add(shown.face.uuid)
        self.ignored.discard(shown.face.uuid)

    def ignore(self, face: UUID) -> None:
        self.forget([face])
        self.ignored.add(face)

    def forget(self, faces: Iterable[UUID]) -> None:
        for face in faces:
            self.homes.pop(face, None)
            self.kept.pop(face, None)
            self.confirmed.discard(face)
            self.ignored.discard(face)

    def check(self, people: list[PersonRow], shown: list[ShownFace], images: Iterable[UUID]) -> None:
        """Every face is in one place, where it was put; counts, covers and lists are right."""
        names = [face.face.uuid for face in shown]
        assert len(names) == len(set(names))
        assert not self.ignored & set(names)
        visible = set(images)
        assert {face for face, image in self.kept.items() if image in visible} <= set(names)
        for person in people:
            own = [face.face.uuid for face in shown if face.person == person.uuid]
            assert person.face_count == len(own)
            assert (person.cover in own) if own else (person.cover is None and person.uuid in self.named)
            assert person.uuid not in self.parents
        for face in shown:
            self._check_home(face)

    def _check_home(self, shown: ShownFace) -> None:
        face = shown.face
        assert (face.decision is Decision.CONFIRMED) == (face.uuid in self.confirmed)
        if shown.person is None:
            assert face.uuid not in self.homes
            return
        everybody = {shown.person, *self.parents}
        known = self.homes.get(face.uuid, everybody)
        self.homes[face.uuid] = {person for person in known if self.root(person) == shown.person}
        assert self.homes[face.uuid], "a face went to somebody whom it was never put to"
