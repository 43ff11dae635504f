"""Findings of visible images in the tables that lists, search, facets and exports go by.

Many images at a time: every table gets one statement for all, every counter one change a distinct value.
"""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice

from services.catalog.colors import cells_of
from services.catalog.findings import Findings, FoundFace, Sheet, read_findings
from services.catalog.model import Look
from services.catalog.sqlite.counters import Term, add_facets
from services.catalog.sqlite.faces import add_faces, replace_faces, show_faces
from services.catalog.sqlite.known import KnownImage, StoredResult, select_in, shown_of
from services.catalog.sqlite.terms import is_counted, is_posted, pack, term_ids, unpack
from services.catalog.states import ImageState

_ADD_FACTS = """INSERT INTO facts (state, quality, face_count, blur, scene, has_text, colors, create_time_us,
    number, format, size_bytes, width, height, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CHANGE_FACTS = """UPDATE facts SET state = ?, quality = ?, face_count = ?, blur = ?, scene = ?, has_text = ?,
    colors = ? WHERE create_time_us = ? AND number = ?"""
_KEEP_SHEETS = f"REPLACE INTO sheets VALUES ({', '.join('?' * (1 + len(Sheet._fields)))})"
# By rowid, which FTS5 replaces without a look-up of its own.
_KEEP_DOCUMENTS = """REPLACE INTO documents (rowid, names, tags, caption, objects, text)
    VALUES (?, ?, ?, ?, ?, ?)"""
# So many findings at a time in memory: what is derived of a large batch would not fit into any cache.
_STEP = 100
_TABLES = (("image_terms", "number"), ("sheets", "number"), ("documents", "rowid"), ("looks", "number"))


class _Postings:
    """Changes of what images are found by, gathered for one statement a table."""

    def __init__(self) -> None:
        # By the batch of the images; only of those that have one.
        self._of_batches: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._added: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._taken: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._packed: list[tuple[int, bytes]] = []

    def move(self, image: KnownImage, after: Collection[int], batch_id: int) -> None:
        """Gives an image other values; ``batch_id`` is the term of its batch, 0 for none."""
        packed = pack(after)
        if packed == image.term_ids:
            return
        old, new = set(unpack(image.term_ids)), set(after)
        more, fewer = new - old, old - new
        place = (image.create_time_us, image.number)
        added, taken = self._added, self._taken
        for term_id in more:
            added[term_id].append(place)
        for term_id in fewer:
            taken[term_id].append(place)
        if batch_id:
            self._of_batches[batch_id].update(more)
            self._of_batches[batch_id].subtract(fewer)
        self._packed.append((image.number, packed))
        image.term_ids = packed

    def write(self, connection: sqlite3.Connection, names: Mapping[int, Term]) -> None:
        """Writes everything; ``names`` are field and value of the terms that were added."""
        connection.executemany(
            "DELETE FROM postings WHERE term_id = ? AND create_time_us = ? AND number = ?", _rows(self._taken)
        )
        connection.executemany("INSERT INTO postings VALUES (?, ?, ?)", _rows(self._added))
        connection.executemany("REPLACE INTO image_terms VALUES (?, ?)", self._packed)
        add_facets(connection, self._counts(), names)

    def _counts(self) -> dict[tuple[int, int], int]:
        """How many images more or less have a value, by scope and term."""
        counts: dict[tuple[int, int], int] = {}
        for term_id in sorted(filter(is_counted, self._added.keys() | self._taken.keys())):
            counts[0, term_id] = len(self._added.get(term_id, ())) - len(self._taken.get(term_id, ()))
        for batch_id, changes in self._of_batches.items():
            counts |= {(batch_id, term_id): changes[term_id] for term_id in filter(is_counted, changes)}
        return counts


def _rows(places: Mapping[int, list[tuple[int, int]]]) -> Iterator[tuple[int, int, int]]:
    # Value by value, so that neighbours in the table are written one after the other.
    for term_id in sorted(filter(is_posted, places)):
        for create_time_us, number in places[term_id]:
            yield term_id, create_time_us, number


def keep_findings(
    connection: sqlite3.Connection,
    images: Sequence[KnownImage],
    results: Mapping[int, StoredResult],
    now_us: int,
    looked: Collection[int] = (),
) -> None:
    """Derives everything of some images, each once in the list, and keeps it; of hidden ones only the faces.

    ``results`` has what they show; ``looked`` are the numbers of those whose insights may be other than
    before. Raises ``DataLossError(DATA_DAMAGED)`` when stored bytes cannot be read.
    """
    postings = _Postings()
    ids: dict[Term, int] = {}
    for start in range(0, len(images), _STEP):
        found = [(image, _read(image, results)) for image in images[start : start + _STEP]]
        visible = [entry for entry in found if entry[0].delete_time_us is None]
        # Before the postings, which make the new images known ones.
        _keep_rows(connection, visible)
        _gather_postings(connection, postings, ids, visible)
        _keep_looks(connection, visible)
        _keep_faces(connection, [entry for entry in found if entry[0].number in looked], now_us)
    postings.write(connection, {term_id: term for term, term_id in ids.items()})


def drop_findings(connection: sqlite3.Connection, images: Sequence[KnownImage]) -> None:
    """Takes back everything of images that are hidden or deleted; faces are hidden with them."""
    postings = _Postings()
    batches = _batch_ids(connection, images)
    for image in images:
        postings.move(image, (), batches.get(image.image.batch, 0))
        image.term_ids = None
    postings.write(connection, {})
    connection.executemany(
        "DELETE FROM facts WHERE create_time_us = ? AND number = ?",
        [(image.create_time_us, image.number) for image in images],
    )
    for table, column in _TABLES:
        connection.executemany(
            f"DELETE FROM {table} WHERE {column} = ?", [(image.number,) for image in images]
        )
    for image in images:
        show_faces(connection, image.number, visible=False)


def move_states(
    connection: sqlite3.Connection, images: Sequence[KnownImage], before: ImageState, after: ImageState
) -> None:
    """Moves visible images from one state to another, which changes nothing else that is found."""
    terms = [("state", str(int(state))) for state in (before, after)]
    ids = term_ids(connection, terms)
    old, new = (ids[term] for term in terms)
    batches = _batch_ids(connection, images)
    postings = _Postings()
    for image in images:
        moved = [new if term_id == old else term_id for term_id in unpack(image.term_ids)]
        postings.move(image, moved, batches.get(image.image.batch, 0))
    postings.write(connection, {term_id: term for term, term_id in ids.items()})
    connection.executemany(
        "UPDATE facts SET state = ? WHERE create_time_us = ? AND number = ?",
        [(int(after), image.create_time_us, image.number) for image in images],
    )


def _read(image: KnownImage, results: Mapping[int, StoredResult]) -> Findings:
    return read_findings(image.image, image.state, image.error, shown_of(image, results), image.corrections)


def _gather_postings(
    connection: sqlite3.Connection,
    postings: _Postings,
    ids: dict[Term, int],
    visible: Sequence[tuple[KnownImage, Findings]],
) -> None:
    cells = iter(cells_of([color for _, findings in visible for color in findings.colors]))
    wanted = [
        findings.terms
        + tuple([("color", cell) for cell in dict.fromkeys(islice(cells, len(findings.colors)))])
        for _, findings in visible
    ]
    ids |= term_ids(connection, set().union(*wanted) - ids.keys())
    for (image, _), terms in zip(visible, wanted, strict=True):
        batch_id = ids["batch", image.image.batch] if image.image.batch else 0
        postings.move(image, [ids[term] for term in terms], batch_id)


def _keep_rows(connection: sqlite3.Connection, visible: Sequence[tuple[KnownImage, Findings]]) -> None:
    new = [entry for entry in visible if entry[0].term_ids is None]
    known = [entry for entry in visible if entry[0].term_ids is not None]
    connection.executemany(_ADD_FACTS, [_measured(*entry) + _given(*entry) for entry in new])
    connection.executemany(_CHANGE_FACTS, [_measured(*entry) for entry in known])
    connection.executemany(_KEEP_SHEETS, [(image.number, *findings.sheet) for image, findings in visible])
    connection.executemany(
        _KEEP_DOCUMENTS, [(image.number, *findings.document) for image, findings in visible]
    )


def _batch_ids(connection: sqlite3.Connection, images: Sequence[KnownImage]) -> dict[str, int]:
    batches = {("batch", image.image.batch) for image in images if image.image.batch}
    return {term[1]: term_id for term, term_id in term_ids(connection, batches).items()}


def _measured(image: KnownImage, findings: Findings) -> tuple[object, ...]:
    """The facts that change, then the key."""
    return (
        int(image.state),
        *findings[:5],
        bytes(chain.from_iterable(findings.colors)),
        image.create_time_us,
        image.number,
    )


def _given(image: KnownImage, findings: Findings) -> tuple[object, ...]:
    """The facts that stay."""
    new = image.image
    return new.format, new.size_bytes, new.width, new.height, findings.name


def _keep_looks(connection: sqlite3.Connection, visible: Sequence[tuple[KnownImage, Findings]]) -> None:
    numbers = [image.number for image, _ in visible]
    statement = "SELECT number, phash, dhash, signature FROM looks WHERE number IN"
    before = {row[0]: row[1:] for row in select_in(connection, statement, numbers)}
    rows = {image.number: _look_row(findings.look) for image, findings in visible if findings.look}
    connection.executemany(
        "DELETE FROM looks WHERE number = ?", [(number,) for number in before if number not in rows]
    )
    connection.executemany(
        "REPLACE INTO looks (number, phash, dhash, signature) VALUES (?, ?, ?, ?)",
        [(number, *row) for number, row in rows.items() if before.get(number) != row],
    )


def _look_row(look: Look) -> tuple[int, int, bytes]:
    return _signed(look.phash), _signed(look.dhash), look.signature


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _keep_faces(
    connection: sqlite3.Connection, found: Sequence[tuple[KnownImage, Findings]], now_us: int
) -> None:
    numbers = [image.number for image, _ in found]
    rows = select_in(connection, "SELECT number FROM faces WHERE number IN", numbers)
    known = {number for (number,) in rows}
    new: list[tuple[int, bytes, Sequence[FoundFace], bool]] = []
    for image, findings in found:
        visible = image.delete_time_us is None
        if image.number in known:
            name = uuid.UUID(bytes=image.uuid_bytes)
            replace_faces(connection, image.number, name, findings.faces, now_us)
            if not visible:
                show_faces(connection, image.number, visible=False)
        elif findings.faces:
            new.append((image.number, image.uuid_bytes, findings.faces, visible))
    add_faces(connection, new, now_us)
