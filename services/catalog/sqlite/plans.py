"""How to list: which index to walk, from where to where, and how far at most.

The rarest of the conditions that all must hold gives the walk. Where none is rare, all images are walked in
the order of the list.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.catalog.conditions import (
    All,
    ColorNear,
    Condition,
    NameContains,
    SameBytes,
    Term,
    Within,
    all_of,
    leaves,
)
from services.catalog.hidden_rules import check_hidden
from services.catalog.model import OrderKey, Position
from services.catalog.sqlite.conditions import is_posted, reads_facts
from services.catalog.sqlite.walks import Driver, Walk, find_driver

# CPU time of a page's walk, of a step along an index, along one whose facts lie elsewhere, and of judging:
# measured at 1,000,000 images, where a page then takes 1 to 8 ms in all.
_PAGE_US = 6_000
_STEP_US, _FAR_STEP_US, _MERGE_US = 0.4, 2.5, 0.1
_POSTED_US = 2.0
_LEAF_US = {Term: 0.1, Within: 0.1, NameContains: 0.2, SameBytes: 2.0, ColorNear: 4.0}
# So many images at most are collected and sorted, where a list is in the order of size or quality.
_MAX_SORTED = 1_000
_MAX_INT64 = 2**63 - 1
_INDEXED = {
    "create_time_us": "",
    "size_bytes": " INDEXED BY facts_by_size",
    "quality": " INDEXED BY facts_by_quality",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Walks that together meet the images between two places, both exclusive, and what is left to judge.

    At most ``steps`` are walked for a page; None where the walks end by themselves.
    """

    walks: tuple[Walk, ...]
    rest: Condition
    lower: Position
    upper: Position
    steps: int | None = None


def plan_list(connection: sqlite3.Connection, condition: Condition, key: OrderKey, total: int) -> Plan:
    """How to list the visible images that meet a condition; ``total`` is how many there are at all."""
    lower, upper, parts = _span(_parts(condition), key)
    driver = find_driver(connection, parts)
    if driver is not None:
        rest = all_of(part for part in parts if not (driver.exact and part is driver.part))
        if key == "create_time_us" and (rest == All() or 2 * driver.count <= total):
            return _driven(driver, rest, lower, upper)
        if key != "create_time_us" and driver.count <= _MAX_SORTED:
            walks = (replace(walk, place=f"f.{key}, f.number") for walk in driver.walks(with_facts=True))
            return Plan(tuple(walks), rest, lower, upper)
    walk = Walk(f"facts f{_INDEXED[key]}", f"f.{key}, f.number")
    step_us = _FAR_STEP_US if _INDEXED[key] else _STEP_US
    return _bounded((walk,), all_of(parts), lower, upper, step_us)


def plan_with_hidden(condition: Condition, key: OrderKey) -> Plan:
    """How to list hidden images among the others, in the order of their numbers.

    Conditions can be about time, size, dimensions, format, state and bytes; raises
    ``InvalidArgumentError(INVALID_FIELD)`` for others, and for other orders than by time.
    """
    check_hidden(condition, key)
    # Every place has two columns.
    walk = Walk("images f", "f.number, f.number")
    return _bounded((walk,), condition, (0, 0), (_MAX_INT64, 0), _STEP_US)


def _driven(driver: Driver, rest: Condition, lower: Position, upper: Position) -> Plan:
    with_facts = any(reads_facts(leaf) for leaf in leaves(rest))
    walks = driver.walks(with_facts=with_facts)
    return _bounded(walks, rest, lower, upper, _FAR_STEP_US if with_facts else _STEP_US)


def _bounded(
    walks: tuple[Walk, ...], rest: Condition, lower: Position, upper: Position, step_us: float
) -> Plan:
    # A join passes by images that are hidden, so that even with nothing to judge a step may find nothing.
    if rest == All() and not any(walk.join for walk in walks):
        return Plan(walks, rest, lower, upper)
    judging_us = sum(_POSTED_US if is_posted(leaf) else _LEAF_US[type(leaf)] for leaf in leaves(rest))
    steps = int(_PAGE_US / (step_us + len(walks) * _MERGE_US + judging_us))
    return Plan(walks, rest, lower, upper, max(1, steps))


def _parts(condition: Condition) -> Iterator[Condition]:
    """What all must hold."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from _parts(part)
    else:
        yield condition


def _span(parts: Iterable[Condition], key: OrderKey) -> tuple[Position, Position, list[Condition]]:
    """The places that the conditions on the order's key leave, and the other conditions."""
    least, most, others = -1, _MAX_INT64 - 1, list[Condition]()
    for part in parts:
        if isinstance(part, Within) and part.field == key:
            least = max(least, part.min or 0)
            most = most if part.max is None else min(most, part.max)
        else:
            others.append(part)
    # Numbers begin at 1.
    return (min(least, _MAX_INT64), 0), (max(most, -1) + 1, 0), others
