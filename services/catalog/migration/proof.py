"""The proof that two catalogs say the same: record by record, and in what they count."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import get_args

from services.catalog.conditions import TermField
from services.catalog.migration.copy import CatalogCopy
from services.catalog.migration.records import Key, Kind, Record, encode
from services.catalog.store import CatalogStore
from services.runtime.errors import DataLossError, Reason

_MOST_RECORDS = 500
_MOST_VALUES = 1_000
_FIELDS: tuple[TermField, ...] = get_args(TermField)


@dataclass(frozen=True, slots=True)
class Proof:
    """What both sides have of a kind: how many records, and the SHA-256 of them all in the order of keys."""

    kind: str
    count: int
    sha256: str


async def prove_kind(
    source: CatalogCopy, target: CatalogCopy, kind: Kind, progress: Callable[[str, Kind, int], None]
) -> Proof:
    """Reads all records of a kind back from both; raises ``DataLossError(DATA_DAMAGED)`` at the first one
    that differs."""
    digest, count = hashlib.sha256(), 0
    ours, theirs = _walk(source, kind), _walk(target, kind)
    while True:
        one, other = await anext(ours, None), await anext(theirs, None)
        if one is None and other is None:
            return Proof(kind.name, count, digest.hexdigest())
        if one is None or other is None or encode(one) != encode(other):
            raise _difference(source, target, kind, one, other)
        digest.update(encode(one) + b"\n")
        count += 1
        if not count % _MOST_RECORDS:
            progress("comparing", kind, count)


async def prove_answers(source: CatalogStore, target: CatalogStore) -> None:
    """Compares what both count: the stats, and all facets of all images and of every batch.

    Raises ``DataLossError(DATA_DAMAGED)`` at the first difference.
    """
    ours, theirs = await source.read_stats(), await target.read_stats()
    if replace(ours, store="") != replace(theirs, store=""):
        raise _damage(f"The stats differ: {ours} here, {theirs} there.")
    batches = [value async for value, _ in _facets(source, "batch", "")]
    for batch in ("", *batches):
        for field in _FIELDS:
            counted = [entry async for entry in _facets(source, field, batch)]
            if counted != [entry async for entry in _facets(target, field, batch)]:
                scope = f"batch {batch!r}" if batch else "all images"
                raise _damage(f"The counts of {field} of {scope} differ.")


async def _walk(side: CatalogCopy, kind: Kind) -> AsyncIterator[Record]:
    after = kind.start
    while records := await side.read(kind, after, _MOST_RECORDS):
        for record in records:
            yield record
        after = kind.key_of(records[-1])


async def _facets(store: CatalogStore, field: TermField, batch: str) -> AsyncIterator[tuple[str, int]]:
    after: tuple[int, str] | None = None
    while True:
        page = await store.list_facets(field, batch, _MOST_VALUES, after)
        for entry in page.counts:
            yield entry
        after = page.next
        if after is None:
            return


def _difference(
    source: CatalogCopy, target: CatalogCopy, kind: Kind, ours: Record | None, theirs: Record | None
) -> DataLossError:
    """Says which record, and which of its fields, but not their values, which may be large or private."""
    keys = [kind.key_of(record) for record in (ours, theirs) if record is not None]
    key = min(keys)
    if ours is None or theirs is None or len(set(keys)) > 1:
        has = source if ours is not None and kind.key_of(ours) == key else target
        what = f"only {has.place} has it"
    else:
        differing = [field for field in kind.fields if encode([ours[field]]) != encode([theirs[field]])]
        what = "they differ in " + ", ".join(differing)
    return _damage(f"{kind.name} differ, first at {_shown(key)}: {what}.")


def _shown(key: Key) -> str:
    return " ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)


def _damage(difference: str) -> DataLossError:
    return DataLossError(
        Reason.DATA_DAMAGED,
        f"The copy is not what its source is and stays marked as incomplete. {difference} "
        "Empty the target, then migrate again; if it differs again, please report it.",
    )
