"""What the captioner asks of the catalog. Every adapter passes tests/contract/catalog/test_caption_*.py.

The promises of ``services.catalog.store`` hold here, too: what was acknowledged is durable, and each method
is one step, all or nothing. Values are within the bounds that ``captions.requests`` checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.catalog.captions.model import (
    CaptionToKeep,
    Limit,
    Reservation,
    Settlement,
    Spend,
    TotalKey,
    UsagePage,
    UsageQuery,
)


class CaptionRecordStore(Protocol):
    """A durable record of captions and of what they cost."""

    async def look_up_captions(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The serialized captions of keys, in order; None where there is none."""
        ...

    async def keep_captions(self, captions: Sequence[CaptionToKeep]) -> None:
        """Keeps captions, in place of those with the same keys; of two with one key the later one stays.

        Captions of bytes that are condemned or collected are passed by. ``CatalogStore.forget_blobs`` deletes
        those of the bytes that it forgets, in the same step.
        """
        ...

    async def drop_captions(self, before_us: int, most_kept: int, most: int) -> int:
        """Deletes the oldest captions, at most ``most``; says how many.

        Those kept before a time, and those beyond the ``most_kept`` newest. Takes the same short time for any
        number of captions.
        """
        ...

    async def reserve_spend(
        self, reservations: Sequence[Reservation], limits: Sequence[Limit]
    ) -> list[Limit | None]:
        """Sets the cost of calls aside; for each, in order and alone, None or the limit in its way.

        A limit of a call's provider, or of all, stands in the way when what was spent and set aside in its
        day or month (UTC), together with the cost, would exceed it; the first such one is told. A call whose
        id is known changes nothing and is let through.
        """
        ...

    async def settle_spend(self, settlements: Sequence[Settlement]) -> None:
        """Counts what calls cost and gives back what was set aside for them.

        It counts where it was set aside: on the day, for the provider and the batch of the reservation;
        without one today, for those of the settlement. What expired meanwhile counts with these numbers
        in place of its estimate. RELEASED counts nothing; a reservation that comes after it sets nothing
        aside. Whatever is settled already stays as it is, for a day.
        """
        ...

    async def expire_calls(self, most: int) -> int:
        """Counts what was set aside and not settled in time as spent, at most ``most`` calls, those that
        expired first; says how many. Until then it stays set aside."""
        ...

    async def forget_calls(self, most: int) -> int:
        """Deletes calls that were settled or expired a day ago, and usage by batch that is 400 days old.

        At most ``most`` of each; says how many in all. What is settled after that counts as if nothing was
        known of it.
        """
        ...

    async def read_totals(self) -> Mapping[TotalKey, Spend]:
        """The sums of the current day and month, as far as there was anything."""
        ...

    async def list_usage(self, query: UsageQuery, size: int, after: str = "") -> UsagePage:
        """Usage by day descending, then by provider and batch, at most ``size`` rows beyond a place.

        There is a row for whatever was counted once, were it zero by now. By batch, calls of no batch have a
        row with an empty one; those of one batch alone have its name whether it is asked by batch or not.
        """
        ...
