"""What all kinds of export files have in common, and those that are text: CSV, JSON, NDJSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from services.catalog.export.columns import Column
from services.catalog.export.lines import CsvLines, JsonLines

Row = Sequence[Any]
"""The values of a row, or one line where the file asks the store for lines."""


class ExportFile(Protocol):
    """A file as it is made. All calls come from one thread at a time, ``close`` last and whatever happened.

    ``asked`` is what to ask the store for; ``content_type`` is that of HTTP.
    """

    content_type: str

    @property
    def asked(self) -> Sequence[str]:
        """Columns, or lines."""
        ...

    def begin(self) -> bytes:
        """The first bytes."""
        ...

    def rows(self, rows: Sequence[Row]) -> bytes:
        """What these rows add; may be nothing yet."""
        ...

    def end(self) -> Iterator[bytes]:
        """The rest, piece by piece."""
        ...

    def close(self) -> None:
        """Lets go of everything."""
        ...


class CsvFile:
    """RFC 4180 with a first line of names. UTF-8 with a byte order mark, without which Excel reads another
    encoding; who reads it by program takes ``utf-8-sig``."""

    content_type = "text/csv; charset=utf-8"

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.asked = CsvLines.of(columns)

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        heads = ",".join(column.name for column in self.asked.columns)
        return f"\ufeff{heads}\r\n".encode()

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See ``ExportFile``."""
        return "".join([f"{line}\r\n" for (line,) in rows]).encode()

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        yield b""

    def close(self) -> None:
        """See ``ExportFile``."""


class NdjsonFile:
    """One JSON object a line; each has all fields, null where there is nothing."""

    content_type = "application/x-ndjson"

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self.asked = JsonLines.of(columns)

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See ``ExportFile``."""
        return "".join([f"{line}\n" for (line,) in rows]).encode()

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        yield b""

    def close(self) -> None:
        """See ``ExportFile``."""


class JsonFile(NdjsonFile):
    """One array of the same objects, each on a line of its own."""

    content_type = "application/json"
    _between = "\n"

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        return b"["

    def rows(self, rows: Sequence[Row]) -> bytes:
        """See ``ExportFile``."""
        if not rows:
            return b""
        text = self._between + ",\n".join([line for (line,) in rows])
        self._between = ",\n"
        return text.encode()

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        yield b"\n]\n"
