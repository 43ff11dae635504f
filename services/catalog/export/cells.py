"""Cells that a spreadsheet must not take for formulas."""

from __future__ import annotations

import math
import re

from services.catalog.export.columns import Kind, Value

FORMULA_STARTS = "=+-@\t\r"
"""What makes a spreadsheet evaluate a cell, or skip to what does."""

_NUMBER = r"[+-]?[0-9]+(?:[.,][0-9]*)*(?:[eE][+-]?[0-9]+)?"
_PHONE = r"\+[0-9 ()\[\]-]+"
_HARMLESS = re.compile(f"{_NUMBER}|{_PHONE}")


def guard(text: str) -> str:
    """The text, behind an apostrophe where a spreadsheet would evaluate it; numbers, also of phones, stay."""
    if text[:1] and text[0] in FORMULA_STARTS and not _HARMLESS.fullmatch(text):
        return f"'{text}"
    return text


def guarded(kind: Kind, value: Value) -> Value:
    """The value of a cell: text guarded, and None for numbers that are none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return guard(value) if kind == "text" and isinstance(value, str) else value
