"""One change of faces and people: counts, likenesses and covers stay right whatever moves.

Faces are written as they change. People are read once and written once, by ``finish``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from services.catalog.people.model import FaceRow, Likeness, PersonRow
from services.catalog.people.rows import PeopleRows
from services.catalog.people.trees import tree_below

Reshape = Callable[[Likeness], Likeness]


class PeopleChange:
    """A change in the making; ``finish`` must be the last call. ``now_us`` becomes the time of the change."""

    def __init__(self, rows: PeopleRows, now_us: int) -> None:
        self.rows = rows
        self.now_us = now_us
        self._before: dict[uuid.UUID, PersonRow | None] = {}
        self._people: dict[uuid.UUID, PersonRow] = {}
        self._reshaped: set[uuid.UUID] = set()
        self._gone: dict[uuid.UUID, PersonRow] = {}
        self._left: list[uuid.UUID] = []
        self._uncovered: set[uuid.UUID] = set()

    async def person(self, person: uuid.UUID) -> PersonRow | None:
        """A group as this change has it so far."""
        if person not in self._before:
            self._keep(person, await self.rows.get_person(person))
        return self._people.get(person)

    async def tree(self, root: uuid.UUID) -> list[PersonRow]:
        """A person and everything that is part of it."""
        for row in await self.rows.people_of_root(root):
            if row.uuid not in self._before:
                self._keep(row.uuid, row)
        return [row for row in self._people.values() if row.root == root]

    def put(self, row: PersonRow) -> None:
        """Adds a group, or replaces one that was read before."""
        self._before.setdefault(row.uuid, None)
        self._people[row.uuid] = row

    def add_person(self, person: uuid.UUID, parent: PersonRow | None = None) -> PersonRow:
        """A new group: a person, or another look of one."""
        row = PersonRow(
            uuid=person,
            root=parent.root if parent else person,
            parent=parent.uuid if parent else None,
            look=parent is not None,
            create_time_us=self.now_us,
            update_time_us=self.now_us,
        )
        self.put(row)
        return row

    async def add_face(self, face: FaceRow) -> None:
        """A face that is new."""
        await self._enter(face)
        await self.rows.put_face(face)

    async def change_face(self, before: FaceRow, after: FaceRow) -> None:
        """A face that changed, wherever it was and is now."""
        if before == after:
            return
        moved = (before.person, before.visible, before.descriptor)
        if moved != (after.person, after.visible, after.descriptor):
            await self._leave(before)
            await self._enter(after)
        await self.rows.put_face(after)

    async def drop_face(self, face: FaceRow) -> None:
        """A face that is gone."""
        await self._leave(face)
        await self.rows.drop_face(face.uuid)

    async def merge(self, source: PersonRow, target: uuid.UUID) -> None:
        """Makes a root part of another that was read before."""
        for row in await self.tree(source.uuid):
            self.put(replace(row, root=target))
        self.put(replace(self._people[source.uuid], parent=target, face_count=0))
        whole = self._people[target]
        count, cover = whole.face_count + source.face_count, whole.cover or source.cover
        self.put(replace(whole, face_count=count, cover=cover))

    async def unmerge(self, source: PersonRow) -> None:
        """Cuts a part off again, with everything that is part of it."""
        target = source.root
        below = tree_below(source.uuid, await self.tree(target))
        for row in below:
            self.put(replace(row, root=source.uuid))
        count = sum(row.own_count for row in below)
        self.put(replace(self._people[source.uuid], parent=None, face_count=count))
        whole = self._people[target]
        self.put(replace(whole, face_count=whole.face_count - count))
        self.doubt(source.uuid)
        self.doubt(target)

    def doubt(self, person: uuid.UUID) -> None:
        """Has the cover of a person picked again, and sees whether anything keeps it."""
        self._uncovered.add(person)
        self._left.append(person)

    def written(self, person: uuid.UUID) -> PersonRow:
        """A person as ``finish`` left it."""
        return self._people.get(person) or self._gone[person]

    async def finish(self) -> None:
        """Writes the people; those that nothing is left of, and that have no name, go."""
        for left in self._left:
            await self._vanish(left)
        for root in self._uncovered & self._people.keys():
            await self._cover(self._people[root])
        changed = [row for row in self._people.values() if row != self._before[row.uuid]]
        reshaped = [row.uuid for row in changed if row.uuid in self._reshaped]
        first = await self.rows.take_sequences(len(reshaped)) if reshaped else 0
        sequences = {group: first + place for place, group in enumerate(reshaped)}
        for row in changed:
            known = self._before[row.uuid] is not None
            final = replace(row, sequence=sequences.get(row.uuid, row.sequence))
            self._people[row.uuid] = final.touched(self.now_us) if known else final
            await self.rows.put_person(self._people[row.uuid])
        for group in self._gone:
            await self.rows.drop_person(group)

    def _keep(self, person: uuid.UUID, row: PersonRow | None) -> None:
        self._before[person] = row
        if row is not None:
            self._people[person] = row

    async def _enter(self, face: FaceRow) -> None:
        if face.person is None:
            return
        await self._count(face, 1, lambda likeness: likeness.plus(face.descriptor))
        root = self._people[self._people[face.person].root]
        if face.visible and root.cover is None:
            self.put(replace(root, cover=face.uuid))
        if root.chosen_cover == face.uuid:
            self._uncovered.add(root.uuid)

    async def _leave(self, face: FaceRow) -> None:
        if face.person is None:
            return
        await self._count(face, -1, lambda likeness: likeness.minus(face.descriptor))
        root = self._people[self._people[face.person].root]
        if root.cover == face.uuid:
            self._uncovered.add(root.uuid)
        self._left.append(face.person)

    async def _count(self, face: FaceRow, sign: int, reshape: Reshape) -> None:
        assert face.person is not None  # noqa: S101  both callers have looked
        row = await self.person(face.person)
        assert row is not None  # noqa: S101  a group stays while it has faces
        if face.descriptor:
            row = replace(row, likeness=reshape(row.likeness))
            self._reshaped.add(row.uuid)
        if face.visible:
            row = replace(row, own_count=row.own_count + sign)
        self.put(row)
        if face.visible:
            root = await self.person(row.root)
            assert root is not None  # noqa: S101  a root stays while it has parts
            self.put(replace(root, face_count=root.face_count + sign))
        else:
            await self.person(row.root)

    async def _vanish(self, group: uuid.UUID) -> None:
        """Takes out a group that nothing is left of, and those above it that this leaves empty."""
        at: uuid.UUID | None = group
        while at is not None and await self._is_empty(at):
            self._gone[at] = self._people.pop(at)
            at = self._gone[at].parent

    async def _is_empty(self, group: uuid.UUID) -> bool:
        row = await self.person(group)
        if row is None or row.display_name or row.own_count or await self.rows.has_faces(group):
            return False
        if any(other.parent == group for other in self._people.values()):
            return False
        return all(other in self._before for other in await self.rows.parts_of(group))

    async def _cover(self, root: PersonRow) -> None:
        wanted = [face for face in (root.chosen_cover, root.cover) if face]
        tree = await self.tree(root.uuid)
        groups = {row.uuid for row in tree}
        for name in wanted:
            face = await self.rows.get_face(name)
            if face is not None and face.visible and face.person in groups:
                self.put(replace(self._people[root.uuid], cover=name))
                return
        first = next((row.uuid for row in sorted(tree, key=lambda row: row.uuid) if row.own_count), None)
        faces = await self.rows.faces_of_group(first, None, 1) if first else []
        self.put(replace(self._people[root.uuid], cover=faces[0].uuid if faces else None))
