"""Reads other than lists of images."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from services.catalog.model import (
    ANALYZERS,
    AnalysisPage,
    AnalysisRecord,
    CatalogStats,
    ImageRecord,
    PageOrder,
    StartedImage,
)
from services.catalog.names import ImageKey
from services.catalog.sqlite.images import newest_analysis_ids, read_analysis, read_image
from services.catalog.states import ImageState
from services.catalog.store import MAX_ANSWER_BYTES, STARTED_ANALYSES_PER_ANALYZER
from services.runtime.errors import NotFoundError

_BLOB_ID = "(SELECT id FROM blobs WHERE sha256 = ?)"


def read_started(connection: sqlite3.Connection, keys: Sequence[ImageKey]) -> list[StartedImage]:
    """The images that exist, with the newest analyses of their bytes while these fit into an answer."""
    images: list[StartedImage] = []
    result_bytes = 0
    for key in keys:
        try:
            image = read_image(connection, key)
        except NotFoundError:
            continue
        analyses: list[AnalysisRecord] = []
        for analysis in _newest_analyses(connection, _digest(image)):
            if result_bytes > MAX_ANSWER_BYTES:
                break
            analyses.append(analysis)
            result_bytes += len(analysis.result)
        images.append(StartedImage(image, tuple(analyses)))
    return images


def read_analysis_page(connection: sqlite3.Connection, key: ImageKey, order: PageOrder) -> AnalysisPage:
    """A page of the analyses of an image's bytes, newest first."""
    condition = f"a.blob_id = {_BLOB_ID}"
    parameters: tuple[object, ...] = (_digest(read_image(connection, key)),)
    if order.after is not None:
        condition += " AND (a.create_time_us, a.id) < (?, ?)"
        parameters += order.after
    ids = newest_analysis_ids(connection, condition, parameters, order.size + 1)
    page: list[AnalysisRecord] = []
    result_bytes = 0
    for analysis_id in ids[: order.size]:
        if result_bytes > MAX_ANSWER_BYTES:
            break
        page.append(read_analysis(connection, analysis_id))
        result_bytes += len(page[-1].result)
    more = len(ids) > len(page)
    return AnalysisPage(tuple(page), (page[-1].create_time_us, ids[len(page) - 1]) if more else None)


def read_stats(connection: sqlite3.Connection) -> CatalogStats:
    """The counters."""
    counts: dict[tuple[str, int], int] = {
        (kind, key): count for kind, key, count in connection.execute("SELECT kind, key, count FROM counters")
    }
    by_number = [(kind, key, count) for (kind, key), count in sorted(counts.items()) if count]
    return CatalogStats(
        image_count=counts["images", 0],
        blob_count=counts["blobs", 0],
        blob_bytes=counts["blob_bytes", 0],
        analysis_count=counts["analyses", 0],
        states={ImageState(key): count for kind, key, count in by_number if kind == "state"},
        formats={key: count for kind, key, count in by_number if kind == "format"},
        store=f"sqlite {sqlite3.sqlite_version}",
    )


def _newest_analyses(connection: sqlite3.Connection, digest: bytes) -> Iterator[AnalysisRecord]:
    return (
        read_analysis(connection, analysis_id)
        for analyzer in ANALYZERS
        for analysis_id in newest_analysis_ids(
            connection,
            f"a.blob_id = {_BLOB_ID} AND a.analyzer = ?",
            (digest, analyzer),
            STARTED_ANALYSES_PER_ANALYZER,
        )
    )


def _digest(image: ImageRecord) -> bytes:
    return bytes.fromhex(image.image.sha256)
