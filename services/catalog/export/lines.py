"""Rows of an export as text: JSON objects and lines of CSV.

A store that can make lines itself, faster, is asked for them by the type of its columns: for ``JsonLines``
and ``CsvLines`` each row comes as one text. Neither has a line break at its end. What is None is ``null`` in
JSON, so that every object has the same fields, and empty in CSV.

``CellLines`` are lines for further work: each cell stands between two control characters that say whether it
is text or a number, and there are no other control characters but tabs and line breaks.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from services.catalog.export.cells import guarded
from services.catalog.export.columns import Column, Value

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Lines(tuple[str, ...]):  # noqa: SLOT001  a tuple has no room for slots
    """Names of stored columns of which each row is to come as one text."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, columns: tuple[Column, ...]) -> Self:
        """Lines with these columns."""
        lines = cls(column.stored for column in columns)
        lines.columns = columns
        return lines


class JsonLines(Lines):
    """Rows as JSON objects; ``json`` columns as they are, not as text."""


class CsvLines(Lines):
    """Rows as RFC 4180; text that a spreadsheet would take for a formula is guarded."""


class CellLines(Lines):
    """Rows as cells between control characters; text guarded, and cut to ``MAX_CELL_CHARS``."""


TEXT_START, TEXT_END, NUMBER_START, NUMBER_END = "\x02", "\x03", "\x04", "\x05"
MAX_CELL_CHARS = 32_767
_MAX_EXACT = 10**15
CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What neither XML nor a cell can hold."""


_CSV_END = "\r\n"


def as_lines(lines: Lines, rows: Iterable[Sequence[Value]]) -> list[tuple[str]]:
    """The rows of a store that gives values, as lines."""
    make = _MAKERS[type(lines)]
    return [(make(lines.columns, row),) for row in rows]


def json_line(columns: Sequence[Column], row: Sequence[Value]) -> str:
    """One JSON object."""
    cells = zip(columns, row, strict=True)
    return _encode({column.name: _json_value(column, value) for column, value in cells})


def csv_line(columns: Sequence[Column], row: Sequence[Value]) -> str:
    """One line of CSV; NUL, which nothing reads, is left out."""
    line = io.StringIO()
    cells = [value.replace("\0", "") if isinstance(value, str) else value for value in row]
    # With its line break, because that says which text needs quotes.
    csv.writer(line, lineterminator=_CSV_END).writerow(_guarded(columns, cells))
    return line.getvalue().removesuffix(_CSV_END)


def _guarded(columns: Sequence[Column], row: Sequence[Value]) -> list[Value]:
    return [guarded(column.kind, value) for column, value in zip(columns, row, strict=True)]


def cell_line(columns: Sequence[Column], row: Sequence[Value]) -> str:
    """One line of cells. Whole numbers of more than 15 digits are text, so that they stay as they are."""
    cells = [CONTROLS.sub("", value) if isinstance(value, str) else value for value in row]
    return "".join(map(_cell, _guarded(columns, cells)))


def _cell(value: Value) -> str:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _MAX_EXACT):
        return f"{NUMBER_START}{value!r}{NUMBER_END}"
    return f"{TEXT_START}{'' if value is None else str(value)[:MAX_CELL_CHARS]}{TEXT_END}"


def _json_value(column: Column, value: Value) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if column.kind == "json" and isinstance(value, str):
        return json.loads(value)
    return value


_MAKERS: dict[type[Lines], Callable[[Sequence[Column], Sequence[Value]], str]] = {
    JsonLines: json_line,
    CsvLines: csv_line,
    CellLines: cell_line,
}
