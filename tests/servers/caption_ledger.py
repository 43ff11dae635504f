"""The books of the catalog, kept honestly in memory: captions, reservations and settlements."""

from __future__ import annotations

from collections.abc import Sequence

from services.captioner.money.spending import Limit, Outcome, Reservation, Settlement, Total
from services.captioner.records.port import RecordsAwayError, Totals
from sightmill.v1 import caption_records_pb2, captioner_pb2

_UNCOUNTED = (Outcome.CACHED, Outcome.RELEASED)


class CaptionLedger:
    """One day that never ends."""

    def __init__(self) -> None:
        self.captions: dict[bytes, captioner_pb2.Caption] = {}
        self.reserved: dict[bytes, Reservation] = {}
        self.settled: dict[bytes, Settlement] = {}

    def reserve(self, reservation: Reservation, limits: Sequence[Limit]) -> Limit | None:
        if reservation.id in self.reserved or reservation.id in self.settled:
            return None
        for limit in limits:
            bound = limit.tokens if limit.micros is None else limit.micros
            assert bound is not None
            share = reservation.share_of(limit)
            if share and limit.holds_for(reservation.provider) and self.used(limit) + share > bound:
                return limit
        self.reserved[reservation.id] = reservation
        return None

    def settle(self, settlement: Settlement) -> None:
        self.reserved.pop(settlement.id, None)
        self.settled.setdefault(settlement.id, settlement)

    def used(self, limit: Limit) -> int:
        total = self.total(limit.provider)
        if limit.micros is None:
            return total.tokens + total.reserved_tokens
        return total.micros + total.reserved_micros

    def total(self, provider: str) -> Total:
        counted = [
            each
            for each in self.settled.values()
            if provider in ("", each.provider) and each.outcome not in _UNCOUNTED
        ]
        held = [each for each in self.reserved.values() if provider in ("", each.provider)]
        return Total(
            sum(each.micros for each in counted),
            sum(each.tokens.total for each in counted),
            sum(each.micros for each in held),
            sum(each.tokens for each in held),
        )

    def count(self, outcome: Outcome) -> int:
        return sum(each.outcome is outcome for each in self.settled.values())


class LedgerRecords:
    """The port right over the books, without a wire. ``is_away`` makes it unreachable."""

    def __init__(self, ledger: CaptionLedger, limits: Sequence[Limit] = ()) -> None:
        self.ledger = ledger
        self.is_away = False
        self.away_s = 0.0
        self.reservations = 0
        self._limits = limits

    async def look_up(self, key: bytes) -> captioner_pb2.Caption | None:
        self._check()
        return self.ledger.captions.get(key)

    def keep(self, key: bytes, sha256: str, caption: captioner_pb2.Caption) -> None:  # noqa: ARG002  the port's
        self.ledger.captions[key] = caption

    async def reserve(self, reservation: Reservation) -> Limit | None:
        self.reservations += 1
        self._check()
        return self.ledger.reserve(reservation, self._limits)

    def settle(self, settlement: Settlement) -> None:
        self.ledger.settle(settlement)

    async def spend(self) -> Totals:
        self._check()
        providers = {"", *(each.provider for each in self.ledger.settled.values())}
        return {(each, monthly): self.ledger.total(each) for each in providers for monthly in (False, True)}

    async def list_spend(
        self, request: caption_records_pb2.ListSpendRequest
    ) -> caption_records_pb2.ListSpendResponse:
        raise NotImplementedError

    async def ping(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.is_away:
            raise RecordsAwayError
