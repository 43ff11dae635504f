"""What the catalog asks of a store. Every adapter passes tests/contract/catalog.

Promises of every adapter:

- A call that returned is durable and seen by every call that starts afterwards.
- Every call ends by the adapter's own deadline, with ``TimeoutError`` or ``DeadlineError``; what was not
  answered may or may not have happened, and may be repeated.
- A bound that is reached is ``ResourceExhaustedError``: OVERLOADED when too much waits, STORAGE_FULL.
  A store that does not answer is ``UnavailableError(STORE_UNAVAILABLE)``, damage is
  ``DataLossError(DATA_DAMAGED)``.
- A soft-deleted image is not found, but by ``delete_image``, ``restore_image``, ``write_outcomes`` and where
  ``with_hidden`` is asked for.
- Findings (what lists, search and facets go by) change in the same step as what they are derived from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from services.catalog.conditions import Condition, TermField
from services.catalog.model import (
    AnalysisPage,
    CatalogStats,
    CondemnedBlob,
    FacetPage,
    HitPage,
    ImageChange,
    ImagePage,
    ImageQuery,
    ImageRecord,
    LookPair,
    LookRow,
    NewImage,
    Outcome,
    PageOrder,
    SearchPlace,
    SearchWords,
    StartedImage,
    StrayBlob,
)
from services.catalog.names import ImageKey
from services.runtime.errors import ServiceError

# Enough to find the current version beside those of a few other settings.
STARTED_ANALYSES_PER_ANALYZER = 4
# Results in one answer; a page ends early rather than exceed it by more than one image.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
# Matches that are put into the order of their relevance together.
SEARCH_WINDOW = 1_000


class CatalogStore(Protocol):
    """A durable catalog. Unless said otherwise an unknown image is ``NotFoundError(IMAGE_NOT_FOUND)``."""

    async def create_image(
        self, new: NewImage, request_id: str, blob_generation: int = 0
    ) -> tuple[ImageRecord, bool]:
        """Records an image; True when this call did, False when ``request_id`` was known.

        Numbers ascend and are never used twice. Raises ``AlreadyExistsError(REQUEST_ID_REUSED)`` when the
        request id came with other bytes before, and ``InvalidArgumentError(INVALID_FIELD)`` when the same
        bytes are known with another key or size. A request id is free again once its image is deleted for
        good. Bytes that are condemned are ``UnavailableError(BLOB_BEING_COLLECTED)``; bytes that were
        collected are ``AbortedError(BLOB_COLLECTED)`` with their ``generation``, unless it is given.
        """
        ...

    async def get_image(self, key: ImageKey, *, with_results: bool) -> ImageRecord:
        """One image."""
        ...

    async def get_images(self, numbers: Sequence[int]) -> list[ImageRecord]:
        """The images with these numbers that exist, in the given order, without results; at most 1,000."""
        ...

    async def list_images(self, query: ImageQuery, order: PageOrder, *, with_results: bool) -> ImagePage:
        """A page of images in an order; those of the same key by number."""
        ...

    async def search_images(
        self, words: SearchWords, condition: Condition, size: int, after: SearchPlace | None
    ) -> HitPage:
        """A page of the images that have all words and meet a condition; without results."""
        ...

    async def list_facets(
        self, field: TermField, batch: str, size: int, after: tuple[int, str] | None
    ) -> FacetPage:
        """Values of a field over all images, or those of one batch if it is not empty, from counters."""
        ...

    async def export_rows(
        self, condition: Condition, columns: Sequence[str], size: int, after: int
    ) -> tuple[list[tuple[Any, ...]], int | None]:
        """Rows of images with numbers above ``after``, by number, at most ``size``.

        ``columns`` are names of ``services.catalog.export.columns.STORED``; values are str, int, float or
        None. Where they are ``export_lines.Lines`` an adapter may give whole lines in their place. Second the
        number to go on after; None when there is no more. May be shorter than asked for.
        """
        ...

    async def change_image(self, key: ImageKey, change: ImageChange, revision: int | None) -> ImageRecord:
        """Changes labels and corrections; ``AbortedError(ETAG_MISMATCH)`` when ``revision`` is given and not
        current."""
        ...

    async def delete_image(self, key: ImageKey) -> None:
        """Deletes for good. Bytes that no image refers to any more become garbage, with their analyses."""
        ...

    async def hide_image(self, key: ImageKey) -> None:
        """Deletes softly."""
        ...

    async def restore_image(self, key: ImageKey) -> ImageRecord:
        """Takes ``hide_image`` back; ``FailedPreconditionError(WRONG_STATE)`` when there is nothing to."""
        ...

    async def purge_hidden(self, before_us: int, most: int) -> int:
        """Deletes for good what was hidden before a time, oldest first, at most ``most``; says how many."""
        ...

    async def condemn_blobs(self, before_us: int, most: int) -> list[CondemnedBlob]:
        """Condemns garbage that has been so since before a time; with what is condemned already, at most
        ``most``, oldest first. Analyses of condemned bytes are gone."""
        ...

    async def forget_blobs(self, digests: Sequence[str]) -> None:
        """Marks condemned blobs as collected; others are passed by. Each has a generation of its own."""
        ...

    async def adopt_blobs(self, blobs: Sequence[StrayBlob]) -> int:
        """Makes garbage, from now on, of blobs that are not known; says of how many. Others are passed by."""
        ...

    async def start_images(self, keys: Sequence[ImageKey]) -> list[StartedImage]:
        """Moves PENDING images to PROCESSING; returns those that exist, in the given order.

        Each comes with at most ``STARTED_ANALYSES_PER_ANALYZER`` analyses an analyzer. Beyond
        ``MAX_ANSWER_BYTES`` of results the rest comes without: making them again is harmless.
        """
        ...

    async def write_outcomes(self, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
        """Stores analyses and final states; each applied once in effect, however often it is sent.

        Says for each why it was refused (nothing of it is stored), or None. Of two results with the same key
        the later one by ``create_time_us`` stays. An image shows the analyses that were written for it; one
        that enters a final state without an analysis of its own shows the newest of its bytes. Refusals:
        ``NotFoundError(IMAGE_NOT_FOUND)`` also when no image has the bytes of an analysis,
        ``InvalidArgumentError(INVALID_FIELD)`` when an analysis is of other bytes than the image, and
        ``FailedPreconditionError(WRONG_STATE)``.
        """
        ...

    async def list_analyses(self, key: ImageKey, order: PageOrder) -> AnalysisPage:
        """A page of the analyses of an image's bytes, newest first."""
        ...

    async def read_stats(self) -> CatalogStats:
        """Counts, from maintained counters."""
        ...

    async def ping(self) -> None:
        """Returns when the store can be read and written."""
        ...


class LookStore(Protocol):
    """How images look, and which look alike."""

    async def read_looks(self, after: int, most: int) -> list[LookRow]:
        """Looks with sequences above ``after``, ascending. Deleted images may be among them."""
        ...

    async def look_of(self, number: int) -> LookRow | None:
        """The look of an image that is not deleted, or None where it has none."""
        ...

    async def write_pairs(self, pairs: Sequence[LookPair], compared_through: int) -> None:
        """Adds pairs (known ones again are harmless); all looks up to a sequence are compared from now on."""
        ...

    async def read_pairs(self, after: tuple[int, int], most: int) -> list[LookPair]:
        """Pairs by (number, earlier), above ``after``. Pairs of deleted images may be among them."""
        ...

    async def compared_through(self) -> int:
        """The sequence that ``write_pairs`` said last; 0 before."""
        ...

    async def list_repeated(self, most: int, after: str) -> list[tuple[str, list[int]]]:
        """Digests above ``after``, ascending, that several images share which are not deleted, with the
        numbers of these images, ascending, at most 1,000 of them."""
        ...
