"""The likenesses of all people in memory, and whose a face is by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from services.catalog.people.model import (
    DESCRIPTOR_SIZE,
    SAME_PERSON,
    FaceRow,
    PersonRow,
    Placement,
    Vector,
)

MOST_PEOPLE = 100_000
MOST_FACES = 32
"""Faces placed at a time; the distances of all of them to everybody are in memory together."""

Matrix = NDArray[np.float32]


class LikenessIndex:
    """Who looks like what. Memory: 0.8 KB a person, of at most ``most`` people.

    A face is compared with a whole person: by the mean squared distance to all faces of theirs, which two
    sums a person tell exactly. So one odd face neither draws others to a person nor keeps them away. Beyond
    ``most`` people those whose likeness has not changed for longest are forgotten here; who looks like them
    becomes a new person.
    """

    def __init__(self, most: int = MOST_PEOPLE) -> None:
        self._most = most
        # Not touched before it is used, so it costs no memory until then.
        room = most + MOST_FACES
        self._centers: Matrix = np.empty((room, DESCRIPTOR_SIZE), np.float32)
        self._squares: Vector = np.empty(room, np.float32)
        self._samples = np.empty(room, np.int64)
        self._sequences = np.empty(room, np.int64)
        self._people: list[UUID] = []
        self._rows: dict[UUID, int] = {}

    def __len__(self) -> int:
        return len(self._people)

    def put(self, person: PersonRow) -> None:
        """Takes in what is stored of a person."""
        if not person.likeness.samples:
            self.drop(person.uuid)
            return
        row = self._rows.get(person.uuid)
        if row is None and len(self) >= self._most:
            self.drop(self._people[int(self._sequences[: len(self)].argmin())])
        if row is None:
            row = self._append(person.uuid)
        self._centers[row], self._squares[row] = person.likeness.mean()
        self._samples[row] = person.likeness.samples
        self._sequences[row] = person.sequence

    def drop(self, person: UUID) -> None:
        """Forgets a person; the last one takes their row."""
        row = self._rows.pop(person, None)
        if row is None:
            return
        last = len(self) - 1
        if row != last:
            for values in (self._centers, self._squares, self._samples, self._sequences):
                values[row] = values[last]
            self._people[row] = self._people[last]
            self._rows[self._people[row]] = row
        self._people.pop()

    def place(self, faces: Sequence[FaceRow], name: Callable[[], UUID]) -> list[Placement]:
        """Whose these faces are, at most ``MOST_FACES``, each seen after the ones before it.

        ``name`` gives the names of new people. Afterwards the index is as before: what was stored comes by
        ``put``.
        """
        vectors = np.array([np.frombuffer(face.descriptor, np.float32) for face in faces])
        known = len(self)
        distances = np.full((len(faces), known + len(faces)), np.inf, np.float32)
        lengths = np.einsum("ij,ij->i", vectors, vectors)
        distances[:, :known] = self._distances(vectors, lengths, slice(0, known))
        before: dict[int, tuple[Vector, float, int]] = {}
        placements: list[Placement] = []
        for at, face in enumerate(faces):
            row = int(distances[at].argmin())
            if not distances[at, row] < SAME_PERSON**2:
                row = self._append(name())
                self._samples[row] = 0
            elif row < known:
                before.setdefault(row, (self._centers[row].copy(), self._squares[row], self._samples[row]))
            self._add(row, vectors[at], lengths[at])
            distances[at + 1 :, row] = self._distances(vectors[at + 1 :], lengths[at + 1 :], row)
            placements.append(Placement(face.uuid, self._people[row], new=row >= known))
        self._restore(known, before)
        return placements

    def _append(self, person: UUID) -> int:
        row = len(self)
        self._people.append(person)
        self._rows[person] = row
        return row

    def _distances(self, vectors: Matrix, lengths: Vector, rows: slice | int) -> Matrix:
        """Mean squared distances of faces to the faces of people."""
        near = vectors @ self._centers[rows].T
        distances: Matrix = (lengths[:, None] if near.ndim > 1 else lengths) - 2 * near + self._squares[rows]
        return distances

    def _add(self, row: int, vector: Vector, length: float) -> None:
        samples = int(self._samples[row])
        if samples == 0:
            self._centers[row], self._squares[row] = 0, 0
        self._centers[row] += (vector - self._centers[row]) / (samples + 1)
        self._squares[row] += (length - self._squares[row]) / (samples + 1)
        self._samples[row] = samples + 1

    def _restore(self, known: int, before: dict[int, tuple[Vector, float, int]]) -> None:
        for row, (center, square, samples) in before.items():
            self._centers[row], self._squares[row], self._samples[row] = center, square, samples
        for person in self._people[known:]:
            del self._rows[person]
        del self._people[known:]
