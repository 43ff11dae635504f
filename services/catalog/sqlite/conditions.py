"""Conditions as SQL over ``facts f``; values always are parameters."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from services.catalog.conditions import (
    All,
    AnyOf,
    ColorNear,
    Condition,
    Leaf,
    NameContains,
    Not,
    SameBytes,
    Term,
    Within,
)
from services.catalog.words import fold

Sql = tuple[str, list[object]]

POSTED = frozenset({"camera", "provider", "batch", "label", "tag", "analysis"})
"""Fields of terms that only postings know; those of the others are columns of facts."""

_MOST_FACES = 10
# As values are written, and within 64 bits.
_NUMBER = re.compile("0|[1-9][0-9]{0,8}")
_MAX_INT64 = 2**63 - 1
_HOLDS, _FAILS = "1", "0"
# SQLite refuses expressions more than 1,000 deep, and reads a chain as a tree that is as deep as it is long.
_CHAIN = 32


def compile_condition(condition: Condition) -> Sql:
    """An expression over the columns of ``facts f``, never NULL, and its parameters."""
    match condition:
        case All():
            return _joined(map(compile_condition, condition.parts), " AND ", _HOLDS)
        case AnyOf():
            return _any_of(condition)
        case Not():
            text, parameters = compile_condition(condition.part)
            return f"NOT ({text})", parameters
        case _:
            return _leaf(condition)


def is_posted(condition: Condition) -> TypeGuard[Term]:
    """True for a term that only postings know."""
    return isinstance(condition, Term) and condition.field in POSTED


def reads_facts(leaf: Leaf) -> bool:
    """True when time and number of an image are not enough to judge it."""
    by_place = isinstance(leaf, SameBytes) or getattr(leaf, "field", "") == "create_time_us"
    return not by_place and not is_posted(leaf)


def _leaf(leaf: Leaf) -> Sql:
    match leaf:
        case Term():
            return _term(leaf)
        case Within():
            return _within(leaf)
        case NameContains():
            return "instr(f.name, ?) > 0", [fold(leaf.text)]
        case ColorNear():
            return "color_near(f.colors, ?, ?, ?)", [leaf.red, leaf.green, leaf.blue]
        case SameBytes():
            return _same_bytes(leaf)


def _term(term: Term) -> Sql:
    if is_posted(term):
        return _posted([term])
    if not _NUMBER.fullmatch(term.value):
        return _FAILS, []
    number = int(term.value)
    if term.field != "faces":
        return f"f.{term.field} = ?", [number]
    if number < _MOST_FACES:
        return "f.face_count = ?", [number]
    return ("f.face_count >= ?", [number]) if number == _MOST_FACES else (_FAILS, [])


def _posted(terms: Sequence[Term]) -> Sql:
    """The image has one of the values; a value that no image ever had has no id, and nothing equals NULL."""
    parameters = [value for term in terms for value in (term.field, term.value)]
    ids = "= (SELECT id FROM terms WHERE field = ? AND value = ?)"
    if len(terms) > 1:
        values = ", ".join(["(?, ?)"] * len(terms))
        ids = f"IN (SELECT t.id FROM (VALUES {values}) v CROSS JOIN terms t "
        ids += "ON t.field = v.column1 AND t.value = v.column2)"
    exists = f"EXISTS (SELECT 1 FROM postings q WHERE q.term_id {ids} "
    return exists + "AND q.create_time_us = f.create_time_us AND q.number = f.number)", [*parameters]


def _within(within: Within) -> Sql:
    # What was not measured is -1, below every bound.
    column, least = f"f.{within.field}", min(max(0, within.min or 0), _MAX_INT64)
    if within.max is None:
        return f"{column} >= ?", [least]
    return f"{column} BETWEEN ? AND ?", [least, max(-1, min(within.max, _MAX_INT64))]


def _same_bytes(same: SameBytes) -> Sql:
    blob = "(SELECT id FROM blobs WHERE sha256 = ?)"
    exists = f"EXISTS (SELECT 1 FROM images s WHERE s.number = f.number AND s.blob_id = {blob})"
    return exists, [bytes.fromhex(same.sha256)]


def _any_of(condition: AnyOf) -> Sql:
    """Terms of postings share one look-up, whatever their number."""
    posted = [part for part in condition.parts if is_posted(part)]
    compiled = [compile_condition(part) for part in condition.parts if not is_posted(part)]
    return _joined([*compiled, *([_posted(posted)] if posted else [])], " OR ", _FAILS)


def _joined(parts: Iterable[Sql], operator: str, empty: str) -> Sql:
    compiled = list(parts)
    parameters = [parameter for _, values in compiled for parameter in values]
    texts = [text for text, _ in compiled] or [empty]
    while len(texts) > 1:
        texts = [f"({operator.join(texts[at : at + _CHAIN])})" for at in range(0, len(texts), _CHAIN)]
    return texts[0], parameters
