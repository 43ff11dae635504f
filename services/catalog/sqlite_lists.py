"""Pages of images: which index to walk, and the statement that walks it.

Every list is a walk along an index in the order of the answer. Several states are several walks whose first
images are merged. Formats and sizes are judged on the index itself, so what does not match costs one step of
the walk; labels and bytes have walks of their own.
"""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from services.catalog.model import ImagePage, ImageQuery, ImageRecord, PageOrder, Position
from services.catalog.sqlite_images import read_image
from services.catalog.sqlite_schema import read_number
from services.catalog.store import MAX_ANSWER_BYTES

_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Walk:
    """Where to look: tables, the index's own condition, and the prefix of the columns that give the order."""

    tables: str
    conditions: tuple[str, ...]
    parameters: tuple[object, ...]
    ordered_by: str = "i"


def read_page(
    connection: sqlite3.Connection, query: ImageQuery, order: PageOrder, *, with_results: bool
) -> ImagePage:
    """A page of the images that are not deleted."""
    keys = connection.execute(*_keys_statement(query, order)).fetchall()
    images: list[ImageRecord] = []
    result_bytes = 0
    # One by one, so that results that do not fit into the answer are never in memory.
    for _, number in keys[: order.size]:
        if result_bytes > MAX_ANSWER_BYTES:
            break
        image = read_image(connection, number, with_results=with_results)
        images.append(image)
        result_bytes += len(image.insights or b"") + len(image.caption or b"")
    more = len(keys) > len(images)
    total = read_number(connection, "SELECT count FROM counters WHERE kind = 'images' AND key = 0")
    return ImagePage(tuple(images), _position(images[-1]) if more else None, total)


def _position(image: ImageRecord) -> Position:
    return image.create_time_us, image.number


def _keys_statement(query: ImageQuery, order: PageOrder) -> tuple[str, list[object]]:
    """Selects time and number of the images of the page and one more, to know whether there is one."""
    direction = "DESC" if order.newest_first else "ASC"
    filters, filter_parameters = _filters(query)
    lower, upper = _bounds(query, order)
    statements: list[str] = []
    parameters: list[object] = []
    for walk in _walks(query):
        prefix = walk.ordered_by
        place = f"({prefix}.create_time_us, {prefix}.number)"
        conditions = [*walk.conditions, f"{place} > (?, ?)", f"{place} < (?, ?)", *filters]
        statements.append(
            f"SELECT * FROM (SELECT {prefix}.create_time_us, {prefix}.number FROM {walk.tables} "
            f"WHERE {' AND '.join(conditions)} "
            f"ORDER BY {prefix}.create_time_us {direction}, {prefix}.number {direction} LIMIT ?)"
        )
        parameters += [*walk.parameters, *lower, *upper, *filter_parameters, order.size + 1]
    merged = " UNION ALL ".join(statements)
    return f"{merged} ORDER BY 1 {direction}, 2 {direction} LIMIT ?", [*parameters, order.size + 1]


def _walks(query: ImageQuery) -> list[_Walk]:
    """The walks that together meet every image of the query once."""
    if query.sha256:
        condition = "i.blob_id = (SELECT id FROM blobs WHERE sha256 = ?)"
        return [_walk("images_by_blob", condition, bytes.fromhex(query.sha256))]
    if query.labels:
        tables = "labels l CROSS JOIN images i ON i.number = l.number"
        conditions = ("l.key = ?", "l.value = ?", "i.delete_time_us IS NULL")
        return [_Walk(tables, conditions, query.labels[0], ordered_by="l")]
    if query.states:
        return [_walk("images_by_state", "i.state = ?", int(state)) for state in sorted(query.states)]
    return [_walk("images_by_time")]


def _walk(index: str, condition: str = "", *parameters: object) -> _Walk:
    conditions = ("i.delete_time_us IS NULL", *([condition] if condition else []))
    return _Walk(f"images i INDEXED BY {index}", conditions, parameters)


def _bounds(query: ImageQuery, order: PageOrder) -> tuple[Position, Position]:
    """Places that the page lies between, both exclusive; numbers begin at 1."""
    lower = (query.created_from_us or 0, 0)
    upper = (_MAX_INT64 if query.created_until_us is None else query.created_until_us, 0)
    if order.after is None:
        return lower, upper
    return (lower, order.after) if order.newest_first else (order.after, upper)


def _filters(query: ImageQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    parameters: list[object] = []

    def require(condition: str, *values: object) -> None:
        conditions.append(condition)
        parameters.extend(values)

    for column, numbers in (("state", query.states), ("format", query.formats)):
        if numbers:
            # "+" keeps the planner on the walk's own index.
            require(f"+i.{column} IN ({', '.join('?' * len(numbers))})", *sorted(map(int, numbers)))
    for column, span in (("size_bytes", query.size_bytes), ("width", query.width), ("height", query.height)):
        if span.min is not None:
            require(f"i.{column} >= ?", span.min)
        if span.max is not None:
            require(f"i.{column} <= ?", span.max)
    for key, value in query.labels:
        require(
            "EXISTS (SELECT 1 FROM labels m WHERE m.key = ? AND m.value = ? "
            "AND m.create_time_us = i.create_time_us AND m.number = i.number)",
            key,
            value,
        )
    return conditions, parameters
