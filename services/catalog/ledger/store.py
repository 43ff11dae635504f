"""What the batch engine asks of a ledger. Every adapter passes tests/contract/catalog/test_ledger*.py.

The promises of ``services.catalog.store`` hold here, too. In addition:

- Counters always equal what the items say, those of a parent the sum over its parts.
- A batch with parts has no items of its own: verbs on it apply to those of its parts that allow them, and are
  refused when none does. Its state follows from the states of its parts.
- An unknown batch is ``NotFoundError(BATCH_NOT_FOUND)``; a value out of bounds (``ledger_rules``) is
  ``InvalidArgumentError(INVALID_FIELD)``; a move that a state does not allow is
  ``FailedPreconditionError(WRONG_STATE)``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol

from services.catalog.ledger.model import (
    Applied,
    BatchChange,
    BatchPage,
    BatchQuery,
    BatchRecord,
    ChunkRecord,
    ItemOutcome,
    ItemPage,
    ItemRecord,
    NewBatch,
    NewItem,
)
from services.catalog.ledger.states import ItemState

ONLY_FAILED = frozenset({ItemState.FAILED})


class LedgerStore(Protocol):
    """A durable ledger of batches, their chunks and their items."""

    async def create_batch(self, new: NewBatch, request_id: str) -> tuple[BatchRecord, bool]:
        """Records a batch without items; True when this call did, False when ``request_id`` was known.

        A part needs its parent, and a number that no other part has. Raises
        ``AlreadyExistsError(REQUEST_ID_REUSED)`` when the request id came with another parent, part or
        options. A request id is free again once its batch is deleted.
        """
        ...

    async def append_items(
        self, batch: uuid.UUID, items: Sequence[NewItem], first_row: int | None = None
    ) -> BatchRecord:
        """Adds 1 to 1,000 items to a batch that is not started, and their chunks of consecutive rows.

        With ``first_row`` the call may be repeated: rows that are there already are not added again, and
        ``AbortedError(ETAG_MISMATCH)`` says that rows in between are missing.
        """
        ...

    async def get_batch(self, batch: uuid.UUID) -> BatchRecord:
        """One batch."""
        ...

    async def list_batches(self, query: BatchQuery, size: int, after: uuid.UUID | None = None) -> BatchPage:
        """Batches, newest first, at most ``size`` (1 to 1,000) older than ``after``; parts included.

        An unknown parent has no parts.
        """
        ...

    async def get_item(self, batch: uuid.UUID, row: int) -> ItemRecord:
        """One item; ``NotFoundError(BATCH_NOT_FOUND)`` when there is none."""
        ...

    async def list_items(
        self, batch: uuid.UUID, states: frozenset[ItemState], size: int, after: int = 0
    ) -> ItemPage:
        """Items by row, at most ``size`` (1 to 1,000) beyond row ``after``, in any state if none is given."""
        ...

    async def change_batch(self, batch: uuid.UUID, change: BatchChange, revision: int | None) -> BatchRecord:
        """Changes name, labels, weight; ``AbortedError(ETAG_MISMATCH)`` when ``revision`` is given and not
        current."""
        ...

    async def start_batch(self, batch: uuid.UUID) -> BatchRecord:
        """CREATED to QUEUED; refused without items."""
        ...

    async def pause_batch(self, batch: uuid.UUID) -> BatchRecord:
        """QUEUED or RUNNING to PAUSED: results of chunks under way are still applied."""
        ...

    async def resume_batch(self, batch: uuid.UUID) -> BatchRecord:
        """PAUSED to QUEUED, or to a final state when nothing is left to do."""
        ...

    async def cancel_batch(self, batch: uuid.UUID) -> BatchRecord:
        """To CANCELLED, unless COMPLETED: open items count as cancelled, results to come are dropped.

        Takes the same short time for any number of items.
        """
        ...

    async def retry_batch(
        self, batch: uuid.UUID, rows: Sequence[int] = (), kinds: frozenset[ItemState] = ONLY_FAILED
    ) -> tuple[BatchRecord, int]:
        """Runs ended items again, in new chunks; says how many. None of them: nothing changes.

        ``kinds``: which of SUCCEEDED, FAILED and CANCELLED; ``rows`` (at most 1,000): only these, others are
        passed by. A cancelled batch runs again only with its cancelled items, as a new generation of their
        chunks: results of the run before are stale. Of a batch with parts each is a step of its own; after an
        error the call may be repeated. ``rows`` of a batch with parts are refused.
        """
        ...

    async def delete_batch(self, batch: uuid.UUID) -> None:
        """Deletes a batch with parts and items; refused while one of them is QUEUED or RUNNING.

        Parts go one by one, the parent last; after an error the call may be repeated.
        """
        ...

    async def get_chunk(self, batch: uuid.UUID, number: int) -> tuple[ChunkRecord, list[ItemRecord]]:
        """A chunk and its items: what a message to the workers is made of."""
        ...

    async def list_missing_chunks(
        self, batch: uuid.UUID, before_us: int, size: int, after: int = 0
    ) -> list[ChunkRecord]:
        """Chunks with numbers above ``after`` whose results did not come yet, of those made before a time.

        By number, at most ``size`` (1 to 1,000); none while the batch is neither QUEUED nor RUNNING. The
        results of a chunk count once, however often it is published.
        """
        ...

    async def apply_chunk(
        self, batch: uuid.UUID, chunk: int, generation: int, outcomes: Sequence[ItemOutcome]
    ) -> Applied:
        """Applies the results of a chunk, all or nothing, and once: ``Verdict`` says what became of them.

        One outcome for each item of the chunk. Items that are to be tried again go into a new chunk, the
        successor. The first results make a batch RUNNING; the last ones COMPLETED, or FAILED when every item
        failed. A batch that is held takes results and stays held. Unknown batches and chunks are STALE.
        """
        ...
