"""Rows of an export out of SQLite, which makes the values, and where it can the lines, by itself.

A row of all columns costs SQLite about what Python would need to encode it alone, and Python's threads go on
meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from services.catalog.conditions import EVERYTHING, Condition
from services.catalog.export.cells import guard
from services.catalog.export.columns import FORMAT_NAMES, LABEL_PREFIX, STATE_NAMES, Column
from services.catalog.export.lines import (
    MAX_CELL_CHARS,
    NUMBER_END,
    NUMBER_START,
    TEXT_END,
    TEXT_START,
    CellLines,
    CsvLines,
    JsonLines,
    Lines,
    as_lines,
)
from services.catalog.findings import Sheet
from services.catalog.sqlite.conditions import compile_condition

# Numbers that one read looks at, so that it ends in time where few images meet the condition.
_WINDOW = 50_000
_ROWS_PER_FETCH = 250
_MAX_PAGE_CHARS = 8 * 1024 * 1024
# SQLite takes at most 127 arguments to a function; two are needed for a field, one for the form of a line.
_MAX_LINE_COLUMNS = 60


def read_rows(
    connection: sqlite3.Connection, condition: Condition, columns: Sequence[str], size: int, after: int
) -> tuple[list[tuple[Any, ...]], int | None]:
    """See ``CatalogStore.export_rows``; for ``Lines`` each row is one text."""
    if not isinstance(columns, Lines):
        return _read(connection, condition, columns, size, after)
    if len(columns) <= _MAX_LINE_COLUMNS:
        lines, following = _read(connection, condition, columns, size, after)
        if not _is_odd(columns, lines):
            return lines, following
    rows, following = _read(connection, condition, tuple(columns), size, after)
    return as_lines(columns, rows), following


def _is_odd(columns: Lines, lines: list[tuple[Any, ...]]) -> bool:
    """Whether there may be something in the lines that SQLite does not write as it should."""
    # With commas before the first cells, too.
    page = "".join([f",{line}" for (line,) in lines])
    before = _BEFORE_NUMBERS[type(columns)]
    if f"{before}Inf" in page or f"{before}-Inf" in page:
        return True
    if not isinstance(columns, CellLines):
        return False
    data = page.encode()
    controls = len(data) - len(data.translate(None, _CONTROLS))
    longest = max((len(line) for (line,) in lines), default=0)
    return controls != 2 * len(columns) * len(lines) or _NO_CHARACTER in data or longest > MAX_CELL_CHARS


def _read(
    connection: sqlite3.Connection, condition: Condition, columns: Sequence[str], size: int, after: int
) -> tuple[list[tuple[Any, ...]], int | None]:
    connection.create_function("safe_cell", 1, _safe_cell, deterministic=True)
    (last,) = connection.execute("SELECT ifnull(max(number), 0) FROM images").fetchone()
    end = min(last, after + _WINDOW)
    statement, parameters = _statement(condition, columns)
    cursor = connection.execute(statement, (after, end, *parameters, size))
    rows: list[tuple[Any, ...]] = []
    chars = 0
    while fetched := cursor.fetchmany(_ROWS_PER_FETCH):
        rows += fetched
        chars += _count_chars(columns, fetched)
        if chars > _MAX_PAGE_CHARS and len(fetched) == _ROWS_PER_FETCH:
            break
    if len(rows) == size or chars > _MAX_PAGE_CHARS:
        end = rows[-1][0]
    return [row[1:] for row in rows], end if end < last else None


def _count_chars(columns: Sequence[str], rows: list[tuple[Any, ...]]) -> int:
    """About how much the rows hold: the lines, or the one column that can be long."""
    if isinstance(columns, Lines):
        return sum(len(row[1]) for row in rows)
    if "text" not in columns:
        return 0
    place = columns.index("text") + 1
    return sum(len(row[place] or "") for row in rows)


def _statement(condition: Condition, columns: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    """The statement, to be given (after, end, *parameters, size)."""
    values = _line(columns) if isinstance(columns, Lines) else ", ".join(map(_value, columns))
    joins, wanted = "", ""
    parameters: Sequence[object] = ()
    if condition != EVERYTHING:
        wanted, parameters = compile_condition(condition)
        wanted = f" AND ({wanted})"
        joins += " CROSS JOIN facts f ON f.create_time_us = i.create_time_us AND f.number = i.number"
    if "sha256" in columns:
        joins += " CROSS JOIN blobs b ON b.id = i.blob_id"
    if any(_is_of_sheet(name) for name in columns):
        joins += " LEFT JOIN sheets s ON s.number = i.number"
    statement = (
        f"SELECT i.number, {values} FROM images i{joins}"  # noqa: S608  names and numbers of this module
        f" WHERE i.number > ? AND i.number <= ? AND i.delete_time_us IS NULL{wanted}"
        " ORDER BY i.number LIMIT ?"
    )
    return statement, tuple(parameters)


def _line(lines: Lines) -> str:
    if isinstance(lines, JsonLines):
        pairs = (f"{_quoted(column.name)}, {_json_value(column)}" for column in lines.columns)
        return f"json_object({', '.join(pairs)})"
    if isinstance(lines, CsvLines):
        cells = ", ".join(_quoted_cell(column) for column in lines.columns)
        return f"printf('{','.join(['%s'] * len(lines))}', {cells})"
    form = "".join(
        f"{NUMBER_START}%s{NUMBER_END}" if column.kind in _NUMBERS else f"{TEXT_START}%s{TEXT_END}"
        for column in lines.columns
    )
    return f"printf('{form}', {', '.join(map(_cell, lines.columns))})"


def _json_value(column: Column) -> str:
    value = _value(column.stored)
    return f"json({value})" if column.kind == "json" else value


def _quoted_cell(column: Column) -> str:
    if column.kind in {"text", "json"}:
        return f"""'"' || replace({_cell(column)}, '"', '""') || '"'"""
    return _cell(column)


def _cell(column: Column) -> str:
    """Text guarded, and without NUL, where printf would end; None is empty."""
    value = _value(column.stored)
    if column.kind != "text":
        return value
    odd = f"{value} GLOB {_FORMULA} OR instr({value}, char(0))"
    return f"CASE WHEN {odd} THEN safe_cell({value}) ELSE {value} END"


def _safe_cell(text: str) -> str:
    return guard(text.replace("\0", ""))


def _value(name: str) -> str:
    if name.startswith(LABEL_PREFIX):
        return f"""i.labels ->> '$."{name.removeprefix(LABEL_PREFIX)}"'"""
    if name in _MADE:
        return _MADE[name]
    return f"s.{name}" if _is_of_sheet(name) else f"i.{name}"


def _is_of_sheet(name: str) -> bool:
    return name in Sheet._fields or name == "taken_time"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _time(column: str) -> str:
    # Three times as fast as strftime. Counted from the year 1, because SQL divides towards zero.
    since = f"({column} + {_YEAR_1_TO_1970_S}000000)"
    second = f"replace(datetime({since} / 1000000 - {_YEAR_1_TO_1970_S}, 'unixepoch'), ' ', 'T')"
    return f"{second} || '.' || substr(1000 + {since} / 1000 % 1000, 2) || 'Z'"


def _named(column: str, names: dict[int, str]) -> str:
    cases = " ".join(f"WHEN {number} THEN '{name}'" for number, name in names.items())
    return f"CASE {column} {cases} END"


_YEAR_1_TO_1970_S = 62_135_596_800
_NUMBERS = {"int", "float"}
_BEFORE_NUMBERS: dict[type[Lines], str] = {JsonLines: ":", CsvLines: ",", CellLines: NUMBER_START}
_CONTROLS = bytes({*range(32)} - set(b"\t\n\r"))
# U+FFFE and U+FFFF begin so.
_NO_CHARACTER = b"\xef\xbf\xbe"
_FORMULA = "'[-=+@' || char(9) || char(13) || ']*'"
_UUID_PARTS = ((1, 4), (5, 2), (7, 2), (9, 2), (11, 6))
_MADE = {
    "name": "'images/' || lower("
    + " || '-' || ".join(f"hex(substr(i.uuid, {start}, {count}))" for start, count in _UUID_PARTS)
    + ")",
    "sha256": "lower(hex(b.sha256))",
    "state": _named("i.state", STATE_NAMES),
    "format": _named("i.format", FORMAT_NAMES),
    "create_time": _time("i.create_time_us"),
    "update_time": _time("i.update_time_us"),
    "process_time": _time("i.process_time_us"),
    "taken_time": _time("s.taken_time_us"),
}
