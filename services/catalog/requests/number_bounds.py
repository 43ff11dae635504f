"""Comparisons of real numbers with the whole numbers that are stored, exactly."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from services.catalog.conditions import Condition, Not, NumberField, Within

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
_MOST = 2**63 - 1


def compare(field: NumberField, operator: str, value: Fraction) -> Condition:
    """Stored numbers that compare so with ``value``, which is in the unit of the field."""
    if operator == "!=":
        return Not(compare(field, "=", value))
    bounds = {
        "=": (ceil(value), floor(value)),
        ">=": (ceil(value), None),
        ">": (floor(value) + 1, None),
        "<=": (None, floor(value)),
        "<": (None, ceil(value) - 1),
    }
    return between(field, *bounds[operator])


def between(field: NumberField, least: int | None, most: int | None) -> Within:
    """Stored numbers from ``least`` to ``most``, both of any size; None is open."""
    if (least is not None and least > _MOST) or (most is not None and most < 0):
        return Within(field, 1, 0)
    return Within(
        field,
        None if least is None else max(least, 0),
        None if most is None else min(most, _MOST),
    )
