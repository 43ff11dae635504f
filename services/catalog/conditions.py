"""Which images: conditions as a tree, the one form that filters, typed queries and both stores understand.

A value that was not measured meets no condition of its own, so ``Not`` of one holds for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

TermField = Literal[
    "state",
    "format",
    "blur",
    "scene",
    "has_text",
    "faces",
    "camera",
    "provider",
    "batch",
    "label",
    "tag",
    "analysis",
]
"""What has values to count. ``docs/catalog.md`` says how each value is written:

``state``, ``format``, ``blur`` and ``scene`` as the number of the contract's enum, ``has_text`` as "1" or
"0", ``faces`` as "0" to "9" and "10" for more, ``label`` as KEY=VALUE, ``analysis`` as ANALYZER VERSION
SETTINGS (``findings.OWN_OPTIONS`` where the uploader chose them) or "ANALYZER none", the rest as they are.
Tags are lower case.
"""

NumberField = Literal["create_time_us", "size_bytes", "width", "height", "quality", "face_count"]
"""What has a size. ``quality`` is the score times 100, rounded. All values are at least 0."""


@dataclass(frozen=True, slots=True)
class Term:
    """The image has this value."""

    field: TermField
    value: str


@dataclass(frozen=True, slots=True)
class Within:
    """The number lies between the bounds, both inclusive; None is open."""

    field: NumberField
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class NameContains:
    """The original name contains this text; both folded by :func:`services.catalog.words.fold`."""

    text: str


@dataclass(frozen=True, slots=True)
class ColorNear:
    """A dominant colour is at most ``services.catalog.colors.NEAR`` (CIE76) from this one, 0 to 255 each."""

    red: int
    green: int
    blue: int


@dataclass(frozen=True, slots=True)
class SameBytes:
    """The image has these bytes."""

    sha256: str


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Leaf = Term | Within | NameContains | ColorNear | SameBytes
Condition = Term | Within | NameContains | ColorNear | SameBytes | All | AnyOf | Not
EVERYTHING = All()


def all_of(parts: Iterable[Condition]) -> Condition:
    """Every part holds; nested ``All`` are flattened, and a single part stands for itself."""
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, All) else (part,))
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def any_of(parts: Iterable[Condition]) -> Condition:
    """At least one part holds; a single part stands for itself."""
    kept = tuple(parts)
    return kept[0] if len(kept) == 1 else AnyOf(kept)


def any_term(field: TermField, values: Iterable[str]) -> Condition:
    """The image has one of these values."""
    return any_of(Term(field, value) for value in dict.fromkeys(values))


def leaves(condition: Condition) -> Iterator[Leaf]:
    """What a condition is made of, without All, AnyOf and Not."""
    match condition:
        case All() | AnyOf():
            for part in condition.parts:
                yield from leaves(part)
        case Not():
            yield from leaves(condition.part)
        case _:
            yield condition
