"""Each kind of file, read back by something else than what wrote it."""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from services.catalog.export.columns import Column, Value, choose_columns
from services.catalog.export.database import DatabaseFile
from services.catalog.export.files import CsvFile, ExportFile, JsonFile, NdjsonFile
from services.catalog.export.lines import Lines, as_lines
from services.catalog.export.parquet import ParquetFile
from services.catalog.export.workbook import WorkbookFile
from services.runtime.errors import FailedPreconditionError, Reason, ResourceExhaustedError

COLUMNS = choose_columns(["name", "number", "caption", "quality_score", "labels", "create_time"])
TIME = "2026-11-21T18:49:18.250Z"
Row = tuple[Value, ...]
PLAIN: Row = ("images/1", 1, 'A "boat", at sea.\nEvening.', 71.5, '{"album":"sea"}', TIME)
EMPTY: Row = ("images/2", 2, None, None, "{}", None)
HOSTILE: tuple[str, ...] = (
    "=1+1",
    "\t=1",
    "a\0b\x01\x02\x03\x1fc",
    "<b>&amp;</b> ]]> _x0041_",
    "line\r\nbreak\rhere",
    "\ufffe\uffff 🙂 ﷽",
    "x" * 40_000,
    "'quoted'",
    ',;|""',
)


def write(file: ExportFile, rows: Sequence[Row], page: int = 2) -> bytes:
    """The whole file, its rows given in pages."""
    data = file.begin()
    try:
        for start in range(0, len(rows), page):
            piece = rows[start : start + page]
            asked = file.asked
            data += file.rows(as_lines(asked, piece) if isinstance(asked, Lines) else piece)
        return data + b"".join(file.end())
    finally:
        file.close()


def hostile_rows() -> list[Row]:
    return [(f"images/{n}", n, text, 0.5, "{}", TIME) for n, text in enumerate(HOSTILE)]


