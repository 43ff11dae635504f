"""What the catalog asks of a store. Every adapter passes tests/contract/catalog.

Promises of every adapter:

- A call that returned is durable and seen by every call that starts afterwards.
- Every call ends by the adapter's own deadline, with ``TimeoutError`` or ``DeadlineError``; what was not
  answered may or may not have happened, and may be repeated.
- A bound that is reached is ``ResourceExhaustedError``: OVERLOADED when too much waits, STORAGE_FULL.
  A store that does not answer is ``UnavailableError(STORE_UNAVAILABLE)``, damage is
  ``DataLossError(DATA_DAMAGED)``.
- A soft-deleted image is not found, but by ``delete_image``, ``restore_image`` and ``write_outcome``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.catalog.model import (
    AnalysisPage,
    CatalogStats,
    ImagePage,
    ImageQuery,
    ImageRecord,
    NewImage,
    Outcome,
    PageOrder,
    StartedImage,
)
from services.catalog.names import ImageKey

# Enough to find the current version beside those of a few other settings.
STARTED_ANALYSES_PER_ANALYZER = 4
# Results in one answer; a page ends early rather than exceed it by more than one image.
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class CatalogStore(Protocol):
    """A durable catalog. Unless said otherwise an unknown image is ``NotFoundError(IMAGE_NOT_FOUND)``."""

    async def create_image(self, new: NewImage, request_id: str) -> tuple[ImageRecord, bool]:
        """Records an image; True when this call did, False when ``request_id`` was known.

        Numbers ascend and are never used twice. Raises ``AlreadyExistsError(REQUEST_ID_REUSED)`` when the
        request id came with other bytes before, and ``InvalidArgumentError(INVALID_FIELD)`` when the same
        bytes are known with another key or size. A request id is free again once its image is deleted for
        good.
        """
        ...

    async def get_image(self, key: ImageKey, *, with_results: bool) -> ImageRecord:
        """One image."""
        ...

    async def list_images(self, query: ImageQuery, order: PageOrder, *, with_results: bool) -> ImagePage:
        """A page of images by time of creation; images of the same microsecond by number."""
        ...

    async def update_labels(
        self, key: ImageKey, labels: Mapping[str, str], revision: int | None
    ) -> ImageRecord:
        """Replaces the labels; ``AbortedError(ETAG_MISMATCH)`` when ``revision`` is given and not current."""
        ...

    async def delete_image(self, key: ImageKey) -> tuple[str, ...]:
        """Deletes for good; returns the keys of the blobs that no image refers to any more.

        The analyses of such bytes go, too.
        """
        ...

    async def hide_image(self, key: ImageKey) -> None:
        """Deletes softly."""
        ...

    async def restore_image(self, key: ImageKey) -> ImageRecord:
        """Takes ``hide_image`` back; ``FailedPreconditionError(WRONG_STATE)`` when there is nothing to."""
        ...

    async def start_images(self, keys: Sequence[ImageKey]) -> list[StartedImage]:
        """Moves PENDING images to PROCESSING; returns those that exist, in the given order.

        Each comes with at most ``STARTED_ANALYSES_PER_ANALYZER`` analyses an analyzer. Beyond
        ``MAX_ANSWER_BYTES`` of results the rest comes without: making them again is harmless.
        """
        ...

    async def write_outcome(self, outcome: Outcome) -> None:
        """Stores analyses and the final state; applied once in effect, however often it is sent.

        Of two results with the same key the later one by ``create_time_us`` stays. An image that is named
        shows the analyses that were written for it; otherwise an image shows the newest of its bytes.
        Raises ``NotFoundError(IMAGE_NOT_FOUND)`` also when no image has the bytes of an analysis,
        ``InvalidArgumentError(INVALID_FIELD)`` when an analysis is of other bytes than the image, and
        ``FailedPreconditionError(WRONG_STATE)``; then nothing of the outcome is stored.
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
