"""Rows of the database as records."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any

from services.catalog.model import ANALYZERS, AnalysisRecord, ImageRecord, NewImage
from services.catalog.names import ImageKey, image_not_found
from services.catalog.states import ImageState

_COLUMNS = """i.uuid, i.number, b.sha256, b.blob_key, i.size_bytes, i.format, i.width, i.height,
    i.frame_count, i.color_mode, i.display_name, i.labels, i.batch, i.process_options, i.state, i.error,
    i.create_time_us, i.update_time_us, i.process_time_us, i.delete_time_us, i.revision, i.corrections"""
_RESULT = "(SELECT result FROM analyses WHERE id = i.{0}_id)"
_RESULTS = ", ".join(_RESULT.format(analyzer) for analyzer in ANALYZERS)


def image_columns(*, with_results: bool) -> str:
    """What to select of images ``i`` and blobs ``b`` for :func:`image_from_row`."""
    return f"{_COLUMNS}, {_RESULTS}" if with_results else f"{_COLUMNS}, NULL, NULL"


def key_condition(key: ImageKey) -> tuple[str, object]:
    """The condition on images ``i`` that picks one, and its parameter."""
    return ("i.uuid = ?", key.bytes) if isinstance(key, uuid.UUID) else ("i.number = ?", key)


def read_image(
    connection: sqlite3.Connection, key: ImageKey, *, with_results: bool = False, hidden: bool = False
) -> ImageRecord:
    """One image; ``hidden`` finds soft-deleted ones, too. Raises ``NotFoundError(IMAGE_NOT_FOUND)``."""
    condition, parameter = key_condition(key)
    visible = "" if hidden else "AND i.delete_time_us IS NULL"
    row = connection.execute(
        f"SELECT {image_columns(with_results=with_results)} FROM images i JOIN blobs b ON b.id = i.blob_id "
        f"WHERE {condition} {visible}",
        (parameter,),
    ).fetchone()
    if row is None:
        raise image_not_found(key)
    return image_from_row(row)


def read_images(
    connection: sqlite3.Connection, numbers: Sequence[int], *, hidden: bool = False
) -> list[ImageRecord]:
    """The images with these numbers that exist, in this order, without results; at most 1,000."""
    if not numbers:
        return []
    visible = "" if hidden else "AND i.delete_time_us IS NULL"
    rows = connection.execute(
        f"SELECT {image_columns(with_results=False)} FROM images i JOIN blobs b ON b.id = i.blob_id "
        f"WHERE i.number IN ({', '.join('?' * len(numbers))}) {visible}",
        numbers,
    )
    images = {image.number: image for image in map(image_from_row, rows)}
    return [images[number] for number in numbers if number in images]


def image_from_row(row: tuple[Any, ...]) -> ImageRecord:
    """The record of a row of :func:`image_columns`."""
    image = NewImage(
        sha256=row[2].hex(),
        blob_key=row[3],
        size_bytes=row[4],
        format=row[5],
        width=row[6],
        height=row[7],
        frame_count=row[8],
        color_mode=row[9],
        display_name=row[10],
        labels=json.loads(row[11]),
        batch=row[12],
        process_options=row[13],
        state=ImageState(row[14]),
    )
    return ImageRecord(uuid.UUID(bytes=row[0]), row[1], image, *row[15:])


def newest_analysis_ids(
    connection: sqlite3.Connection, condition: str, parameters: tuple[object, ...], count: int
) -> list[int]:
    """Ids of the newest ``count`` analyses that meet a condition on analyses ``a``, newest first.

    Apart from the results, so that those which do not fit into an answer are never in memory.
    """
    rows = connection.execute(
        f"SELECT a.id FROM analyses a WHERE {condition} ORDER BY a.create_time_us DESC, a.id DESC LIMIT ?",
        (*parameters, count),
    )
    return [analysis_id for (analysis_id,) in rows]


def read_analysis(connection: sqlite3.Connection, analysis_id: int) -> AnalysisRecord:
    """One analysis."""
    row = connection.execute(
        """SELECT b.sha256, a.analyzer, a.version, a.settings_digest, a.result, a.create_time_us, a.elapsed_us
           FROM analyses a JOIN blobs b ON b.id = a.blob_id WHERE a.id = ?""",
        (analysis_id,),
    ).fetchone()
    return AnalysisRecord(row[0].hex(), *row[1:])
