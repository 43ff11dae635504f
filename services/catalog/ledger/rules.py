"""Bounds of everything that is written into the ledger; each breach is refused by name."""

from __future__ import annotations

from collections.abc import Sequence

from services.catalog.ledger.model import (
    BatchChange,
    BatchRecord,
    ChunkRecord,
    ItemOutcome,
    NewBatch,
    NewItem,
)
from services.catalog.ledger.states import OUTCOMES, RETRIABLE_ITEMS, BatchState, ItemState, refusal
from services.catalog.refusals import invalid_field
from services.runtime.errors import AbortedError, AlreadyExistsError, Reason

MAX_APPEND = 1_000
MAX_PAGE = 1_000
MAX_ITEMS = 100_000
"""Of one batch: more need parts, so that every step over a batch stays short."""
MAX_PARTS = 10_000
_MAX_NAME_CHARS = 255
_MAX_REQUEST_CHARS = 128
_MAX_URL_CHARS = 8_192
_MAX_COLUMNS_CHARS = 65_536
_MAX_LABELS = 64
_MAX_LABEL_CHARS = 1_024
_MAX_OPTIONS_BYTES = 65_536
_MAX_ERROR_BYTES = 16_384


def check_new_batch(new: NewBatch, request_id: str) -> None:
    """The bounds of a batch by itself."""
    if len(request_id) > _MAX_REQUEST_CHARS:
        raise invalid_field("request_id", f"At most {_MAX_REQUEST_CHARS} characters.")
    check_change(BatchChange(new.display_name, new.labels, new.weight))
    if len(new.options) > _MAX_OPTIONS_BYTES:
        raise invalid_field("options", f"At most {_MAX_OPTIONS_BYTES} bytes.")
    if not 0 <= new.part_count <= MAX_PARTS:
        raise invalid_field("part_count", f"0 to {MAX_PARTS}; make larger parts.")
    if (new.parent is None) != (new.part_number == 0) or (new.parent and new.part_count):
        raise invalid_field(
            "part_number", "Parts have a parent and a number from 1, and no parts themselves."
        )


def check_part(new: NewBatch, parent: BatchRecord, parts: int, namesakes: int) -> None:
    """Whether ``parent``, which has ``parts``, ``namesakes`` of that number, may have this one, too."""
    if parts >= parent.batch.part_count:
        raise invalid_field("parent_batch", f"It has all its {parent.batch.part_count} parts.")
    if namesakes or not 1 <= new.part_number <= MAX_PARTS:
        raise invalid_field("part_number", f"1 to {MAX_PARTS}, and each once.")


def check_same_request(new: NewBatch, known: BatchRecord) -> None:
    """Refuses a request id that came with another batch."""
    if new.identity != known.batch.identity:
        raise AlreadyExistsError(
            Reason.REQUEST_ID_REUSED,
            "This request_id came with another parent, part or options before; use a new one for each batch.",
            request_id=known.request_id,
        )


def check_change(change: BatchChange) -> None:
    """The bounds of what people may change."""
    if change.display_name is not None and len(change.display_name) > _MAX_NAME_CHARS:
        raise invalid_field("display_name", f"At most {_MAX_NAME_CHARS} characters.")
    if change.weight is not None and not 1 <= change.weight <= 10:
        raise invalid_field("weight", "1 to 10.")
    labels = change.labels or {}
    if len(labels) > _MAX_LABELS or any(
        len(text) > _MAX_LABEL_CHARS for pair in labels.items() for text in pair
    ):
        raise invalid_field("labels", f"At most {_MAX_LABELS}, of at most {_MAX_LABEL_CHARS} characters.")


def check_revision(record: BatchRecord, revision: int | None) -> None:
    """Refuses a change that was made to something older."""
    if revision is not None and revision != record.revision:
        raise AbortedError(
            Reason.ETAG_MISMATCH, "The batch changed since it was read; read it again and repeat the change."
        )


def check_items(items: Sequence[NewItem]) -> None:
    """The bounds of items to append."""
    if not 1 <= len(items) <= MAX_APPEND:
        raise invalid_field("items", f"1 to {MAX_APPEND} in one call.")
    for item in items:
        if not 1 <= len(item.url) <= _MAX_URL_CHARS:
            raise invalid_field("items.url", f"1 to {_MAX_URL_CHARS} characters.")
        if sum(len(key) + len(value) for key, value in item.columns.items()) > _MAX_COLUMNS_CHARS:
            raise invalid_field("items.columns", f"At most {_MAX_COLUMNS_CHARS} characters in all.")


def appends_again(record: BatchRecord, count: int, first_row: int | None) -> bool:
    """True when ``count`` items from ``first_row`` on are in the batch already; refuses what cannot be."""
    total = record.progress.total
    if first_row is not None and first_row + count - 1 <= total:
        return True
    if record.batch.part_count:
        raise refusal("append to", record.state, "It has parts; append to these.")
    if record.state is not BatchState.CREATED:
        raise refusal("append to", record.state, "Items come before the start; make another batch for these.")
    if first_row is not None and first_row != total + 1:
        raise AbortedError(Reason.ETAG_MISMATCH, f"The next item is row {total + 1}; go on from there.")
    if total + count > MAX_ITEMS:
        raise invalid_field("items", f"At most {MAX_ITEMS} in one batch; make a batch of several parts.")
    return False


def check_page(size: int) -> None:
    """The bounds of a page."""
    if not 1 <= size <= MAX_PAGE:
        raise invalid_field("page_size", f"1 to {MAX_PAGE}.")


def check_kinds(rows: Sequence[int], kinds: frozenset[ItemState]) -> None:
    """The bounds of a retry."""
    if len(rows) > MAX_APPEND:
        raise invalid_field("items", f"At most {MAX_APPEND} in one call.")
    if not kinds or not kinds <= RETRIABLE_ITEMS:
        raise invalid_field("kinds", "Some of SUCCEEDED, FAILED and CANCELLED.")
    if rows and ItemState.CANCELLED in kinds:
        raise invalid_field("items", "Cancelled items run again all together.")


def check_outcomes(outcomes: Sequence[ItemOutcome]) -> None:
    """The bounds of results, and that no row has two."""
    if len({outcome.row for outcome in outcomes}) != len(outcomes):
        raise invalid_field("outcomes", "One a row.")
    for outcome in outcomes:
        if outcome.state not in OUTCOMES:
            raise invalid_field("outcomes.state", "SUCCEEDED, FAILED or RETRYING.")
        usage = outcome.usage
        if min(usage.input_tokens, usage.output_tokens, usage.cost_micros) < 0:
            raise invalid_field("outcomes.usage", "At least 0.")
        if len(outcome.error) > _MAX_ERROR_BYTES:
            raise invalid_field("outcomes.error", f"At most {_MAX_ERROR_BYTES} bytes.")


def check_rows(outcomes: Sequence[ItemOutcome], chunk: ChunkRecord) -> None:
    """Refuses results that leave out an item of the chunk, or have one too many."""
    if {outcome.row for outcome in outcomes} != set(chunk.rows):
        raise invalid_field("outcomes", f"One for each of the {len(chunk.rows)} items of the chunk.")
