"""Typed queries of the contract as conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog.conditions import (
    ColorNear,
    Condition,
    NameContains,
    NumberField,
    SameBytes,
    Term,
    TermField,
    all_of,
    any_term,
)
from services.catalog.refusals import invalid_field
from services.catalog.requests.contract_values import BLUR_LEVELS, FORMATS, SCENES, STATES, Enumeration
from services.catalog.requests.filter_fields import read_color
from services.catalog.requests.filter_language import parse_filter
from services.catalog.requests.number_bounds import between
from services.catalog.words import fold
from sightmill.v1 import catalog_pb2, common_pb2

_MAX_LISTED = 64
_MAX_TEXT_CHARS = 1_024
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The years 1 and 9999, beyond which a Timestamp means nothing.
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799
_NUMBERS: tuple[NumberField, ...] = ("size_bytes", "width", "height", "face_count")
_TEXTS: dict[str, TermField] = {"camera_model": "camera", "caption_provider": "provider", "batch": "batch"}


def parse_conditions(query: catalog_pb2.ImageQuery, filter_text: str = "") -> Condition:
    """The typed query and the filter, both of which must hold.

    Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_FILTER).
    """
    return all_of((*_conditions(query), parse_filter(filter_text)))


def _conditions(query: catalog_pb2.ImageQuery) -> Iterable[Condition]:
    yield from _any_number("state", "states", query.states, STATES)
    yield from _any_number("format", "formats", query.formats, FORMATS)
    yield from _any_number("blur", "blur_levels", query.blur_levels, BLUR_LEVELS)
    yield from _any_number("scene", "scene_types", query.scene_types, SCENES)
    yield from _number_conditions(query)
    if query.HasField("has_text"):
        yield Term("has_text", "1" if query.has_text else "0")
    yield from _text_conditions(query)
    if query.HasField("color_near"):
        yield _color(query.color_near)
    if query.sha256:
        if not _SHA256.fullmatch(query.sha256):
            raise invalid_field("query.sha256", "64 hexadecimal digits, lower case.")
        yield SameBytes(query.sha256)


def _any_number(
    term: TermField, field: str, numbers: Sequence[int], known: Enumeration
) -> Iterable[Condition]:
    if not set(known.names).issuperset(numbers):
        raise invalid_field(f"query.{field}", f"Any of {', '.join(known.names.values())}.")
    if numbers:
        yield any_term(term, map(str, numbers))


def _number_conditions(query: catalog_pb2.ImageQuery) -> Iterable[Condition]:
    if query.HasField("create_time"):
        yield from _times(query.create_time)
    for field in _NUMBERS:
        if query.HasField(field):  # type: ignore[arg-type]  # the contract has fields of these names
            span: common_pb2.Int64Range = getattr(query, field)
            yield between(
                field,
                span.min if span.HasField("min") else None,
                span.max if span.HasField("max") else None,
            )
    if query.HasField("quality_score"):
        score = query.quality_score
        yield between(
            "quality",
            math.ceil(_hundredths(score.min)) if score.HasField("min") else None,
            math.floor(_hundredths(score.max)) if score.HasField("max") else None,
        )


def _times(times: common_pb2.TimeRange) -> Iterable[Condition]:
    start_us = _bound_us("start_time", times.start_time) if times.HasField("start_time") else None
    end_us = _bound_us("end_time", times.end_time) if times.HasField("end_time") else None
    yield between("create_time_us", start_us, None if end_us is None else end_us - 1)


def _bound_us(field: str, time: Timestamp) -> int:
    """The first whole microsecond that is not before ``time``: right for both kinds of bounds."""
    if not _MIN_SECONDS <= time.seconds <= _MAX_SECONDS or not 0 <= time.nanos < 1_000_000_000:
        raise invalid_field(f"query.create_time.{field}", "A time in the years 1 to 9999.")
    return time.seconds * 1_000_000 + -(-time.nanos // 1_000)


def _hundredths(score: float) -> Fraction:
    """The score as it is written: 72.35 is 7235 hundredths, although no double is exactly that."""
    if not math.isfinite(score):
        raise invalid_field("query.quality_score", "Finite numbers.")
    return Fraction(repr(score)) * 100


def _text_conditions(query: catalog_pb2.ImageQuery) -> Iterable[Condition]:
    for field, term in _TEXTS.items():
        if text := getattr(query, field):
            yield Term(term, _checked(field, text))
    for field, listed in (("tags", query.tags), ("labels", query.labels)):
        if len(listed) > _MAX_LISTED:
            raise invalid_field(f"query.{field}", f"At most {_MAX_LISTED}.")
    for tag in query.tags:
        yield Term("tag", _checked("tags", tag.strip().lower()))
    for key, value in sorted(query.labels.items()):
        yield Term("label", f"{_checked('labels', key)}={_checked('labels', value, least=0)}")
    if query.display_name:
        yield NameContains(_checked("display_name", fold(query.display_name)))


def _checked(field: str, text: str, least: int = 1) -> str:
    if not least <= len(text) <= _MAX_TEXT_CHARS or "\0" in text:
        raise invalid_field(f"query.{field}", f"{least} to {_MAX_TEXT_CHARS:,} characters.")
    return text


def _color(color: common_pb2.Color) -> ColorNear:
    """``hex`` wins where it is given: a query in a URL says no more."""
    channels = (color.red, color.green, color.blue)
    near = read_color(color.hex) if color.hex else ColorNear(*channels)
    if near is None or not all(0 <= channel <= 255 for channel in channels):
        raise invalid_field("query.color_near", "Red, green and blue from 0 to 255 each, or hex as #rrggbb.")
    return near
