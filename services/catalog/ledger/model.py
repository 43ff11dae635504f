"""What the ledger of batches holds, as plain data that every store takes and gives.

Times are microseconds since 1970 (UTC). Options and errors are serialized protobuf messages that stores keep
as they are. A batch is whole with items of its own, or whole with parts, or a part with items.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.catalog.ledger.states import BatchState, ItemState, Verdict
from services.runtime.errors import NotFoundError, Reason

CHUNK_ITEMS = 100
"""Most items in one chunk."""


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to create. ``parent`` with ``part_number`` (from 1) for a part, ``part_count`` for a batch of
    parts, neither for a batch that takes items itself; ``weight`` 1 to 10."""

    display_name: str = ""
    parent: uuid.UUID | None = None
    part_number: int = 0
    part_count: int = 0
    options: bytes = b""
    weight: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[uuid.UUID | None, int, bool, bytes]:
        """What a repeated creation must have in common with the first; the rest may change."""
        return self.parent, self.part_number, self.part_count > 0, self.options


@dataclass(frozen=True, slots=True)
class Usage:
    """What models charged for: tokens, and micros (millionths) of the operator's currency."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """The sum; the difference with ``sign`` -1."""
        return Usage(
            self.input_tokens + sign * other.input_tokens,
            self.output_tokens + sign * other.output_tokens,
            self.cost_micros + sign * other.cost_micros,
        )


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of some."""
    counted = [usage for usage in usages if usage != NO_USAGE]
    return Usage(
        sum(usage.input_tokens for usage in counted),
        sum(usage.output_tokens for usage in counted),
        sum(usage.cost_micros for usage in counted),
    )


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Progress:
    """Counters of items, as the fields of ``BatchProgress``."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    retrying: int = 0
    cancelled: int = 0
    usage: Usage = NO_USAGE

    @property
    def open_count(self) -> int:
        """Items that will still get an outcome."""
        return self.total - self.succeeded - self.failed - self.cancelled

    @property
    def has_results(self) -> bool:
        """True when some item had a result, be it that it must be tried again."""
        return bool(self.succeeded or self.failed or self.retrying)

    def plus(self, other: Progress, sign: int = 1) -> Progress:
        """The sum, counter by counter; the difference with ``sign`` -1."""
        return Progress(
            self.total + sign * other.total,
            self.succeeded + sign * other.succeeded,
            self.failed + sign * other.failed,
            self.retrying + sign * other.retrying,
            self.cancelled + sign * other.cancelled,
            self.usage.plus(other.usage, sign),
        )


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as stored. ``revision`` counts what people change and moves of the state, not results.

    ``error`` is that of the newest item that failed: why the batch FAILED, when it did. ``chunk_count`` is
    the number of the last chunk.
    """

    uuid: uuid.UUID
    batch: NewBatch
    state: BatchState
    progress: Progress
    create_time_us: int
    update_time_us: int
    start_time_us: int | None = None
    end_time_us: int | None = None
    error: bytes = b""
    chunk_count: int = 0
    revision: int = 1
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class BatchChange:
    """What people change; None leaves it."""

    display_name: str | None = None
    labels: Mapping[str, str] | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Which batches: only those in some states if there are any, only the parts of a batch if it is given."""

    states: frozenset[BatchState] = frozenset()
    parent: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Batches, newest first; ``next`` is the last of them, None on the last page."""

    batches: tuple[BatchRecord, ...]
    next: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class NewItem:
    """A row to work on: the URL of its image, and its other columns."""

    url: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item as stored. ``row`` counts from 1 within the batch."""

    row: int
    item: NewItem
    state: ItemState
    error: bytes
    image: uuid.UUID | None
    attempt_count: int
    update_time_us: int


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items by row; ``next`` is the row of the last, None on the last page."""

    items: tuple[ItemRecord, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """Some items that are worked on together, at most ``CHUNK_ITEMS``.

    ``number`` counts from 1 within the batch. ``generation`` goes up when a cancelled batch is brought back.
    ``attempt`` is 1 for items that were never tried. ``successor`` is the number of the chunk that takes over
    the items that must be tried again, 0 if there is none.
    """

    number: int
    generation: int
    attempt: int
    rows: tuple[int, ...]
    create_time_us: int
    done_time_us: int | None = None
    successor: int = 0


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The result of one item: SUCCEEDED, FAILED or RETRYING, the latter two with ``error``."""

    row: int
    state: ItemState
    error: bytes = b""
    image: uuid.UUID | None = None
    usage: Usage = NO_USAGE


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the results of a chunk, and the batch afterwards (None when there is none).

    ``successor`` is the chunk of the items that must be tried again, while it is not done: it comes again
    with a DUPLICATE, so that whoever stopped between two steps can publish it after all.
    """

    verdict: Verdict
    batch: BatchRecord | None
    successor: ChunkRecord | None = None


def batch_name(batch: uuid.UUID) -> str:
    """The resource name of a batch."""
    return f"batches/{batch}"


def batch_not_found(batch: uuid.UUID) -> NotFoundError:
    """The answer when there is no such batch."""
    return NotFoundError(
        Reason.BATCH_NOT_FOUND,
        f"There is no batch {batch_name(batch)}; it may have been deleted.",
        name=batch_name(batch),
    )


def item_not_found(batch: uuid.UUID, row: int) -> NotFoundError:
    """The answer when a batch has no such item."""
    name = f"{batch_name(batch)}/items/{row}"
    return NotFoundError(Reason.BATCH_NOT_FOUND, f"There is no item {name}.", name=name)


def chunk_not_found(batch: uuid.UUID, number: int) -> NotFoundError:
    """The answer when a batch has no such chunk."""
    return NotFoundError(
        Reason.BATCH_NOT_FOUND,
        f"{batch_name(batch)} has no chunk {number}.",
        name=batch_name(batch),
    )


def pack_rows(rows: Sequence[int]) -> bytes:
    """Row numbers as stored with a chunk: unsigned 32-bit integers, the low byte first."""
    return struct.pack(f"<{len(rows)}I", *rows)


def unpack_rows(packed: bytes) -> tuple[int, ...]:
    """The row numbers in ``packed``."""
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def split_rows(rows: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows, in their order, cut to the size of chunks."""
    return [tuple(rows[start : start + CHUNK_ITEMS]) for start in range(0, len(rows), CHUNK_ITEMS)]
