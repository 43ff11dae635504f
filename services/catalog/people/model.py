"""People and faces as plain data. Times are microseconds since 1970 (UTC); boxes are x, y, width, height in
pixels of the upright image."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import IntEnum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

DESCRIPTOR_SIZE = 128
DESCRIPTOR_BYTES = 4 * DESCRIPTOR_SIZE
SAME_PERSON = 0.5
"""Root mean square distance (Euclidean) from the faces of a person below which a face is theirs."""

Box = tuple[int, int, int, int]
Vector = NDArray[np.float32]


class Decision(IntEnum):
    """What a person said of a face; numbers are stored."""

    NONE = 0
    CONFIRMED = 1
    IGNORED = 2


@dataclass(frozen=True, slots=True)
class Likeness:
    """What the faces of a group look like: as many sums as the mean squared distance to all of them needs.

    ``total`` is the sum of their descriptors (128 float32, or empty for none), ``square_sum`` that of their
    squared lengths.
    """

    samples: int = 0
    total: bytes = b""
    square_sum: float = 0.0

    def plus(self, descriptor: bytes) -> Likeness:
        """With one face more."""
        return self._changed(descriptor, 1)

    def minus(self, descriptor: bytes) -> Likeness:
        """With one face less, which was part of it."""
        return NO_LIKENESS if self.samples <= 1 else self._changed(descriptor, -1)

    def mean(self) -> tuple[Vector, float]:
        """The mean descriptor and the mean squared length; there must be samples."""
        center: Vector = np.frombuffer(self.total, np.float32) / np.float32(self.samples)
        return center, self.square_sum / self.samples

    def squared_distance(self, descriptor: bytes) -> float:
        """Mean squared Euclidean distance from a descriptor to the faces of the group."""
        center, square = self.mean()
        vector = np.frombuffer(descriptor, np.float32)
        return float(vector @ vector - 2 * (vector @ center)) + square

    def _changed(self, descriptor: bytes, sign: int) -> Likeness:
        vector = np.frombuffer(descriptor, np.float32)
        before = (
            np.frombuffer(self.total, np.float32) if self.total else np.zeros(DESCRIPTOR_SIZE, np.float32)
        )
        total = before + sign * vector
        return Likeness(self.samples + sign, total.tobytes(), self.square_sum + sign * float(vector @ vector))


NO_LIKENESS = Likeness()


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A face as stored. ``person`` is the group that it was put to, which may be part of another."""

    uuid: UUID
    number: int
    image: UUID
    box: Box
    confidence: float
    descriptor: bytes
    person: UUID | None = None
    by_hand: bool = False
    decision: Decision = Decision.NONE
    visible: bool = True
    request_id: str = ""

    @property
    def is_kept(self) -> bool:
        """True when it stays though no detector finds it."""
        return self.by_hand or self.decision is not Decision.NONE

    @property
    def is_nobodys(self) -> bool:
        """True when it is listed as of nobody yet."""
        return self.person is None and self.visible and self.decision is not Decision.IGNORED

    @property
    def waits(self) -> bool:
        """True when it is to be placed by its looks."""
        return self.is_nobodys and self.decision is Decision.NONE and bool(self.descriptor)


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A group of faces as stored. One that was merged has a ``parent`` and shows as its ``root``.

    ``look`` is true for another look of the parent, made by a face that was moved there: nobody merged it.
    ``own_count`` are its visible faces; ``face_count`` of a root those of its whole tree, else 0.
    ``sequence`` ascends with every change of the likeness.
    """

    uuid: UUID
    root: UUID
    create_time_us: int
    update_time_us: int
    parent: UUID | None = None
    look: bool = False
    display_name: str = ""
    hidden: bool = False
    face_count: int = 0
    own_count: int = 0
    cover: UUID | None = None
    chosen_cover: UUID | None = None
    likeness: Likeness = NO_LIKENESS
    sequence: int = 0
    revision: int = 1

    @property
    def listed(self) -> bool:
        """True when it is a person of its own that people see."""
        return self.parent is None and (self.face_count > 0 or bool(self.display_name))

    def touched(self, now_us: int) -> PersonRow:
        """Of the next revision."""
        return replace(self, update_time_us=now_us, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class ShownFace:
    """A face as people see it: ``person`` is None for nobody; ``size`` is the image's width and height."""

    face: FaceRow
    person: UUID | None
    size: tuple[int, int]


PersonPlace = tuple[int, UUID]
"""Where a page of people ends: number of faces, and who."""

FacePlace = tuple[UUID | None, UUID]
"""Where a page of faces ends: group (None for nobody), and which."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """People, those with most faces first; ``next`` is None on the last page."""

    people: tuple[PersonRow, ...]
    next: PersonPlace | None


@dataclass(frozen=True, slots=True)
class FacePage:
    """Faces; ``next`` is None on the last page."""

    faces: tuple[ShownFace, ...]
    next: FacePlace | None


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What people change; None leaves it. ``cover`` as (face,), or () for the one that the catalog picks."""

    display_name: str | None = None
    hidden: bool | None = None
    cover: tuple[UUID, ...] | None = None


@dataclass(frozen=True, slots=True)
class FaceName:
    """A face as it is called: ``person`` None for people/-, which stands for whoever it is of."""

    person: UUID | None
    face: UUID


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face that somebody drew; ``person`` None for nobody yet."""

    person: UUID | None
    image: UUID | int
    box: Box
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class ImageFrame:
    """What faces need to know of a visible image."""

    number: int
    uuid: UUID
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Whose a face is by its looks; ``new`` when that group began with this face or another one unsaved."""

    face: UUID
    person: UUID
    new: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of placements: False when the likenesses had changed and nothing was placed; and the groups
    that are no more, whose faces still wait."""

    applied: bool
    gone: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class Likenesses:
    """Groups whose likeness changed, ascending by sequence; ``last`` is the last sequence of all, read
    before them."""

    people: tuple[PersonRow, ...]
    last: int


def time_uuid(now_us: int, place: int = 0) -> UUID:
    """A UUID of version 7 (RFC 9562, section 6.2, method 3: 12 bits of fraction after the milliseconds).

    Those of one microsecond ascend with ``place``, 0 to 4,095.
    """
    ms, fraction_us = divmod(now_us, 1_000)
    tail = (place & 0xFFF) << 50 | secrets.randbits(50)
    return UUID(int=ms << 80 | 0x7 << 76 | (fraction_us * 4_096 // 1_000) << 64 | 0b10 << 62 | tail)
