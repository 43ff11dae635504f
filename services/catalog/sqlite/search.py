"""Full-text search: the newest matches from the index of words, put into the order of their relevance."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from services.catalog.conditions import All, Condition
from services.catalog.findings import DOCUMENT_WEIGHTS
from services.catalog.model import Hit, HitPage, SearchPlace, SearchWords
from services.catalog.sqlite.conditions import compile_condition
from services.catalog.sqlite.images import read_images
from services.catalog.store import SEARCH_WINDOW

_MAX_INT64 = 2**63 - 1
# Words that a prefix is replaced with at most; looking each up costs about 50 us.
_MAX_WORDS = 200
# Below and above all characters of words.
_FIRST_CHAR, _LAST_CHAR = "\x01", "\U0010ffff"
# Parts are words with single spaces between them, so a clause is found in a part as a piece of text. The last
# part, the one that may be long, is what is left when a match is in no other.
*_TELLING, (_, _LEAST_WEIGHT) = DOCUMENT_WEIGHTS._asdict().items()
_WEIGHT = " ".join(
    ["CASE", *(f"WHEN instr(' ' || {part} || ' ', ?) THEN {weight}" for part, weight in _TELLING)]
)


def read_hits(
    connection: sqlite3.Connection,
    words: SearchWords,
    condition: Condition,
    size: int,
    after: SearchPlace | None,
) -> HitPage:
    """A page of hits out of one window; empty with a ``next`` where the condition holds for none of it."""
    place = after or SearchPlace(_MAX_INT64)
    found = _read_matches(connection, words, place.below, SEARCH_WINDOW + 1)
    if not found:
        return HitPage((), None)
    window = found[:SEARCH_WINDOW]
    # Fixed on the first page, so that images that come later do not move the window.
    below = place.below if after else found[0][0] + 1
    kept = _keep(connection, [number for number, _ in window], condition)
    ranked = sorted(((score, number) for number, score in window if number in kept), reverse=True)
    shown = ranked[place.skip : place.skip + size]
    images = read_images(connection, [number for _, number in shown])
    hits = tuple(Hit(image, score) for image, (score, _) in zip(images, shown, strict=True))
    if place.skip + size < len(ranked):
        return HitPage(hits, SearchPlace(below, place.skip + size))
    return HitPage(hits, SearchPlace(window[-1][0]) if len(found) > SEARCH_WINDOW else None)


def _read_matches(
    connection: sqlite3.Connection, words: SearchWords, below: int, most: int
) -> list[tuple[int, int]]:
    """Numbers and scores of the newest matches below a number, newest first."""
    pieces = list(_pieces(words))
    score = " + ".join([f"{_WEIGHT} ELSE {_LEAST_WEIGHT} END"] * len(pieces))
    found = connection.execute(
        f"SELECT rowid, {score} FROM documents WHERE documents MATCH ? AND rowid < ? "
        "ORDER BY rowid DESC LIMIT ?",
        (
            *(piece for piece in pieces for _ in _TELLING),
            " AND ".join(_clauses(connection, words)),
            below,
            most,
        ),
    )
    return found.fetchall()


def _clauses(connection: sqlite3.Connection, words: SearchWords) -> Iterator[str]:
    """Quoted, so that no word is taken for syntax."""
    yield from (f'"{word}"' for word in words.words)
    yield from (f'"{" ".join(phrase)}"' for phrase in words.phrases)
    for prefix in words.prefixes:
        # The index would read all matches of a prefix before it gives one; words it takes as they come.
        begun = _words_with(connection, prefix)
        alternatives = " OR ".join(f'"{word}"' for word in begun)
        yield f"({alternatives})" if 0 < len(begun) <= _MAX_WORDS else f'"{prefix}" *'


def _words_with(connection: sqlite3.Connection, prefix: str) -> list[str]:
    """Words that begin with a prefix, at most one more than ``_MAX_WORDS``."""
    found: list[str] = []
    statement = "SELECT term FROM vocabulary WHERE term >= ? AND term < ? LIMIT 1"
    least = prefix
    while len(found) <= _MAX_WORDS:
        row = connection.execute(statement, (least, prefix + _LAST_CHAR)).fetchone()
        if row is None:
            break
        found.append(row[0])
        least = row[0] + _FIRST_CHAR
    return found


def _pieces(words: SearchWords) -> Iterator[str]:
    """How each clause stands in a part, in the order of the clauses."""
    yield from (f" {word} " for word in words.words)
    yield from (f" {prefix}" for prefix in words.prefixes)
    yield from (f" {' '.join(phrase)} " for phrase in words.phrases)


def _keep(connection: sqlite3.Connection, numbers: list[int], condition: Condition) -> set[int]:
    if condition == All():
        return set(numbers)
    text, parameters = compile_condition(condition)
    rows = connection.execute(
        f"""SELECT i.number FROM images i
            CROSS JOIN facts f ON f.create_time_us = i.create_time_us AND f.number = i.number
            WHERE i.number IN ({", ".join("?" * len(numbers))}) AND {text}""",
        (*numbers, *parameters),
    )
    return {number for (number,) in rows}
