"""Images as the writer reads them before it changes them: many with few statements."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from services.catalog.findings import Shown
from services.catalog.model import NewImage
from services.catalog.names import ImageKey
from services.catalog.states import ImageState

_CHUNK = 250
_SMALL_CHUNK = 8
_STATES = {int(state): state for state in ImageState}
_SELECT = """SELECT i.number, i.uuid, i.blob_id, i.state, i.error, i.corrections, i.create_time_us,
        i.delete_time_us, i.insights_id, i.caption_id, t.term_ids,
        b.sha256, b.blob_key, i.size_bytes, i.format, i.width, i.height, i.frame_count, i.color_mode,
        i.display_name, i.labels, i.batch, i.process_options
    FROM images i JOIN blobs b ON b.id = i.blob_id LEFT JOIN image_terms t ON t.number = i.number
    WHERE i.{} IN"""


@dataclass(slots=True)
class KnownImage:
    """An image as stored; ``term_ids`` None when it has no findings, because it is hidden or new."""

    number: int
    uuid_bytes: bytes
    blob_id: int
    state: ImageState
    error: bytes
    corrections: bytes
    create_time_us: int
    delete_time_us: int | None
    insights_id: int | None
    caption_id: int | None
    term_ids: bytes | None
    image: NewImage


class StoredResult(NamedTuple):
    """A result, and what it was made with."""

    analyzer: str
    version: str
    settings_digest: str
    result: bytes


def load_images(connection: sqlite3.Connection, keys: Iterable[ImageKey]) -> dict[ImageKey, KnownImage]:
    """The images that exist, by the keys that were given; the same object for both keys of an image."""
    by_uuid: dict[bytes, ImageKey] = {}
    numbers: set[int] = set()
    for key in keys:
        if isinstance(key, int):
            numbers.add(key)
        else:
            by_uuid[key.bytes] = key
    known: dict[ImageKey, KnownImage] = {}
    for image in _load(connection, "uuid", list(by_uuid)):
        known[by_uuid[image.uuid_bytes]] = image
        if image.number in numbers:
            known[image.number] = image
    for image in _load(connection, "number", [number for number in numbers if number not in known]):
        known[image.number] = image
    return known


def load_results(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredResult]:
    """Stored results by their ids."""
    statement = "SELECT id, analyzer, version, settings_digest, result FROM analyses WHERE id IN"
    return {row[0]: StoredResult(*row[1:]) for row in select_in(connection, statement, list(ids))}


def shown_of(image: KnownImage, results: Mapping[int, StoredResult]) -> Shown:
    """The analyses that an image shows."""
    found: dict[str, bytes] = {}
    versions: dict[str, tuple[str, str]] = {}
    for shown_id in (image.insights_id, image.caption_id):
        if shown_id is not None:
            analyzer, version, settings, found[analyzer] = results[shown_id]
            versions[analyzer] = version, settings
    return Shown(found, versions)


def shown_ids(images: Iterable[KnownImage]) -> set[int]:
    """The ids of all analyses that some images show."""
    return {
        shown_id
        for image in images
        for shown_id in (image.insights_id, image.caption_id)
        if shown_id is not None
    }


def select_in(
    connection: sqlite3.Connection, statement: str, values: Sequence[object]
) -> list[tuple[Any, ...]]:
    """Rows of a statement that ends with ``IN``, for any number of values."""
    if len(values) == 1:
        return connection.execute(f"{statement} (?)", values).fetchall()
    size = _SMALL_CHUNK if len(values) <= _SMALL_CHUNK else _CHUNK
    marks = ", ".join("?" * size)
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(values), size):
        chunk = list(values[start : start + size])
        # Filled up by repeating, so that few prepared statements serve every number of values.
        chunk += chunk[-1:] * (size - len(chunk))
        rows += connection.execute(f"{statement} ({marks})", chunk)
    return rows


def _load(
    connection: sqlite3.Connection, column: Literal["uuid", "number"], values: Sequence[object]
) -> list[KnownImage]:
    return [_from_row(row) for row in select_in(connection, _SELECT.format(column), values)]


def _from_row(row: tuple[Any, ...]) -> KnownImage:
    # In the order of the fields, because names cost as much again.
    state, labels = _STATES[row[3]], row[20]
    given: tuple[Any, ...] = (
        row[11].hex(),
        *row[12:20],
        {} if labels == "{}" else json.loads(labels),
        *row[21:23],
        state,
    )
    known: tuple[Any, ...] = (*row[:3], state, *row[4:11], NewImage(*given))
    return KnownImage(*known)
