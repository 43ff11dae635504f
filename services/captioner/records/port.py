"""What outlives this process: captions that need not be asked for again, and what calls cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from services.captioner.money.spending import Limit, Reservation, Settlement, Total
from services.runtime.errors import FailedPreconditionError, Reason, UnavailableError
from sightmill.v1 import caption_records_pb2, captioner_pb2

Totals = Mapping[tuple[str, bool], Total]
"""By provider (empty for all together) and whether it is of the month."""


_OFF = "Nothing is counted here; set SIGHTMILL_CAPTIONER_KEEP_RECORDS=true."


class RecordsAwayError(UnavailableError):
    """The records do not answer."""

    def __init__(self, message: str = "The catalog does not answer; try again.") -> None:
        super().__init__(Reason.SERVICE_UNAVAILABLE, message, retry_after_s=5.0)


class Records(Protocol):
    """Each call ends within seconds; those that cannot be answered raise RecordsAwayError."""

    @property
    def away_s(self) -> float:
        """How long they have not answered; 0 when they do."""

    async def look_up(self, key: bytes) -> captioner_pb2.Caption | None:
        """The caption kept under 32 bytes."""

    def keep(self, key: bytes, sha256: str, caption: captioner_pb2.Caption) -> None:
        """Keeps a caption of the image of that digest, some time soon."""

    async def reserve(self, reservation: Reservation) -> Limit | None:
        """Sets cost aside, or gives the limit that stands in its way. After an error nothing is set aside."""

    def settle(self, settlement: Settlement) -> None:
        """Counts what a call cost, some time soon."""

    async def spend(self) -> Totals:
        """What was spent in the current day and month, at most two seconds old."""

    async def list_spend(
        self, request: caption_records_pb2.ListSpendRequest
    ) -> caption_records_pb2.ListSpendResponse:
        """Rows of the report; raises InvalidArgumentError for a page token of another query."""

    async def ping(self) -> None:
        """Raises RecordsAwayError while the records do not answer."""


class NoRecords:
    """Nothing is cached and nothing is counted."""

    away_s = 0.0

    async def look_up(self, key: bytes) -> captioner_pb2.Caption | None:  # noqa: ARG002  knows nothing
        """Nothing."""
        return None

    def keep(self, key: bytes, sha256: str, caption: captioner_pb2.Caption) -> None:
        """Forgets it."""

    async def reserve(self, reservation: Reservation) -> Limit | None:  # noqa: ARG002  settings rule budgets out
        """Nothing stands in the way."""
        return None

    def settle(self, settlement: Settlement) -> None:
        """Forgets it."""

    async def spend(self) -> Totals:
        """Raises RecordsAwayError."""
        raise RecordsAwayError(_OFF)

    async def list_spend(
        self,
        request: caption_records_pb2.ListSpendRequest,  # noqa: ARG002  there is nothing to list
    ) -> caption_records_pb2.ListSpendResponse:
        """Raises FailedPreconditionError: no repetition helps."""
        raise FailedPreconditionError(Reason.WRONG_STATE, _OFF, state="records off")

    async def ping(self) -> None:
        """Nothing can be away."""
