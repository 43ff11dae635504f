"""Exports of a whole catalog: how long they take, and that they need no memory for it."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from bench.catalog.service import Running
from bench.figures import Figure, Figures
from sightmill.v1 import catalog_pb2

_DEADLINE_S = 600.0
_LOOK_S = 0.05
# Of a million rows; another number of images scales them.
_GOALS_S = {"ndjson": 15.0, "csv": 30.0, "xlsx": 45.0}
_FORMATS = {
    "ndjson": catalog_pb2.EXPORT_FORMAT_NDJSON,
    "csv": catalog_pb2.EXPORT_FORMAT_CSV,
    "xlsx": catalog_pb2.EXPORT_FORMAT_XLSX,
    "json": catalog_pb2.EXPORT_FORMAT_JSON,
    "sqlite": catalog_pb2.EXPORT_FORMAT_SQLITE,
    "parquet": catalog_pb2.EXPORT_FORMAT_PARQUET,
}
# As many columns as the measured baseline of exports had.
COLUMNS = (
    "name",
    "number",
    "display_name",
    "state",
    "format",
    "size_bytes",
    "width",
    "height",
    "create_time",
    "caption",
    "tags",
    "quality_score",
    "blur_level",
    "scene",
    "face_count",
    "camera_model",
)


def run(running: Running, database: Path, images: int) -> Figures:
    """Time and memory of an export of all images in each format."""
    raw_s = _raw_scan_s(database)
    idle = running.process.memory_info().rss
    figures: dict[str, Figure] = {
        "raw_scan_s": Figure(
            raw_s, "s", "lower", "sqlite3: fetch the same columns of all images, make nothing of them"
        )
    }
    peak = 0
    for name, format_ in _FORMATS.items():
        seconds, highest = _export(running, format_)
        peak = max(peak, highest)
        goal = _GOALS_S[name] * images / 1_000_000 if name in _GOALS_S else None
        method = f"{images:,} rows of {len(COLUMNS)} columns, {seconds / raw_s:.1f} times the raw scan"
        figures[f"export_{name}_s"] = Figure(seconds, "s", "lower", method, goal)
    figures["export_rss_mb"] = Figure(
        (peak - idle) / 1e6, "MB", "lower", "highest resident memory of any export above idle", goal=128
    )
    return figures


def _export(running: Running, format_: catalog_pb2.ExportFormat.ValueType) -> tuple[float, int]:
    """Seconds, and the highest resident memory."""
    done = threading.Event()
    highest = [0]

    def watch() -> None:
        while not done.wait(_LOOK_S):
            highest[0] = max(highest[0], running.process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    request = catalog_pb2.ExportResultsRequest(format=format_, columns=COLUMNS)
    size = sum(len(body.data) for body in running.stub.ExportResults(request, timeout=_DEADLINE_S))
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    assert size > 0
    return seconds, highest[0]


def _raw_scan_s(database: Path) -> float:
    statement = """SELECT i.uuid, i.number, i.display_name, i.state, i.format, i.size_bytes, i.width,
        i.height, i.create_time_us, s.caption, s.tags, s.quality_score, s.blur_level, s.scene, s.face_count,
        s.camera_model FROM images i LEFT JOIN sheets s ON s.number = i.number
        WHERE i.delete_time_us IS NULL"""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        started = time.perf_counter()
        rows = reader.execute(statement)
        while rows.fetchmany(2_000):
            pass
        return time.perf_counter() - started
