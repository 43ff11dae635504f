"""What workers found, written once in effect."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3

from services.catalog.model import AnalysisRecord, Analyzer, Outcome
from services.catalog.names import ImageKey, image_not_found
from services.catalog.sqlite_images import key_condition
from services.catalog.states import ImageState, finished
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason


def write_outcome(connection: sqlite3.Connection, outcome: Outcome, now_us: int) -> None:
    """See ``CatalogStore.write_outcome``; must run behind a savepoint, so that all or nothing is stored."""
    if outcome.image is None:
        for analysis in outcome.analyses:
            _store_analysis(connection, _blob_id(connection, analysis.sha256), analysis, now_us)
        return
    _finish_image(connection, outcome.image, outcome, now_us)


def _finish_image(connection: sqlite3.Connection, key: ImageKey, outcome: Outcome, now_us: int) -> None:
    condition, parameter = key_condition(key)
    row = connection.execute(
        "SELECT i.number, i.state, i.blob_id, i.insights_id, i.caption_id, b.sha256 "
        f"FROM images i JOIN blobs b ON b.id = i.blob_id WHERE {condition}",
        (parameter,),
    ).fetchone()
    if row is None:
        raise image_not_found(key)
    number, state, blob_id, insights_id, caption_id, digest = row
    after = state if outcome.state is None else finished(ImageState(state), outcome.state)
    shown: dict[Analyzer, int | None] = {"insights": insights_id, "caption": caption_id}
    changed = False
    for analysis in outcome.analyses:
        _refuse_other_bytes(analysis, digest.hex())
        analysis_id, stored = _store_analysis(connection, blob_id, analysis, now_us)
        changed = changed or stored or shown[analysis.analyzer] != analysis_id
        shown[analysis.analyzer] = analysis_id
    if changed:
        connection.execute(
            """UPDATE images SET insights_id = ?, caption_id = ?, update_time_us = ?, revision = revision + 1
               WHERE number = ?""",
            (shown["insights"], shown["caption"], now_us, number),
        )
    if after != state:
        connection.execute(
            """UPDATE images SET state = ?, error = ?, process_time_us = ?, update_time_us = ?,
               revision = revision + 1 WHERE number = ?""",
            (int(after), outcome.error, now_us, now_us, number),
        )


def _refuse_other_bytes(analysis: AnalysisRecord, sha256: str) -> None:
    if analysis.sha256 != sha256:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            "The analysis is of other bytes than the image; sha256 must be the image's.",
            field="analyses.sha256",
        )


def _blob_id(connection: sqlite3.Connection, sha256: str) -> int:
    row = connection.execute("SELECT id FROM blobs WHERE sha256 = ?", (bytes.fromhex(sha256),)).fetchone()
    if row is None:
        raise NotFoundError(
            Reason.IMAGE_NOT_FOUND,
            "No image has these bytes; analyses go when the last image with the bytes is deleted.",
            sha256=sha256,
        )
    return int(row[0])


def _store_analysis(
    connection: sqlite3.Connection, blob_id: int, analysis: AnalysisRecord, now_us: int
) -> tuple[int, bool]:
    """The id of the stored analysis, and whether anything changed."""
    # A clock that is ahead must not keep later results out.
    given_us = min(analysis.create_time_us, now_us)
    key = (blob_id, analysis.analyzer, analysis.version, analysis.settings_digest)
    row = connection.execute(
        """INSERT INTO analyses
               (blob_id, analyzer, version, settings_digest, create_time_us, elapsed_us, result)
           VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET create_time_us = excluded.create_time_us,
               elapsed_us = excluded.elapsed_us, result = excluded.result
               WHERE ? > create_time_us
           RETURNING id""",
        (*key, given_us or now_us, analysis.elapsed_us, analysis.result, given_us),
    ).fetchone()
    if row is not None:
        return int(row[0]), True
    (analysis_id,) = connection.execute(
        "SELECT id FROM analyses WHERE blob_id = ? AND analyzer = ? AND version = ? AND settings_digest = ?",
        key,
    ).fetchone()
    return int(analysis_id), False
