"""Conditions as filters of MongoDB over the documents of ``images``."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeGuard

from services.catalog.colors import NEAR, cells_near, lab_of
from services.catalog.conditions import (
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    Not,
    SameBytes,
    Term,
    Within,
)
from services.catalog.mongo.documents import SCALAR_FIELDS, term_of
from services.catalog.words import fold

Filter = dict[str, Any]
NOTHING: Filter = {"_id": {"$in": []}}

_MOST_FACES = 10
_MAX_DIGITS = 9
_MAX_INT64 = 2**63 - 1
# A server merges that many walks in order; more of them it would sort in memory.
_MOST_WALKS = 100


def compile_condition(condition: Condition) -> Filter:  # noqa: PLR0911  one a kind
    """A filter for the same images."""
    match condition:
        case Term():
            return _term(condition)
        case Within():
            return {condition.field: _bounds(condition)}
        case NameContains():
            return {"name": {"$regex": contains(fold(condition.text))}}
        case ColorNear():
            return _near(condition)
        case SameBytes():
            return {"sha256": condition.sha256}
        case All():
            return _joined("$and", condition, {})
        case AnyOf():
            return _any_of(condition)
        case Not():
            return {"$nor": [compile_condition(condition.part)]}


def leading_terms(condition: Condition) -> list[str]:
    """Values of ``terms``, one of which every image of the condition has.

    None where there are none such, or too many to walk along.
    """
    parts = condition.parts if isinstance(condition, AnyOf) else (condition,)
    values: list[str] = []
    for part in parts:
        if _is_posted(part):
            values.append(term_of(part.field, part.value))
        elif isinstance(part, ColorNear):
            values += _cells(part)
        else:
            return []
    return list(dict.fromkeys(values)) if len(values) <= _MOST_WALKS else []


def contains(text: str) -> str:
    """An expression for a piece of text; the protocol has no NUL in expressions."""
    return re.escape(text).replace("\0", r"\x00")


def _any_of(condition: AnyOf) -> Filter:
    """Values of ``terms`` are one look, whatever their number."""
    values = [term_of(part.field, part.value) for part in condition.parts if _is_posted(part)]
    if values and len(values) == len(condition.parts):
        return {"terms": {"$in": values}}
    return _joined("$or", condition, NOTHING)


def _is_posted(condition: Condition) -> TypeGuard[Term]:
    return isinstance(condition, Term) and condition.field not in SCALAR_FIELDS and condition.field != "faces"


def _term(term: Term) -> Filter:
    if _is_posted(term):
        # State stands beside the order in the index of times, too.
        return (
            {"state": _whole(term.value)}
            if term.field == "state"
            else {"terms": term_of(term.field, term.value)}
        )
    number = _whole(term.value)
    if term.field != "faces":
        return {term.field: number} if number >= 0 else NOTHING
    if not 0 <= number <= _MOST_FACES:
        return NOTHING
    return {"face_count": {"$gte": number} if number == _MOST_FACES else number}


def _whole(value: str) -> int:
    """A value that is a whole number as it is written, or -2, which nothing has."""
    plain = value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS
    return int(value) if plain and str(int(value)) == value else -2


def _bounds(within: Within) -> Filter:
    # What was not measured is -1, below every bound.
    bounds: Filter = {"$gte": min(max(0, within.min or 0), _MAX_INT64)}
    if within.max is not None:
        bounds["$lte"] = max(-2, min(within.max, _MAX_INT64))
    return bounds


def _cells(near: ColorNear) -> list[str]:
    return [term_of("color", cell) for cell in cells_near((near.red, near.green, near.blue))]


def _near(near: ColorNear) -> Filter:
    """The cells say where to look, the distance (CIE76) says which are near."""
    target = lab_of((near.red, near.green, near.blue))
    squares = [
        {"$pow": [{"$subtract": [{"$arrayElemAt": ["$$lab", axis]}, target[axis]]}, 2]} for axis in range(3)
    ]
    is_near = {"$lte": [{"$sqrt": {"$add": squares}}, NEAR]}
    exact = {"$anyElementTrue": {"$map": {"input": "$labs", "as": "lab", "in": is_near}}}
    return {"terms": {"$in": _cells(near)}, "$expr": exact}


def _joined(operator: Literal["$and", "$or"], condition: All | AnyOf, empty: Filter) -> Filter:
    compiled = [compile_condition(part) for part in condition.parts]
    return {operator: compiled} if compiled else empty
