"""Fills a catalog through its store, and measures that against the same rows written without it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

from bench.catalog.data import MadeImage, made_images
from bench.catalog.grow import grow
from bench.figures import Figure, Figures
from services.catalog.model import Outcome
from services.catalog.sqlite.schema import open_database
from services.catalog.sqlite.store import SqliteOptions, SqliteStore, open_sqlite_store
from services.catalog.states import ImageState

BATCH = 1_000
# Enough for trees of several levels, and few enough to be read back into memory.
COMPARED = 100_000


def run(database: Path, images: int) -> Figures:
    """Fills ``database`` with ``images`` images, each with two analyses.

    The first ``COMPARED`` go through the store and are measured, the rest are copies of them.
    """
    compared = min(COMPARED, images)
    ours_s, create_s = asyncio.run(_fill(database, compared))
    raw_s = _raw_seconds(database, database.with_name("raw.sqlite3"), compared)
    grow(database, images)
    return {
        "analyses_per_s": Figure(
            2 * compared / ours_s,
            "analyses/s",
            "higher",
            f"{compared:,} images, two analyses each, in batches of {BATCH:,} images, every batch synced",
            goal=10_000,
        ),
        "write_ratio": Figure(
            raw_s / ours_s,
            "ratio",
            "higher",
            "time of raw sqlite3 executemany of the same rows, batches and indexes / time of the store",
            goal=0.5,
        ),
        "images_created_per_s": Figure(
            compared / create_s, "images/s", "higher", f"calls of create_image, {BATCH:,} waiting at a time"
        ),
        "bytes_per_image": Figure(
            database.stat().st_size / images, "bytes", "lower", "size of the file / images"
        ),
    }


async def _fill(database: Path, count: int) -> tuple[float, float]:
    """Seconds of writing outcomes, and of creating images."""
    write_s = create_s = 0.0
    async with open_sqlite_store(SqliteOptions(database, write_timeout_s=120, max_group=1_000)) as store:
        for done, batch in enumerate(_batches(count), 1):
            started = time.perf_counter()
            created = await asyncio.gather(*(store.create_image(made.new, "") for made in batch))
            create_s += time.perf_counter() - started
            outcomes = [
                Outcome(image.uuid, made.analyses, ImageState.PROCESSED)
                for (image, _), made in zip(created, batch, strict=True)
            ]
            write_s += await _write(store, outcomes)
            if done % 10 == 0:
                print(f"  {done * BATCH:,} images", file=sys.stderr)
    return write_s, create_s


async def _write(store: SqliteStore, outcomes: list[Outcome]) -> float:
    started = time.perf_counter()
    refusals = await store.write_outcomes(outcomes)
    seconds = time.perf_counter() - started
    assert not any(refusals), refusals
    return seconds


def _batches(count: int) -> Iterator[list[MadeImage]]:
    """Made in another process, so that making them takes nothing from writing them."""
    starts = range(0, count, BATCH)
    with ProcessPoolExecutor(1) as maker:
        ahead = maker.submit(_made, starts[0])
        for start in [*starts[1:], None]:
            batch = ahead.result()
            if start is not None:
                ahead = maker.submit(_made, start)
            yield batch


def _made(start: int) -> list[MadeImage]:
    return list(made_images(start, BATCH))


def _raw_seconds(source: Path, target: Path, count: int) -> float:
    """Seconds to write the same rows with nothing but sqlite3, into the same tables and indexes.

    Images, facts and blobs lie there before, as they do when results come; they are changed in place.
    """
    seconds = 0.0
    with closing(sqlite3.connect(source)) as reader, closing(open_database(target, 0)) as writer:
        for table in ("postings", "facts"):
            # In the order of images, to be read batch by batch.
            reader.execute(f"CREATE TEMP TABLE by_number_{table} AS SELECT * FROM {table} ORDER BY number")  # noqa: S608
            reader.execute(f"CREATE INDEX temp.{table}_number ON by_number_{table} (number)")
        _copy_bare_images(reader, writer)
        for low in range(1, count + 1, BATCH):
            span = (low, low + BATCH - 1)
            rows = {statement: reader.execute(select, span).fetchall() for statement, select in _RAW.items()}
            started = time.perf_counter()
            writer.execute("BEGIN IMMEDIATE")
            for statement, values in rows.items():
                marks = ", ".join("?" * len(values[0])) if values else ""
                writer.executemany(statement.format(marks=marks), values)
            writer.execute("COMMIT")
            seconds += time.perf_counter() - started
    target.unlink()
    return seconds


_RAW = {
    "INSERT INTO analyses VALUES ({marks})": (
        "SELECT a.* FROM images i JOIN analyses a ON a.blob_id = i.blob_id WHERE i.number BETWEEN ? AND ?"
    ),
    "INSERT OR REPLACE INTO postings VALUES ({marks})": (
        "SELECT * FROM by_number_postings WHERE number BETWEEN ? AND ?"
    ),
    "INSERT OR REPLACE INTO image_terms VALUES ({marks})": (
        "SELECT * FROM image_terms WHERE number BETWEEN ? AND ?"
    ),
    "INSERT OR REPLACE INTO sheets VALUES ({marks})": "SELECT * FROM sheets WHERE number BETWEEN ? AND ?",
    "INSERT OR REPLACE INTO looks VALUES ({marks})": "SELECT * FROM looks WHERE number BETWEEN ? AND ?",
    "UPDATE documents SET names = ?, tags = ?, caption = ?, objects = ?, text = ? WHERE rowid = ?": (
        "SELECT names, tags, caption, objects, text, rowid FROM documents WHERE rowid BETWEEN ? AND ?"
    ),
    "INSERT INTO faces VALUES ({marks})": "SELECT * FROM faces WHERE number BETWEEN ? AND ?",
    "UPDATE images SET state = ?, insights_id = ?, caption_id = ?, update_time_us = ? WHERE number = ?": (
        "SELECT state, insights_id, caption_id, update_time_us, number FROM images "
        "WHERE number BETWEEN ? AND ?"
    ),
    "UPDATE facts SET state = ?, quality = ?, face_count = ?, blur = ?, scene = ?, has_text = ?, colors = ? "
    "WHERE create_time_us = ? AND number = ?": (
        "SELECT state, quality, face_count, blur, scene, has_text, colors, create_time_us, number "
        "FROM by_number_facts WHERE number BETWEEN ? AND ?"
    ),
}


def _copy_bare_images(reader: sqlite3.Connection, writer: sqlite3.Connection) -> None:
    """Images as they are before results come."""
    writer.execute("BEGIN")
    for table in ("blobs", "images", "facts", "terms"):
        rows = reader.execute(f"SELECT * FROM {table}")  # noqa: S608
        marks = ", ".join("?" * len(rows.description))
        writer.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
    writer.execute("UPDATE images SET state = 1, insights_id = NULL, caption_id = NULL")
    writer.execute(
        "UPDATE facts SET state = 1, quality = -1, face_count = -1, blur = 0, scene = 0, colors = x''"
    )
    writer.execute("INSERT INTO documents (rowid, names) SELECT number, name FROM facts")
    writer.execute("COMMIT")
