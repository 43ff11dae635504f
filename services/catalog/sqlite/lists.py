"""Pages of images: bounded walks along indexes, merged in the order of the list."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from dataclasses import replace

from services.catalog.model import ImagePage, ImageQuery, ImageRecord, PageOrder, Position
from services.catalog.sqlite.conditions import compile_condition
from services.catalog.sqlite.images import read_image, read_images
from services.catalog.sqlite.plans import Plan, plan_list, plan_with_hidden
from services.catalog.sqlite.schema import read_number
from services.catalog.sqlite.walks import Walk
from services.catalog.store import MAX_ANSWER_BYTES


def read_page(
    connection: sqlite3.Connection, query: ImageQuery, order: PageOrder, *, with_results: bool
) -> ImagePage:
    """A page of images; short, even empty, with a ``next`` where the walk came to its bound."""
    total = read_number(connection, "SELECT count FROM counters WHERE kind = 'images' AND key = 0")
    if query.with_hidden:
        plan = plan_with_hidden(query.condition, order.key)
    else:
        plan = plan_list(connection, query.condition, order.key, total)
    plan = _going_on(plan, order)
    end = _end_of_steps(connection, plan, descending=order.descending)
    if end is not None:
        plan = _ending_with(plan, end, descending=order.descending)
    places = _find(connection, plan, order)
    numbers = [number for _, number in places[: order.size]]
    if with_results:
        images = _with_results(connection, numbers, hidden=query.with_hidden)
    else:
        images = read_images(connection, numbers, hidden=query.with_hidden)
    if len(places) > len(images):
        end = places[len(images) - 1]
    return ImagePage(tuple(images), end, total)


def _going_on(plan: Plan, order: PageOrder) -> Plan:
    if order.after is None:
        return plan
    if order.descending:
        return replace(plan, upper=min(plan.upper, order.after))
    return replace(plan, lower=max(plan.lower, order.after))


def _ending_with(plan: Plan, end: Position, *, descending: bool) -> Plan:
    """The plan as far as a place, inclusive."""
    key, number = end
    return replace(plan, lower=(key, number - 1)) if descending else replace(plan, upper=(key, number + 1))


def _end_of_steps(connection: sqlite3.Connection, plan: Plan, *, descending: bool) -> Position | None:
    """Where the last step of all walks together leads; None when they end before. Only skips."""
    if plan.steps is None or not plan.walks:
        return None
    skipping = " UNION ALL ".join(_selected(walk, "") for walk in plan.walks)
    parameters = [value for walk in plan.walks for value in (*walk.parameters, *plan.lower, *plan.upper)]
    row = connection.execute(
        f"{skipping} ORDER BY {_order(descending)} LIMIT 1 OFFSET ?", (*parameters, plan.steps - 1)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _find(connection: sqlite3.Connection, plan: Plan, order: PageOrder) -> list[Position]:
    """The places of the page's images and one more, to know whether there is one."""
    condition, values = compile_condition(plan.rest)
    places: set[Position] = set()
    for walk in plan.walks:
        places.update(
            connection.execute(
                f"{_selected(walk, walk.join)} AND {condition} ORDER BY {_order(order.descending)} LIMIT ?",
                (*walk.parameters, *plan.lower, *plan.upper, *values, order.size + 1),
            )
        )
    return sorted(places, reverse=order.descending)[: order.size + 1]


def _selected(walk: Walk, join: str) -> str:
    between = f"({walk.place}) > (?, ?) AND ({walk.place}) < (?, ?)"
    return f"SELECT {walk.place} FROM {walk.source} {join} WHERE {walk.own} AND {between}"


def _order(descending: bool) -> str:
    return "1 DESC, 2 DESC" if descending else "1, 2"


def _with_results(connection: sqlite3.Connection, numbers: list[int], *, hidden: bool) -> list[ImageRecord]:
    """As many as fit into an answer, one by one, so that others are never in memory."""
    images: list[ImageRecord] = []
    result_bytes = 0
    for number in numbers:
        if result_bytes > MAX_ANSWER_BYTES:
            break
        image = read_image(connection, number, with_results=True, hidden=hidden)
        images.append(image)
        result_bytes += len(image.insights or b"") + len(image.caption or b"")
    return images
