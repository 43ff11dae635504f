"""Exports: a table of images as a file, sent while it is made.

One export holds two pages of rows and what they became, however slowly its client reads. Files are made in a
thread of their own, reading goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from google.api import httpbody_pb2

from services.catalog.conditions import Condition
from services.catalog.export.columns import Column, choose_columns
from services.catalog.export.database import DatabaseFile, storage_full
from services.catalog.export.files import CsvFile, ExportFile, JsonFile, NdjsonFile
from services.catalog.export.parquet import ParquetFile
from services.catalog.export.workbook import WorkbookFile
from services.catalog.refusals import invalid_field
from services.catalog.requests.query_conditions import parse_conditions
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ResourceExhaustedError
from sightmill.v1 import catalog_pb2

PAGE_ROWS = 2_000
CHUNK_BYTES = 256 * 1024
T = TypeVar("T")
Pages = AsyncGenerator[list[tuple[Any, ...]], None]


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """``most_at_once`` exports, each of at most ``timeout_s`` seconds, with a temporary file of at most
    ``max_file_bytes`` in ``folder`` where its format needs one."""

    folder: Path
    most_at_once: int = 4
    timeout_s: float = 3_600.0
    max_file_bytes: int = 16 * 1024**3


class Exports:
    """All exports of a catalog."""

    def __init__(self, store: CatalogStore, limits: ExportLimits) -> None:
        self._store = store
        self._limits = limits
        self._running = 0

    async def stream(
        self, request: catalog_pb2.ExportResultsRequest
    ) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """The file in chunks of at most ``CHUNK_BYTES``.

        All images that were there when it began are in it once, unless they are deleted meanwhile; later ones
        may be. Close it to end it early.

        Raises ``InvalidArgumentError`` (INVALID_FIELD, INVALID_FILTER), ``FailedPreconditionError``
        (WRONG_STATE) for a format whose library is missing, ``ResourceExhaustedError`` (OVERLOADED when there
        are too many exports, STORAGE_FULL), ``DeadlineError`` and what the store raises.
        """
        condition = parse_conditions(request.query, request.filter)
        build = self._builder(request.format, choose_columns(request.columns))
        with self._place():
            # A thread of its own: what still runs when the client leaves is followed by the cleaning up.
            thread = ThreadPoolExecutor(1, thread_name_prefix="catalog-export")
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    file = await _run(thread, build)
                    try:
                        async with aclosing(self._pieces(file, condition, thread)) as pieces:
                            async for chunk in _chunks(pieces):
                                yield httpbody_pb2.HttpBody(content_type=file.content_type, data=chunk)
                    finally:
                        thread.submit(file.close)
            finally:
                thread.shutdown(wait=False)

    def _builder(
        self, format_: catalog_pb2.ExportFormat.ValueType, columns: tuple[Column, ...]
    ) -> Callable[[], ExportFile]:
        limits = self._limits
        builders: dict[int, Callable[[], ExportFile]] = {
            catalog_pb2.EXPORT_FORMAT_UNSPECIFIED: lambda: CsvFile(columns),
            catalog_pb2.EXPORT_FORMAT_CSV: lambda: CsvFile(columns),
            catalog_pb2.EXPORT_FORMAT_JSON: lambda: JsonFile(columns),
            catalog_pb2.EXPORT_FORMAT_NDJSON: lambda: NdjsonFile(columns),
            catalog_pb2.EXPORT_FORMAT_XLSX: lambda: WorkbookFile(columns),
            catalog_pb2.EXPORT_FORMAT_PARQUET: lambda: ParquetFile(columns),
            catalog_pb2.EXPORT_FORMAT_SQLITE: lambda: DatabaseFile(
                columns, limits.folder, limits.max_file_bytes
            ),
        }
        if format_ not in builders:
            raise invalid_field("format", "CSV, JSON, NDJSON, XLSX, PARQUET or SQLITE.")
        return builders[format_]

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._running >= self._limits.most_at_once:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._running} exports run already; come back when one is done.",
                retry_after_s=5.0,
                limit=self._limits.most_at_once,
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _pieces(
        self, file: ExportFile, condition: Condition, thread: ThreadPoolExecutor
    ) -> AsyncGenerator[bytes, None]:
        yield await _run(thread, file.begin)
        async with aclosing(self._pages(condition, file.asked)) as pages:
            async for rows in pages:
                yield await _run(thread, partial(file.rows, rows))
        rest = file.end()
        while (piece := await _run(thread, lambda: next(rest, None))) is not None:
            yield piece

    async def _pages(self, condition: Condition, asked: Sequence[str]) -> Pages:
        """All rows; the next page is read while this one is written."""
        reading = asyncio.create_task(self._store.export_rows(condition, asked, PAGE_ROWS, 0))
        try:
            while True:
                rows, following = await reading
                if following is None:
                    yield rows
                    return
                reading = asyncio.create_task(self._store.export_rows(condition, asked, PAGE_ROWS, following))
                yield rows
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _run(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise storage_full() from fault
        raise


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The first bytes at once, then chunks of full size, or what a page gave."""
    async for piece in pieces:
        for start in range(0, len(piece), CHUNK_BYTES):
            yield piece[start : start + CHUNK_BYTES]
