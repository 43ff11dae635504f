"""What workers found, many items at a time, each written once in effect.

Items are judged one after the other in memory, against what is stored of their images and bytes, before
anything is written: so a refused one leaves nothing, and each table gets one statement for all the others.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.catalog.model import ANALYZERS, AnalysisRecord, Analyzer, Outcome
from services.catalog.names import ImageKey, image_not_found
from services.catalog.sqlite.counters import add_counts
from services.catalog.sqlite.findings import keep_findings
from services.catalog.sqlite.known import (
    KnownImage,
    StoredResult,
    load_images,
    load_results,
    select_in,
    shown_ids,
)
from services.catalog.states import ImageState, finished
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError


def write_outcomes(
    connection: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int
) -> list[ServiceError | None]:
    """See ``CatalogStore.write_outcomes``."""
    connection.execute("SAVEPOINT outcomes")
    refusals: list[ServiceError | None] | None
    try:
        refusals = _Batch(connection, outcomes, now_us).write(outcomes)
    except ServiceError as refusal:
        # Damage in what is stored of one image: the others must not suffer for it.
        connection.execute("ROLLBACK TO outcomes")
        refusals = [refusal] if len(outcomes) == 1 else None
    connection.execute("RELEASE outcomes")
    if refusals is None:
        return [entry for outcome in outcomes for entry in write_outcomes(connection, [outcome], now_us)]
    return refusals


_Key = tuple[str, str, str]
"""Analyzer, version, settings."""


@dataclass(slots=True)
class _Analysis:
    """An analysis that is stored or will be; ``record`` is None while what is stored stays."""

    id: int
    create_time_us: int
    record: AnalysisRecord | None = None


@dataclass(slots=True)
class _Move:
    """What became of an image: how many items changed it, and whether its state is another."""

    image: KnownImage
    changes: int = 0
    ended: int = 0


class _Batch:
    """Items over the images, bytes and analyses that they speak of."""

    def __init__(self, connection: sqlite3.Connection, outcomes: Sequence[Outcome], now_us: int) -> None:
        self._connection = connection
        self._now_us = now_us
        self._images = load_images(connection, (item.image for item in outcomes if item.image is not None))
        self._blob_ids = _find_blobs(connection, outcomes)
        self._analyses = self._load_analyses()
        self._first_id = self._next_id = _last_analysis_id(connection) + 1
        self._moves: dict[int, _Move] = {}
        # Numbers of the images whose insights may be others than before.
        self._looked: set[int] = set()
        self._states: Counter[tuple[str, int]] = Counter()

    def write(self, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
        """Judges all items, then writes what they change."""
        refusals = [self._judge(outcome) for outcome in outcomes]
        results = self._write_analyses()
        self._write_images()
        changed = {number: move.image for number, move in self._moves.items()} | self._showing_replaced()
        results |= load_results(self._connection, shown_ids(changed.values()) - results.keys())
        keep_findings(self._connection, list(changed.values()), results, self._now_us, self._looked)
        return refusals

    def _judge(self, outcome: Outcome) -> ServiceError | None:
        try:
            if outcome.image is None:
                self._apply_to_bytes(outcome.analyses)
            else:
                self._apply_to_image(outcome.image, outcome)
        except ServiceError as refusal:
            return refusal
        return None

    def _apply_to_bytes(self, analyses: Sequence[AnalysisRecord]) -> None:
        for analysis in analyses:
            if analysis.sha256 not in self._blob_ids:
                raise NotFoundError(
                    Reason.IMAGE_NOT_FOUND,
                    "No image has these bytes; analyses go when the last image with the bytes is deleted.",
                    sha256=analysis.sha256,
                )
        for analysis in analyses:
            self._store(self._blob_ids[analysis.sha256], analysis)

    def _apply_to_image(self, key: ImageKey, outcome: Outcome) -> None:
        image = self._images.get(key)
        if image is None:
            raise image_not_found(key)
        after = image.state if outcome.state is None else finished(image.state, outcome.state)
        for analysis in outcome.analyses:
            _refuse_other_bytes(analysis, image)
        changed = False
        for analysis in outcome.analyses:
            analysis_id, stored = self._store(image.blob_id, analysis)
            changed |= self._show(image, analysis.analyzer, analysis_id) or stored
        ended = after is not image.state
        if ended:
            self._end(image, after, outcome.error)
        if changed or ended:
            move = self._moves.setdefault(image.number, _Move(image))
            move.changes += 1
            move.ended += ended

    def _store(self, blob_id: int, analysis: AnalysisRecord) -> tuple[int, bool]:
        """The id of the stored analysis, and whether anything changed."""
        # A clock that is ahead must not keep later results out.
        given_us = min(analysis.create_time_us, self._now_us)
        key = (analysis.analyzer, analysis.version, analysis.settings_digest)
        of_bytes = self._analyses.setdefault(blob_id, {})
        known = of_bytes.get(key)
        if known is None:
            of_bytes[key] = known = _Analysis(self._next_id, given_us or self._now_us, analysis)
            self._next_id += 1
            return known.id, True
        if given_us <= known.create_time_us:
            return known.id, False
        known.create_time_us, known.record = given_us, analysis
        return known.id, True

    def _show(self, image: KnownImage, analyzer: Analyzer, analysis_id: int) -> bool:
        if analyzer == "insights":
            self._looked.add(image.number)
            changed, image.insights_id = image.insights_id != analysis_id, analysis_id
        else:
            changed, image.caption_id = image.caption_id != analysis_id, analysis_id
        return changed

    def _end(self, image: KnownImage, after: ImageState, error: bytes) -> None:
        if image.delete_time_us is None:
            self._states["state", int(image.state)] -= 1
            self._states["state", int(after)] += 1
        image.state, image.error = after, error
        for analyzer, shown in zip(ANALYZERS, (image.insights_id, image.caption_id), strict=True):
            if shown is None and (newest := self._newest(image.blob_id, analyzer)) is not None:
                self._show(image, analyzer, newest)

    def _newest(self, blob_id: int, analyzer: Analyzer) -> int | None:
        of_bytes = self._analyses.get(blob_id, {})
        found = [(known.create_time_us, known.id) for key, known in of_bytes.items() if key[0] == analyzer]
        return max(found)[1] if found else None

    def _load_analyses(self) -> dict[int, dict[_Key, _Analysis]]:
        statement = """SELECT blob_id, analyzer, version, settings_digest, id, create_time_us
            FROM analyses WHERE blob_id IN"""
        found: dict[int, dict[_Key, _Analysis]] = {}
        blob_ids = {image.blob_id for image in self._images.values()} | set(self._blob_ids.values())
        for row in select_in(self._connection, statement, list(blob_ids)):
            found.setdefault(row[0], {})[row[1:4]] = _Analysis(row[4], row[5])
        return found

    def _write_analyses(self) -> dict[int, StoredResult]:
        """Writes what is new or replaced; gives the results of these by their ids."""
        new: list[tuple[object, ...]] = []
        replaced: list[tuple[object, ...]] = []
        results: dict[int, StoredResult] = {}
        for blob_id, of_bytes in self._analyses.items():
            for key, known in of_bytes.items():
                if known.record is None:
                    continue
                written = (known.create_time_us, known.record.elapsed_us, known.record.result)
                if known.id >= self._first_id:
                    new.append((known.id, blob_id, *key, *written))
                else:
                    replaced.append((*written, known.id))
                results[known.id] = StoredResult(*key, known.record.result)
        self._connection.executemany("INSERT INTO analyses VALUES (?, ?, ?, ?, ?, ?, ?, ?)", new)
        self._connection.executemany(
            "UPDATE analyses SET create_time_us = ?, elapsed_us = ?, result = ? WHERE id = ?", replaced
        )
        add_counts(self._connection, {("analyses", 0): len(new)} | self._states)
        return results

    def _write_images(self) -> None:
        self._connection.executemany(
            """UPDATE images SET state = ?, error = ?, insights_id = ?, caption_id = ?,
                   process_time_us = coalesce(?, process_time_us), update_time_us = ?, revision = revision + ?
               WHERE number = ?""",
            [
                (
                    int(image.state),
                    image.error,
                    image.insights_id,
                    image.caption_id,
                    self._now_us if move.ended else None,
                    self._now_us,
                    move.changes,
                    number,
                )
                for number, move in self._moves.items()
                for image in (move.image,)
            ],
        )

    def _showing_replaced(self) -> dict[int, KnownImage]:
        """The images that show an analysis whose result is another now."""
        replaced = {
            known.id: blob_id
            for blob_id, of_bytes in self._analyses.items()
            for known in of_bytes.values()
            if known.record is not None and known.id < self._first_id
        }
        statement = "SELECT number, insights_id, caption_id FROM images WHERE blob_id IN"
        rows = select_in(self._connection, statement, list(set(replaced.values())))
        others = [
            row[0] for row in rows if row[0] not in self._moves and not replaced.keys().isdisjoint(row[1:])
        ]
        self._looked.update(others)
        return {image.number: image for image in load_images(self._connection, others).values()}


def _find_blobs(connection: sqlite3.Connection, outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Ids of the bytes whose analyses came without an image, as far as images refer to them."""
    digests = {item.sha256 for outcome in outcomes if outcome.image is None for item in outcome.analyses}
    statement = "SELECT sha256, id FROM blobs WHERE ref_count > 0 AND sha256 IN"
    rows = select_in(connection, statement, [bytes.fromhex(digest) for digest in digests])
    return {digest.hex(): blob_id for digest, blob_id in rows}


def _last_analysis_id(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'analyses'").fetchone()
    return int(row[0]) if row else 0


def _refuse_other_bytes(analysis: AnalysisRecord, image: KnownImage) -> None:
    if analysis.sha256 != image.image.sha256:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            "The analysis is of other bytes than the image; sha256 must be the image's.",
            field="analyses.sha256",
        )
