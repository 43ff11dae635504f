"""Excel workbooks, written as they are sent: nothing is kept but the part of a sheet that is being packed.

Faster than a library, because whole pages of rows are marked up at once, and no file lies on the disk
meanwhile. Sheets are split at Excel's limit of rows, and before a part needs ZIP64, which not every program
reads.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.catalog.export.columns import Column
from services.catalog.export.files import Row
from services.catalog.export.lines import NUMBER_END, NUMBER_START, TEXT_END, TEXT_START, CellLines
from services.catalog.export.sink import Sink

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_SHEET_ROWS = 1_048_576
_MAX_SHEET_BYTES = 1_900_000_000
_FASTEST = 1
_LOOKS_ESCAPED = re.compile(rb"_(?=x[0-9A-Fa-f]{4}_)")
_ROW_END = "\x06"
# In this order.
_MARKUP = (
    ("&", b"&amp;"),
    ("<", b"&lt;"),
    (">", b"&gt;"),
    ("\r", b"_x000D_"),
    (TEXT_START + TEXT_END, b"<c/>"),
    (NUMBER_START + NUMBER_END, b"<c/>"),
    (TEXT_START, b'<c t="inlineStr"><is><t>'),
    (TEXT_END, b"</t></is></c>"),
    (NUMBER_START, b"<c><v>"),
    (NUMBER_END, b"</v></c>"),
    (_ROW_END, b"</row><row>"),
)
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET_START = (
    f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    "<sheetData>"
)
# First in the archive, and the same for any number of sheets: every part is a sheet but those named.
_FIRST_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    f'<Default Extension="xml" ContentType="{_TYPES}.worksheet+xml"/>'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
}


class WorkbookFile:
    """An Excel workbook with the sheets Images, Images 2, ...; the first row of each has the titles.

    Text that looks like a formula is guarded, longer text is cut to 32,767 characters, and characters that a
    workbook cannot hold are left out.
    """

    content_type = CONTENT_TYPE

    def __init__(self, columns: tuple[Column, ...], max_sheet_rows: int = MAX_SHEET_ROWS) -> None:
        self.asked = CellLines.of(columns)
        self._max_sheet_rows = max_sheet_rows
        self._sink = Sink()
        self._archive = zipfile.ZipFile(
            self._sink,
            "w",
            zipfile.ZIP_DEFLATED,
            compresslevel=_FASTEST,
        )
        self._sheet: Any = None
        self._sheets = 0
        self._rows = 0
        self._bytes = 0

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        self._add_parts(_FIRST_PARTS)
        self._add_sheet()
        return self._sink.take()

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See ``ExportFile``."""
        while rows:
            room = self._max_sheet_rows - self._rows
            if room <= 0 or self._bytes > _MAX_SHEET_BYTES:
                self._end_sheet()
                self._add_sheet()
                continue
            self._write(_rows_xml([line for (line,) in rows[:room]]))
            self._rows += len(rows[:room])
            rows = rows[room:]
        return self._sink.take()

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        self._end_sheet()
        self._add_parts(_last_parts(self._sheets))
        self._archive.close()
        yield self._sink.take()

    def close(self) -> None:
        """See ``ExportFile``."""
        # Left half done it would be ended by its destructor, and complain of the open sheet.
        self._archive.fp = None

    def _add_sheet(self) -> None:
        self._sheets += 1
        self._rows = self._bytes = 0
        self._sheet = self._archive.open(f"xl/worksheets/sheet{self._sheets}.xml", "w")
        titles = "".join(f"{TEXT_START}{column.title}{TEXT_END}" for column in self.asked.columns)
        self._write(_SHEET_START.encode() + _rows_xml([titles]))
        self._rows = 1

    def _end_sheet(self) -> None:
        self._write(b"</sheetData></worksheet>")
        self._sheet.close()

    def _add_parts(self, parts: Mapping[str, str]) -> None:
        for name, text in parts.items():
            self._archive.writestr(name, _HEAD + text)

    def _write(self, data: bytes) -> None:
        self._bytes += len(data)
        self._sheet.write(data)


def _rows_xml(lines: Sequence[str]) -> bytes:
    """The rows of a page, escaped and marked up all at once."""
    page = _ROW_END.join(lines).encode()
    if b"_x" in page:
        page = _LOOKS_ESCAPED.sub(b"_x005F_", page)
    for mark, written in _MARKUP:
        page = page.replace(mark.encode(), written)
    return b"<row>" + page + b"</row>"


def _last_parts(sheets: int) -> dict[str, str]:
    numbers = range(1, sheets + 1)
    entries = "".join(
        f'<sheet name="Images{f" {number}" if number > 1 else ""}" sheetId="{number}" r:id="rId{number}"/>'
        for number in numbers
    )
    kind = f"{_RELATIONS}/worksheet"
    targets = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    return {
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
        f"<sheets>{entries}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f"{targets}</Relationships>",
    }