def read_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def read_sheet(data: bytes, name: str = "xl/worksheets/sheet1.xml") -> list[list[str | float | None]]:
    """The cells of a sheet: text, numbers, None."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        root = ET.fromstring(archive.read(name))  # noqa: S314  a file of our own
    space = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    return [
        [_cell(cell, space) for cell in row.findall("s:c", space)] for row in root.iterfind(".//s:row", space)
    ]


def _cell(cell: ET.Element, space: dict[str, str]) -> str | float | None:
    if (text := cell.find("s:is/s:t", space)) is not None:
        return text.text or ""
    number = cell.find("s:v", space)
    return None if number is None else float(number.text or "")


def test_csv_has_names_then_rows_and_opens_as_utf8() -> None:
    data = write(CsvFile(COLUMNS), [PLAIN, EMPTY])
    assert data.startswith(b"\xef\xbb\xbfname,number,caption,quality_score,labels,create_time\r\nimages/1,1,")
    first, second = read_csv(data)
    assert first == {
        "name": "images/1",
        "number": "1",
        "caption": 'A "boat", at sea.\nEvening.',
        "quality_score": "71.5",
        "labels": '{"album":"sea"}',
        "create_time": TIME,
    }
    assert (second["caption"], second["quality_score"], second["create_time"]) == ("", "", "")


def test_csv_guards_formulas_and_keeps_all_other_text() -> None:
    captions = [row["caption"] for row in read_csv(write(CsvFile(COLUMNS), hostile_rows()))]
    expected = [text.replace("\0", "") for text in HOSTILE]
    expected[0], expected[1] = "'=1+1", "'\t=1"
    assert captions == expected


def test_ndjson_is_an_object_a_line_with_every_field() -> None:
    lines = write(NdjsonFile(COLUMNS), [PLAIN, EMPTY]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "name": "images/1",
            "number": 1,
            "caption": 'A "boat", at sea.\nEvening.',
            "quality_score": 71.5,
            "labels": {"album": "sea"},
            "create_time": TIME,
        },
        {
            "name": "images/2",
            "number": 2,
            "caption": None,
            "quality_score": None,
            "labels": {},
            "create_time": None,
        },
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_json_is_one_array_of_any_length(count: int) -> None:
    rows = [(f"images/{n}", n, None, None, "{}", None) for n in range(count)]
    found = json.loads(write(JsonFile(COLUMNS), rows))
    assert [row["number"] for row in found] == list(range(count))


def test_json_keeps_hostile_text_and_has_no_numbers_that_json_has_not() -> None:
    rows = [*hostile_rows(), ("n", 2**62, None, math.nan, "{}", None), ("i", -1, None, -math.inf, "{}", None)]
    lines = write(NdjsonFile(COLUMNS), rows).decode().split("\n")[:-1]
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [row["caption"] for row in found][: len(HOSTILE)] == list(HOSTILE)
    assert (found[-2]["number"], found[-2]["quality_score"], found[-1]["quality_score"]) == (
        2**62,
        None,
        None,
    )


def test_a_workbook_has_titles_text_and_numbers() -> None:
    titles, first, second = read_sheet(write(WorkbookFile(COLUMNS), [PLAIN, EMPTY]))
    assert titles == ["Name", "Number", "Caption", "Quality", "Labels", "Stored"]
    assert first == ["images/1", 1.0, 'A "boat", at sea.\nEvening.', 71.5, '{"album":"sea"}', TIME]
    assert second == ["images/2", 2.0, None, None, "{}", None]


def test_a_workbook_holds_hostile_text_as_far_as_excel_can() -> None:
    rows = [*hostile_rows(), ("images/9", 2**62, "\x01=1", math.inf, "{}", None)]
    _, *found = read_sheet(write(WorkbookFile(COLUMNS), rows))
    captions = [row[2] for row in found]
    assert captions[:2] == ["'=1+1", "'\t=1"]
    assert captions[2] == "abc"
    assert captions[3] == "<b>&amp;</b> ]]> _x005F_x0041_"
    assert captions[4] == "line_x000D_\nbreak_x000D_here"
    assert captions[5] == " 🙂 ﷽"
    assert captions[6] == "x" * 32_767
    # A number that Excel would round is text.
    assert found[-1][1] == str(2**62)
    assert found[-1][2:4] == ["'=1", None]


def test_a_workbook_goes_on_with_another_sheet_where_one_is_full() -> None:
    rows = [(f"images/{n}", n, None, None, "{}", None) for n in range(7)]
    data = write(WorkbookFile(COLUMNS, max_sheet_rows=4), rows)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        book = archive.read("xl/workbook.xml").decode()
        assert archive.namelist()[0] == "[Content_Types].xml"
    assert [name in book for name in ('name="Images"', 'name="Images 3"', 'name="Images 4"')] == [1, 1, 0]
    sheets = [read_sheet(data, f"xl/worksheets/sheet{number}.xml") for number in (1, 2, 3)]
    assert [[row[1] for row in sheet] for sheet in sheets] == [
        ["Number", 0.0, 1.0, 2.0],
        ["Number", 3.0, 4.0, 5.0],
        ["Number", 6.0],
    ]


def test_parquet_has_typed_columns() -> None:
    arrow = pytest.importorskip("pyarrow.parquet")
    data = write(ParquetFile(COLUMNS), [PLAIN, EMPTY, *hostile_rows()])
    table = arrow.read_table(io.BytesIO(data))
    assert [str(field.type) for field in table.schema] == [
        *("string", "int64", "string", "double", "string", "timestamp[ms, tz=UTC]")
    ]
    first, second, *hostile = table.to_pylist()
    assert (first["caption"], first["quality_score"]) == ('A "boat", at sea.\nEvening.', 71.5)
    assert first["create_time"].isoformat() == "2026-11-21T18:49:18.250000+00:00"
    assert (second["caption"], second["create_time"]) == (None, None)
    assert [row["caption"] for row in hostile] == list(HOSTILE)


def test_without_pyarrow_parquet_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FailedPreconditionError, match=r"pip install 'sightmill\[parquet\]'") as refusal:
        ParquetFile(COLUMNS)
    assert refusal.value.reason == Reason.WRONG_STATE


def test_a_database_has_one_table_and_its_temporary_file_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    data = write(DatabaseFile(COLUMNS, folder, 2**30), [PLAIN, EMPTY, *hostile_rows()])
    assert list(folder.iterdir()) == []
    path = tmp_path / "read.sqlite3"
    path.write_bytes(data)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute("SELECT * FROM images ORDER BY rowid").fetchall()
        types = [row[2] for row in database.execute("PRAGMA table_info(images)")]
    database.close()
    assert rows[:2] == [PLAIN, EMPTY]
    assert [row[2] for row in rows[2:]] == list(HOSTILE)
    assert types == ["TEXT", "INTEGER", "TEXT", "REAL", "TEXT", "TEXT"]


def test_a_database_beyond_its_bound_is_storage_full_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResourceExhaustedError) as refusal:
        write(DatabaseFile(COLUMNS, tmp_path, 64 * 1024), [PLAIN] * 2_000, page=500)
    assert refusal.value.reason == Reason.STORAGE_FULL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["csv", "xlsx", "sqlite", "ndjson"])
def test_a_label_of_any_name_can_head_a_column(name: str, tmp_path: Path) -> None:
    columns = choose_columns(["labels.a.b-c"])
    data = write(build(name, columns, tmp_path), [("x",)])
    assert b"a.b-c" in data or name == "xlsx"


def build(name: str, columns: tuple[Column, ...], folder: Path) -> ExportFile:
    files: dict[str, Iterable[ExportFile]] = {
        "csv": [CsvFile(columns)],
        "xlsx": [WorkbookFile(columns)],
        "ndjson": [NdjsonFile(columns)],
        "sqlite": [DatabaseFile(columns, folder, 2**30)],
    }
    (file,) = files[name]
    return file
