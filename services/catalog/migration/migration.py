"""A whole catalog from one store to the other, and the proof that both say the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.catalog.migration.copy import CatalogCopy
from services.catalog.migration.proof import Proof, prove_answers, prove_kind
from services.catalog.migration.records import KIND_BY_NAME, KINDS, Key, Kind
from services.runtime.errors import FailedPreconditionError, Reason

Progress = Callable[[str, Kind, int], None]
"""Takes "copying" or "comparing", what, and how many records of it are done in this run."""
# Of images, what is derived of one page is in memory at a time.
_MOST_RECORDS = 200


async def migrate(source: CatalogCopy, target: CatalogCopy, progress: Progress) -> Sequence[Proof]:
    """Copies a catalog, compares both sides, and only then marks the target as complete.

    One that was cut off goes on where it stood. Raises ``FailedPreconditionError(WRONG_STATE)`` where the
    target holds something else, the source is incomplete itself or changed meanwhile, and
    ``DataLossError(DATA_DAMAGED)`` when the two differ.
    """
    before = await source.activity()
    await _begin(source, target)
    for kind, after in await _left(target):
        await _copy(source, target, kind, after, progress)
    # Compared only if it was left alone: else what differs would be blamed on the copy.
    await _refuse_change(source, before)
    proofs = [await prove_kind(source, target, kind, progress) for kind in KINDS]
    await prove_answers(source.catalog, target.catalog)
    await _refuse_change(source, before)
    await target.finish()
    return proofs


async def _begin(source: CatalogCopy, target: CatalogCopy) -> None:
    if await source.standing():
        raise _wrong_state(
            f"A migration into {source.place} itself is not complete; complete that one first.", "incomplete"
        )
    standing = await target.standing()
    if standing is None:
        if not await target.is_empty():
            raise _wrong_state(
                f"{target.place} holds a catalog already; a migration adds to none. Name an empty target.",
                "not empty",
            )
        await target.begin(source.place)
    elif standing.origin != source.place:
        raise _wrong_state(
            f"{target.place} holds part of a migration of {standing.origin}, not of {source.place}. Go on "
            "with that one, or empty the target.",
            "another source",
        )


async def _left(target: CatalogCopy) -> list[tuple[Kind, Key]]:
    """The kinds that are not copied, each with the key to go on after."""
    standing = await target.standing()
    if standing is None or not standing.kind:
        return [(kind, kind.start) for kind in KINDS]
    current = KIND_BY_NAME[standing.kind]
    later = KINDS[KINDS.index(current) + 1 :]
    return [(current, standing.after), *((kind, kind.start) for kind in later)]


async def _copy(source: CatalogCopy, target: CatalogCopy, kind: Kind, after: Key, progress: Progress) -> None:
    count = 0
    while records := await source.read(kind, after, _MOST_RECORDS):
        await target.write(kind, records)
        after = kind.key_of(records[-1])
        count += len(records)
        progress("copying", kind, count)


async def _refuse_change(source: CatalogCopy, before: object) -> None:
    if await source.activity() != before:
        raise _wrong_state(
            f"{source.place} is in use, so that the copy may lack what changed. Stop the suite (sightmill "
            "down), empty the target, then begin again.",
            "in use",
        )


def _wrong_state(message: str, state: str) -> FailedPreconditionError:
    return FailedPreconditionError(Reason.WRONG_STATE, message, state=state)
