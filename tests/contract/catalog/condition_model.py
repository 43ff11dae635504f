"""Conditions judged in plain Python: what every store must agree with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.catalog.colors import Rgb, is_near
from services.catalog.conditions import (
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    Not,
    NumberField,
    SameBytes,
    Term,
    TermField,
    Within,
    any_term,
)
from services.catalog.findings import Findings
from services.catalog.model import NewImage
from services.catalog.words import fold
from tests.contract.catalog.adapters import START_US, digest_of
from tests.contract.catalog.pictures import TAGS


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What conditions are about; numbers are -1 where not measured."""

    numbers: Mapping[NumberField, int]
    terms: frozenset[tuple[TermField, str]]
    name: str
    colors: tuple[Rgb, ...]
    sha256: str


def facts_of(image: NewImage, create_time_us: int, findings: Findings) -> ImageFacts:
    """The facts of an image that was created at a time."""
    numbers: dict[NumberField, int] = {
        "create_time_us": create_time_us,
        "size_bytes": image.size_bytes,
        "width": image.width,
        "height": image.height,
        "quality": findings.quality,
        "face_count": findings.face_count,
    }
    return ImageFacts(numbers, frozenset(findings.terms), findings.name, findings.colors, image.sha256)


def evaluate(condition: Condition, facts: ImageFacts) -> bool:  # noqa: PLR0911  one a kind
    """True when the image meets the condition."""
    match condition:
        case Term():
            return (condition.field, condition.value) in facts.terms
        case Within():
            number = facts.numbers[condition.field]
            most = number if condition.max is None else condition.max
            return number >= 0 and (condition.min or 0) <= number <= most
        case NameContains():
            return fold(condition.text) in facts.name
        case ColorNear():
            return is_near((condition.red, condition.green, condition.blue), facts.colors)
        case SameBytes():
            return condition.sha256 == facts.sha256
        case All():
            return all(evaluate(part, facts) for part in condition.parts)
        case AnyOf():
            return any(evaluate(part, facts) for part in condition.parts)
        case _:
            return not evaluate(condition.part, facts)


_RED = ColorNear(250, 10, 10)
CONDITIONS: dict[str, Condition] = {
    "state": Term("state", "3"),
    "some states": any_term("state", ("1", "2", "5")),
    "no such state": Term("state", "9"),
    "format": Term("format", "2"),
    "blur": Term("blur", "1"),
    "scene": Term("scene", "3"),
    "no blur is no value": Term("blur", "0"),
    "no value is no value": AnyOf((Term("scene", "-1"), Term("has_text", "-1"), Term("faces", "-1"))),
    "not a number": AnyOf(
        (Term("format", "01"), Term("blur", "x"), Term("scene", "9" * 30), Term("blur", ""))
    ),
    "text": Term("has_text", "1"),
    "no text": Term("has_text", "0"),
    "no faces": Term("faces", "0"),
    "faces": Term("faces", "2"),
    "many faces": Term("faces", "10"),
    "no such count of faces": Term("faces", "12"),
    "camera": Term("camera", "Alpha"),
    "provider": Term("provider", "two"),
    "batch": Term("batch", "batches/1"),
    "label": Term("label", "album=S\u00f8lv & gold"),
    "tag": Term("tag", "sea"),
    "tags are lower case": Term("tag", "Sea"),
    "unknown tag": Term("tag", "none"),
    "analysis": Term("analysis", "caption 1 0011223344556677"),
    "analysis that is missing": Term("analysis", "caption none"),
    "some tags": any_term("tag", TAGS),
    "many values": any_term("tag", ("sea", *map(str, range(100)))),
    "values of several fields": AnyOf((Term("tag", "sea"), Term("camera", "Beta"), Term("state", "5"))),
    "all tags": All((Term("tag", "sea"), Term("tag", "beach"))),
    "quality": Within("quality", 1_234, 5_000),
    "measured": Within("quality"),
    "measured faces": Within("face_count", 0),
    "not measured": Not(Within("quality")),
    "at most": Within("quality", None, 1_234),
    "nothing between": Within("size_bytes", 2_000, 1_000),
    "width and height": All((Within("width", 200, 400), Within("height", 480, 480))),
    "size": Within("size_bytes", 1_500, 2_500),
    "huge bounds": Within("size_bytes", -(2**70), 2**70),
    "from a time": Within("create_time_us", START_US + 3),
    "until a time": Within("create_time_us", None, START_US + 3),
    "times and a tag": All((Within("create_time_us", START_US + 3, START_US + 6), Term("tag", "boat"))),
    "a time or a tag": AnyOf((Within("create_time_us", START_US + 2, START_US + 3), Term("tag", "boat"))),
    "name": NameContains("SEA"),
    "name with accents": NameContains("\u00e4pf"),
    "name without": NameContains("apfel"),
    "no pattern": AnyOf((NameContains("%"), NameContains("img?0001"), NameContains(".*"))),
    "any name": NameContains(""),
    "bytes": SameBytes(digest_of("content 10")),
    "bytes and width": All((SameBytes(digest_of("content 10")), Within("width", None, 2))),
    "unknown bytes": SameBytes(digest_of("none")),
    "not these bytes": Not(SameBytes(digest_of("content 10"))),
    "color": _RED,
    "color and tag": All((_RED, Term("tag", "sea"))),
    "far color": ColorNear(0, 255, 0),
    "not the color": Not(_RED),
    "everything": All(),
    "nothing": AnyOf(),
    "not": Not(AnyOf((Term("tag", "sea"), Term("state", "1")))),
    "deep": Not(
        All((AnyOf((Term("tag", "sea"), _RED)), Not(All((Within("width", 300), Not(Term("format", "1")))))))
    ),
}
"""Conditions about the pictures of pictures.py, of all kinds."""
