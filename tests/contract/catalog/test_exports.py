"""ExportResults over the wire: what comes, how much is held, and what is left when the client goes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.catalog.conditions import Condition
from services.catalog.export.exports import CHUNK_BYTES, ExportLimits, Exports
from services.catalog.servicer import Answers
from services.catalog.store import CatalogStore
from services.runtime.statuses import from_rpc_error
from sightmill.v1 import catalog_pb2, errors_pb2
from tests.contract.catalog.adapters import new_image
from tests.contract.catalog.served import Served, serve
from tests.servers.waiting import until

WAIT_S = 20.0
_LINE = json.dumps({"text": "x" * 1_000})


class LongStore:
    """A catalog of any length, which counts how far it was read. Only what exports ask of a store."""

    write_outcomes = None

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.read = 0

    async def export_rows(
        self,
        condition: Condition,  # noqa: ARG002  the port's
        columns: Sequence[str],
        size: int,
        after: int,
    ) -> tuple[list[tuple[Any, ...]], int | None]:
        self.read += 1
        row = (_LINE,) if hasattr(columns, "columns") else tuple(0 for _ in columns)
        return [row] * size, after + size if self.read < self.pages else None


@asynccontextmanager
async def exporting(store: Any, folder: Path, **limits: Any) -> AsyncIterator[Served]:
    exports = Exports(store, ExportLimits(folder, **limits))
    async with serve(store, Answers(export=exports.stream)) as served:
        yield served


def asked(kind: str = "NDJSON", **fields: Any) -> catalog_pb2.ExportResultsRequest:
    number = catalog_pb2.ExportFormat.Value(f"EXPORT_FORMAT_{kind}")
    return catalog_pb2.ExportResultsRequest(format=number, **fields)


async def download(served: Served, request: catalog_pb2.ExportResultsRequest) -> tuple[str, bytes]:
    types, data = set(), b""
    async for body in served.catalog.ExportResults(request, timeout=WAIT_S):
        assert len(body.data) <= CHUNK_BYTES
        types.add(body.content_type)
        data += body.data
    (content_type,) = types
    return content_type, data


def open_files(folder: Path) -> int:
    """Files below a folder that this process has open, those that have lost their names included."""
    opened = {target(file) for file in Path("/proc/self/fd").iterdir()}
    return len({path for path in opened if path.startswith(str(folder))})


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def export_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("catalog-export")]


@pytest.mark.parametrize(
    ("kind", "content_type", "start"),
    [
        ("UNSPECIFIED", "text/csv; charset=utf-8", b"\xef\xbb\xbfnumber"),
        ("CSV", "text/csv; charset=utf-8", b"\xef\xbb\xbfnumber"),
        ("JSON", "application/json", b"["),
        ("NDJSON", "application/x-ndjson", b'{"number":1'),
        ("XLSX", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
        ("SQLITE", "application/vnd.sqlite3", b"SQLite format 3\0"),
    ],
)
async def test_every_format_comes_with_its_type(
    store: CatalogStore, tmp_path: Path, kind: str, content_type: str, start: bytes
) -> None:
    for number in range(3):
        await store.create_image(new_image(str(number)), "")
    async with exporting(store, tmp_path / "exports") as served:
        found, data = await download(served, asked(kind, columns=["number", "display_name"]))
    assert found == content_type
    assert data.startswith(start)
    assert not list(tmp_path.glob("exports/*"))


async def test_query_and_filter_both_choose_the_images(store: CatalogStore, tmp_path: Path) -> None:
    await store.create_image(new_image("a", labels={"album": "sea"}, width=100), "")
    await store.create_image(new_image("b", labels={"album": "sea"}, width=900), "")
    await store.create_image(new_image("c", labels={"album": "land"}, width=900), "")
    async with exporting(store, tmp_path) as served:
        query = catalog_pb2.ImageQuery(labels={"album": "sea"})
        request = asked("CSV", columns=["number", "width"], query=query, filter="width > 500")
        _, data = await download(served, request)
    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig")))) == [["number", "width"], ["2", "900"]]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"columns": ["nmae"]}, errors_pb2.INVALID_FIELD),
        ({"filter": "width >"}, errors_pb2.INVALID_FILTER),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    store: CatalogStore, tmp_path: Path, fields: dict[str, Any], reason: errors_pb2.ErrorReason.ValueType
) -> None:
    async with exporting(store, tmp_path) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await download(served, asked(**fields))
    assert from_rpc_error(refusal.value).reason == reason


async def test_a_client_that_does_not_read_stops_the_reading(tmp_path: Path) -> None:
    long = LongStore(pages=10_000)
    async with exporting(long, tmp_path) as served:
        call = served.catalog.ExportResults(asked())
        await call.read()
        before = -1
        # It stands still once the buffers of the connection are full.
        async with asyncio.timeout(WAIT_S):
            while before != long.read:
                before = long.read
                await asyncio.sleep(0.3)
        assert long.read < 30
        call.cancel()


@pytest.mark.parametrize("kind", ["NDJSON", "SQLITE"])
async def test_a_client_that_leaves_frees_file_thread_and_place(tmp_path: Path, kind: str) -> None:
    long = LongStore(pages=100_000)
    folder = tmp_path / "exports"
    async with exporting(long, folder, most_at_once=1) as served:
        call = served.catalog.ExportResults(asked(kind, columns=["number"]))
        reading = asyncio.ensure_future(call.read())
        await until(lambda: long.read > 2, "pages are read")
        assert export_threads()
        assert open_files(folder) == (kind == "SQLITE")
        call.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await until(lambda: not export_threads() and not open_files(folder), "thread and file are gone")
        read = long.read
        long.pages = 0
        # Its place is free for the next.
        await download(served, asked(columns=["number"]))
        assert long.read == read + 1


async def test_more_exports_than_the_limit_are_refused_with_a_time(tmp_path: Path) -> None:
    long = LongStore(pages=10_000)
    async with exporting(long, tmp_path, most_at_once=1) as served:
        call = served.catalog.ExportResults(asked())
        await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await download(served, asked())
        error = from_rpc_error(refusal.value)
        assert (error.reason, error.code) == (errors_pb2.OVERLOADED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert error.retry_after_s == 5.0
        call.cancel()


async def test_an_export_ends_by_its_deadline(tmp_path: Path) -> None:
    long = LongStore(pages=10**9)
    async with exporting(long, tmp_path, timeout_s=0.3) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await download(served, asked("SQLITE", columns=["number"]))
        assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: not open_files(tmp_path), "the file is gone")


async def test_a_file_that_does_not_fit_is_storage_full(tmp_path: Path) -> None:
    long = LongStore(pages=100)
    async with exporting(long, tmp_path, max_file_bytes=100_000) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await download(served, asked("SQLITE"))
        assert from_rpc_error(refusal.value).reason == errors_pb2.STORAGE_FULL
        await until(lambda: not open_files(tmp_path), "the file is gone")
