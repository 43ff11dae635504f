"""What workers found, many items at a time, each written once in effect.

Items are judged one after the other in memory before anything is written: so a refused one leaves nothing,
and each collection gets one call for all the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.catalog.model import AnalysisRecord, Outcome
from services.catalog.mongo.changes import show_newest
from services.catalog.mongo.desk import MongoDesk
from services.catalog.mongo.documents import Document, analysis_id
from services.catalog.names import ImageKey, image_not_found
from services.catalog.states import ImageState, finished
from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError

_MOST_ITEMS = 256
_MOST_BYTES = 8 * 1024 * 1024
# A document has at most 16 MiB, with its other fields.
_MOST_RESULT_BYTES = 15 * 1024 * 1024


def split_outcomes(outcomes: Sequence[Outcome]) -> Iterable[Sequence[Outcome]]:
    """The items in pieces that each fit into one transaction, or are one item."""
    start, size_bytes = 0, 0
    for place, outcome in enumerate(outcomes):
        item_bytes = sum(len(analysis.result) for analysis in outcome.analyses)
        if place > start and (place - start >= _MOST_ITEMS or size_bytes + item_bytes > _MOST_BYTES):
            yield outcomes[start:place]
            start, size_bytes = place, 0
        size_bytes += item_bytes
    if start < len(outcomes):
        yield outcomes[start:]


async def write_outcomes(desk: MongoDesk, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
    """See ``CatalogStore.write_outcomes``."""
    count = sum(len(outcome.analyses) for outcome in outcomes)
    await desk.begin(sequences=count)
    batch = _Batch(desk)
    await batch.load(outcomes)
    refusals = [batch.judge(outcome) for outcome in outcomes]
    # Images that show a result that is another now; they did not change themselves.
    showing = await desk.load_showing(batch.replaced)
    await desk.derive(batch.changed | showing, batch.looked | showing)
    await desk.finish()
    return refusals


class _Batch:
    """Items over the images, bytes and analyses that they speak of."""

    def __init__(self, desk: MongoDesk) -> None:
        self._desk = desk
        self._images: dict[ImageKey, Document] = {}
        self.changed: set[int] = set()
        self.looked: set[int] = set()
        self.replaced: set[str] = set()

    async def load(self, outcomes: Sequence[Outcome]) -> None:
        """Reads everything that judging needs."""
        self._images = await self._desk.load_images(
            outcome.image for outcome in outcomes if outcome.image is not None
        )
        loose = {
            analysis.sha256 for outcome in outcomes if outcome.image is None for analysis in outcome.analyses
        }
        await self._desk.load_blobs(loose)
        await self._desk.load_analyses(loose | {image["sha256"] for image in self._images.values()})

    def judge(self, outcome: Outcome) -> ServiceError | None:
        """Applies an item; says why not where it is refused, and then nothing of it is applied."""
        try:
            _refuse_too_large(outcome.analyses)
            if outcome.image is None:
                self._check_bytes(outcome)
                for analysis in outcome.analyses:
                    self._store(analysis)
            else:
                self._finish_image(outcome.image, outcome)
        except ServiceError as refusal:
            return refusal
        return None

    def _finish_image(self, key: ImageKey, outcome: Outcome) -> None:
        image = self._images.get(key)
        if image is None:
            raise image_not_found(key)
        state = ImageState(image["state"])
        after = state if outcome.state is None else finished(state, outcome.state)
        _refuse_other_bytes(outcome.analyses, image["sha256"])
        stored = [self._show(image, analysis) for analysis in outcome.analyses]
        if after is not state:
            image["state"], image["error"] = int(after), outcome.error
            image["process_time_us"] = self._desk.now_us
            show_newest(self._desk, image)
            self.looked.add(image["_id"])
        if any(stored) or after is not state:
            self._desk.touch(image)
            self.changed.add(image["_id"])

    def _show(self, image: Document, analysis: AnalysisRecord) -> bool:
        """Stores an analysis and lets the image show it; True when that changes anything."""
        key = analysis_id(analysis)
        changed = self._store(analysis) or image["shown"].get(analysis.analyzer) != key
        image["shown"][analysis.analyzer] = key
        if changed and analysis.analyzer == "insights":
            self.looked.add(image["_id"])
        return changed

    def _store(self, analysis: AnalysisRecord) -> bool:
        """True when the analysis is new, or later than the one with the same key."""
        desk, key = self._desk, analysis_id(analysis)
        known = desk.analyses.get(key)
        # A clock that is ahead must not keep later results out.
        given_us = min(analysis.create_time_us, desk.now_us)
        if known and given_us <= known["create_time_us"]:
            return False
        desk.analyses[key] = {
            "_id": key,
            "sha256": analysis.sha256,
            "analyzer": analysis.analyzer,
            "version": analysis.version,
            "settings_digest": analysis.settings_digest,
            "create_time_us": given_us or desk.now_us,
            "elapsed_us": analysis.elapsed_us,
            "sequence": known["sequence"] if known else desk.next_sequence(),
            "result": analysis.result,
        }
        if known:
            self.replaced.add(key)
        else:
            desk.stats["analyses"] += 1
        desk.written.add(key)
        return True

    def _check_bytes(self, outcome: Outcome) -> None:
        for analysis in outcome.analyses:
            blob = self._desk.blobs.get(analysis.sha256)
            if blob is None or not blob["ref_count"]:
                raise NotFoundError(
                    Reason.IMAGE_NOT_FOUND,
                    "No image has these bytes; analyses go when the last image with the bytes is deleted.",
                    sha256=analysis.sha256,
                )


def _refuse_too_large(analyses: Iterable[AnalysisRecord]) -> None:
    for analysis in analyses:
        if len(analysis.result) > _MOST_RESULT_BYTES:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD,
                f"A result has at most {_MOST_RESULT_BYTES} bytes in MongoDB; leave parts of it out.",
                field="analyses.result",
                limit=_MOST_RESULT_BYTES,
            )


def _refuse_other_bytes(analyses: Iterable[AnalysisRecord], sha256: str) -> None:
    if any(analysis.sha256 != sha256 for analysis in analyses):
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            "The analysis is of other bytes than the image; sha256 must be the image's.",
            field="analyses.sha256",
        )
