"""What filters may compare: the fields of the filter language and how their values are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Literal

from services.catalog.conditions import (
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
from services.catalog.requests.contract_values import ENUMERATIONS, HAS_TEXT
from services.catalog.requests.number_bounds import OPERATORS, compare
from services.catalog.words import fold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_COLOR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_LABEL_PREFIX = "labels."


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a filter, as written."""

    field: str
    operator: str
    value: str
    is_quoted: bool


class ComparisonError(Exception):
    """A comparison that means nothing; ``part`` says which piece of it is at fault."""

    def __init__(self, part: Literal["field", "operator", "value"], rule: str) -> None:
        super().__init__(rule)
        self.part = part
        self.rule = rule


@dataclass(frozen=True, slots=True)
class _Field:
    """``read`` gives the condition of an operator and a value, or None for a value that is none.

    ``measured`` is what ``FIELD:*`` means, where that can be asked.
    """

    expected: str
    operators: tuple[str, ...]
    read: Callable[[str, str], Condition | None]
    measured: Condition | None = None


def to_condition(comparison: Comparison) -> Condition:
    """Raises ``ComparisonError``, which names the field, what was expected and an example."""
    name, operator, value = comparison.field, comparison.operator, comparison.value
    field = _find_field(name)
    is_bare_star = value == "*" and not comparison.is_quoted
    if is_bare_star and operator == ":" and field.measured is not None:
        return field.measured
    if operator not in field.operators:
        raise ComparisonError(
            "operator", f"{name} is compared by {' '.join(field.operators)}; {field.expected}."
        )
    if "*" in value and not comparison.is_quoted:
        raise ComparisonError("value", f"{name} knows no wildcards; put the value in quotes if it has a *.")
    condition = field.read(operator, value)
    if condition is None or "\0" in value:
        raise ComparisonError("value", f"{name} is compared with {field.expected}.")
    return condition


def _find_field(name: str) -> _Field:
    if name in _FIELDS:
        return _FIELDS[name]
    key = name.removeprefix(_LABEL_PREFIX)
    if name.startswith(_LABEL_PREFIX) and _LABEL_KEY.fullmatch(key):
        return _equal(
            'the whole value of the label, for example labels.album = "Summer 2024"',
            lambda value: Term("label", f"{key}={value}"),
        )
    if name == "labels" or name.startswith(_LABEL_PREFIX):
        raise ComparisonError(
            "field",
            "labels takes a key of 1 to 63 characters of [a-z0-9_.-], for example labels.album = sea.",
        )
    raise ComparisonError(
        "field", f"{name[:100]} is not a field; there are {', '.join(_FIELDS)} and labels.KEY."
    )


def _equal(
    expected: str, read: Callable[[str], Condition | None], measured: Condition | None = None
) -> _Field:
    def compared(operator: str, value: str) -> Condition | None:
        condition = read(value)
        return Not(condition) if condition is not None and operator == "!=" else condition

    return _Field(expected, ("=", "!=", ":"), compared, measured)


def _text(term: TermField, expected: str) -> _Field:
    return _equal(expected, lambda value: Term(term, value) if value else None)


def _enumeration(name: str, term: TermField, *, can_lack: bool = False) -> _Field:
    values = ENUMERATIONS[term]

    def read(value: str) -> Condition | None:
        number = values.number_of(value)
        return None if number is None else Term(term, str(number))

    short = values.short_names
    return _equal(
        f"one of {short}, for example {name} = {short.split(', ')[0]}",
        read,
        any_term(term, map(str, values.names)) if can_lack else None,
    )


def _ordered(
    field: NumberField,
    expected: str,
    read: Callable[[str], Fraction | None],
    measured: Condition | None = None,
) -> _Field:
    def compared(operator: str, value: str) -> Condition | None:
        number = read(value)
        return None if number is None else compare(field, operator, number)

    return _Field(expected, OPERATORS, compared, measured)


def _read_number(value: str) -> Fraction | None:
    return Fraction(value) if _NUMBER.fullmatch(value) else None


def _read_score(value: str) -> Fraction | None:
    """Stored are hundredths."""
    score = _read_number(value)
    return None if score is None else score * 100


def _read_time_us(value: str) -> Fraction | None:
    """Microseconds since 1970 of a time as RFC 3339 writes it; with its nanoseconds."""
    found = _TIME.fullmatch(value)
    if not found:
        return None
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        return None
    return (
        Fraction((moment - _EPOCH) // timedelta(microseconds=1)) + Fraction(f"0.{fraction or 0}") * 1_000_000
    )


def read_color(value: str) -> ColorNear | None:
    """Colours near ``#rrggbb``."""
    found = _COLOR.fullmatch(value)
    return ColorNear(*(int(channel, 16) for channel in found.groups())) if found else None


def _read_name(_: str, value: str) -> Condition | None:
    folded = fold(value)
    return NameContains(folded) if folded else None


def _read_tag(value: str) -> Condition | None:
    tag = value.strip().lower()
    return Term("tag", tag) if tag else None


def _read_has_text(value: str) -> Condition | None:
    known = {name: number for number, name in HAS_TEXT.items()}
    number = known.get(value.lower())
    return None if number is None else Term("has_text", number)


def _whole(field: NumberField, example: str, measured: Condition | None = None) -> _Field:
    return _ordered(field, f"a number, for example {example}", _read_number, measured)


_FIELDS: Mapping[str, _Field] = {
    "state": _enumeration("state", "state"),
    "format": _enumeration("format", "format"),
    "create_time": _ordered(
        "create_time_us",
        'a time with its zone, for example create_time >= "2024-05-01T00:00:00Z"',
        _read_time_us,
    ),
    "size_bytes": _whole("size_bytes", "size_bytes > 1000000"),
    "width": _whole("width", "width >= 1920"),
    "height": _whole("height", "height >= 1080"),
    "quality_score": _ordered(
        "quality", "a number, for example quality_score >= 72.5", _read_score, Within("quality", 0)
    ),
    "blur_level": _enumeration("blur_level", "blur", can_lack=True),
    "face_count": _whole("face_count", "face_count >= 1", Within("face_count", 0)),
    "has_text": _equal(
        "true or false, for example has_text = true", _read_has_text, any_term("has_text", HAS_TEXT)
    ),
    "tag": _equal('a tag, for example tag = "fishing boat"', _read_tag),
    "color": _equal('a colour, for example color = "#4682b4"', read_color),
    "camera": _text("camera", 'a camera model, for example camera = "Canon EOS R5"'),
    "scene": _enumeration("scene", "scene", can_lack=True),
    "provider": _text("provider", "a provider of captions, for example provider = openai"),
    "batch": _text("batch", 'a batch, for example batch = "batches/1"'),
    "sha256": _equal(
        "64 hexadecimal digits, lower case",
        lambda value: SameBytes(value) if _SHA256.fullmatch(value) else None,
    ),
    "display_name": _Field('a part of the name, for example display_name:"sea"', (":",), _read_name),
}
