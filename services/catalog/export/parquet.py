"""Parquet, by pyarrow, which is installed only where somebody wants it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from services.catalog.export.columns import Column, Kind, Value
from services.catalog.export.sink import Sink
from services.runtime.errors import FailedPreconditionError, Reason

_GROUP_ROWS = 10_000


class ParquetFile:
    """Columns of text, 64-bit whole numbers, doubles, and times in milliseconds (UTC); zstd.

    Raises ``FailedPreconditionError(WRONG_STATE)`` where pyarrow is not installed.
    """

    content_type = "application/vnd.apache.parquet"

    def __init__(self, columns: tuple[Column, ...]) -> None:
        try:
            self._arrow = import_module("pyarrow")
            parquet = import_module("pyarrow.parquet")
        except ImportError as missing:
            raise FailedPreconditionError(
                Reason.WRONG_STATE,
                "This catalog cannot write Parquet: pyarrow is not installed there. Install it with "
                "pip install 'sightmill[parquet]', or export CSV, NDJSON or SQLite.",
                format="PARQUET",
            ) from missing
        self.asked: Sequence[str] = tuple(column.stored for column in columns)
        self._columns = columns
        self._schema = self._arrow.schema([(column.name, self._type(column.kind)) for column in columns])
        self._sink = Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._batches: list[Any] = []

    def begin(self) -> bytes:
        """See ``ExportFile``."""
        return self._sink.take()

    def rows(self, rows: Sequence[Sequence[Value]]) -> bytes:
        """See ``ExportFile``; a row group is written once it is full."""
        if rows:
            arrays = [
                self._array(column, values)
                for column, values in zip(self._columns, zip(*rows, strict=True), strict=True)
            ]
            self._batches.append(self._arrow.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._batches) >= _GROUP_ROWS:
            self._write_group()
        return self._sink.take()

    def end(self) -> Iterator[bytes]:
        """See ``ExportFile``."""
        self._write_group()
        self._writer.close()
        yield self._sink.take()

    def close(self) -> None:
        """See ``ExportFile``."""
        self._batches.clear()

    def _write_group(self) -> None:
        if self._batches:
            self._writer.write_table(self._arrow.Table.from_batches(self._batches))
            self._batches.clear()

    def _type(self, kind: Kind) -> Any:
        if kind == "time":
            return self._arrow.timestamp("ms", tz="UTC")
        return {"int": self._arrow.int64(), "float": self._arrow.float64()}.get(kind, self._arrow.string())

    def _array(self, column: Column, values: Sequence[Value]) -> Any:
        if column.kind == "time":
            return self._arrow.array(values, self._arrow.string()).cast(self._type("time"))
        return self._arrow.array(values, self._type(column.kind))
