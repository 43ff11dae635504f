"""SQLite as an export: a database with one table, built in a temporary file and then sent."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from services.catalog.export.columns import Column, Kind, Value
from services.runtime.errors import Reason, ResourceExhaustedError

_PIECE_BYTES = 256 * 1024
_PAGE_BYTES = 4_096
_TYPES: dict[Kind, str] = {"int": "INTEGER", "float": "REAL"}


class DatabaseFile:
    """A SQLite database with the table ``images``, one column for each column; times as text.

    ``folder`` is for the temporary file, which loses its name as soon as it is open, so that nothing is left
    of it however the process ends; ``max_bytes`` bounds it.
    ``ResourceExhaustedError(STORAGE_FULL)`` when it does not fit.
    """

    content_type = "application/vnd.sqlite3"

    def __init__(self, columns: tuple[Column, ...], folder: Path, max_bytes: int) -> None:
        self.asked: Sequence[str] = tuple(column.stored for column in columns)
        self._columns = columns
        self._folder = folder
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._database: sqlite3.Connection | None = None

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".sqlite3")
        self._file = os.fdopen(handle, "rb")
        try:
            # Each call may come from another thread, but never two at a time.
            self._database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            self._open_table()
        finally:
            Path(name).unlink()
        return b""

    def rows(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """See ``ExportFile``."""
        marks = ", ".join("?" * len(self._columns))
        self._run(f"INSERT INTO images VALUES ({marks})", rows)  # noqa: S608  nothing but question marks
        return b""

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        self._run("COMMIT")
        if self._file is not None:
            while piece := self._file.read(_PIECE_BYTES):
                yield piece

    def close(self) -> None:
        """See ``ExportFile``."""
        if self._database is not None:
            self._database.close()
        if self._file is not None:
            self._file.close()

    def _open_table(self) -> None:
        """Without a journal, which would need the name of the file, and which nobody needs after a crash."""
        if self._database is not None:
            self._database.executescript(
                f"PRAGMA page_size = {_PAGE_BYTES}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                f"PRAGMA max_page_count = {max(1, self._max_bytes // _PAGE_BYTES)};"
            )
        heads = ", ".join(f'"{column.name}" {_TYPES.get(column.kind, "TEXT")}' for column in self._columns)
        self._run(f"CREATE TABLE images ({heads})")
        self._run("BEGIN")

    def _run(self, statement: str, rows: Sequence[Sequence[Value]] | None = None) -> None:
        if self._database is None:
            raise RuntimeError("begin comes first")
        try:
            if rows is None:
                self._database.execute(statement)
            else:
                self._database.executemany(statement, rows)
        except sqlite3.Error as fault:
            if getattr(fault, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                raise storage_full() from fault
            raise


def storage_full() -> ResourceExhaustedError:
    """The answer when a temporary file does not fit."""
    return ResourceExhaustedError(
        Reason.STORAGE_FULL,
        "The catalog's disk has no room for this export, which needs a temporary file. Export fewer images "
        "or columns, choose CSV or NDJSON, which need none, or free space.",
    )
