"""The records as the catalog keeps them, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, Counter

from services.captioner.money.spending import Limit, Outcome, Reservation, Settlement
from services.captioner.provider import Tokens
from services.captioner.records.gathered import CrowdedError, Gathered
from services.captioner.records.outbox import Outbox
from services.captioner.records.port import RecordsAwayError, Totals
from services.captioner.records.rest import Rest
from services.captioner.records.spend_message import (
    limit_from,
    limit_message,
    reservation_message,
    settlement_message,
    totals_from,
)
from services.runtime.errors import InvalidArgumentError
from services.runtime.statuses import from_rpc_error
from sightmill.v1 import caption_records_pb2 as records_pb2
from sightmill.v1 import caption_records_pb2_grpc, captioner_pb2

MOST_AT_ONCE = 256
MAX_WAITING = 4_096
MAX_SETTLEMENTS = 10_000
MAX_CAPTIONS = 2_048
MAX_CAPTION_BYTES = 64 * 1024
SPEND_AGE_S = 2.0
FLUSH_S = 5.0
Answer = TypeVar("Answer", bound=Message)
_Kept = tuple[bytes, str, captioner_pb2.Caption]


class CatalogRecords:
    """Speaks to a CaptionRecordsService; each RPC has ``timeout_s``. ``limits`` are all budgets there are.

    After a failure the catalog is left alone for a while, so that one that hangs costs nobody else any time.
    What must be counted in the end is sent by ``run``; ``close`` sends the rest.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        timeout_s: float,
        limits: Sequence[Limit],
        registry: CollectorRegistry,
    ) -> None:
        self._stub: caption_records_pb2_grpc.CaptionRecordsServiceAsyncStub = (
            caption_records_pb2_grpc.CaptionRecordsServiceStub(channel)
        )
        self._timeout_s = timeout_s
        self._limits = [limit_message(limit) for limit in limits]
        self._rest = Rest()
        self._looking = Gathered(self._look_up, MOST_AT_ONCE, MAX_WAITING)
        self._reserving = Gathered(self._reserve, MOST_AT_ONCE, MAX_WAITING)
        self._summing = Gathered(self._sum, MAX_WAITING, MAX_WAITING)
        lost = Counter(
            "sightmill_caption_records_lost",
            "Settlements and captions that never reached the catalog",
            ["kind"],
            registry=registry,
        )
        self._settlements = Outbox("settlement", self._settle, MOST_AT_ONCE, MAX_SETTLEMENTS, lost)
        self._captions = Outbox("caption", self._keep, MOST_AT_ONCE, MAX_CAPTIONS, lost)
        self._unsent: dict[bytes, captioner_pb2.Caption] = {}
        self._totals: Totals = {}
        self._totals_until = 0.0

    @property
    def away_s(self) -> float:
        """How long the catalog has been failing."""
        return self._rest.away_s

    async def look_up(self, key: bytes) -> captioner_pb2.Caption | None:
        """Also what is on its way to the catalog is known."""
        if key in self._unsent:
            return self._unsent[key]
        with _in_time():
            async with asyncio.timeout(self._timeout_s):
                return await self._looking.one(key)

    def keep(self, key: bytes, sha256: str, caption: captioner_pb2.Caption) -> None:
        """A caption of more than 64 KiB is not kept."""
        if caption.ByteSize() > MAX_CAPTION_BYTES:
            return
        self._unsent.pop(key, None)
        self._unsent[key] = caption
        if len(self._unsent) > MAX_CAPTIONS:
            del self._unsent[next(iter(self._unsent))]
        self._captions.put((key, sha256, caption))

    async def reserve(self, reservation: Reservation) -> Limit | None:
        """Raises InvalidArgumentError for what the catalog will never take, else RecordsAwayError."""
        with _in_time():
            asked = asyncio.ensure_future(self._reserving.one(reservation))
            try:
                async with asyncio.timeout(self._timeout_s):
                    await asyncio.wait({asked})
            except BaseException:
                # The catalog may still say yes to somebody who is gone.
                asked.add_done_callback(lambda answer: self._give_back_granted(reservation, answer))
                raise
            return asked.result()

    def settle(self, settlement: Settlement) -> None:
        """Kept here until the catalog has it."""
        self._settlements.put(settlement)

    async def spend(self) -> Totals:
        """One question serves all who ask within two seconds."""
        if asyncio.get_running_loop().time() < self._totals_until:
            return self._totals
        with _in_time():
            async with asyncio.timeout(self._timeout_s):
                return await self._summing.one(None)

    async def list_spend(self, request: records_pb2.ListSpendRequest) -> records_pb2.ListSpendResponse:
        """Asks although the catalog is left alone: somebody waits for this very answer."""
        return await self._call(self._stub.ListSpend, request)

    async def ping(self) -> None:
        """Asks although the catalog is left alone; an answer ends that."""
        await self._call(self._stub.GetSpend, records_pb2.GetSpendRequest())

    async def run(self, stopping: asyncio.Event) -> None:
        """Sends what is to be counted and kept until ``stopping``."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settlements.run(stopping))
            group.create_task(self._captions.run(stopping))

    async def close(self) -> None:
        """Sends the rest within a few seconds."""
        await asyncio.gather(self._settlements.flush(FLUSH_S), self._captions.flush(FLUSH_S))

    async def _look_up(self, keys: list[bytes]) -> list[captioner_pb2.Caption | None]:
        self._rest.enter()
        answer = await self._call(self._stub.LookUpCaptions, records_pb2.LookUpCaptionsRequest(keys=keys))
        return [each.caption if each.HasField("caption") else None for each in answer.captions]

    async def _reserve(self, reservations: list[Reservation]) -> list[Limit | None]:
        self._rest.enter()
        request = records_pb2.ReserveSpendRequest(
            reservations=[reservation_message(each) for each in reservations], limits=self._limits
        )
        try:
            answer = await self._call(self._stub.ReserveSpend, request)
        except RecordsAwayError:
            # It may have been done all the same.
            for reservation in reservations:
                self._give_back(reservation)
            raise
        return [limit_from(each.exceeded) if each.HasField("exceeded") else None for each in answer.decisions]

    async def _sum(self, askers: list[None]) -> list[Totals]:
        self._rest.enter()
        answer = await self._call(self._stub.GetSpend, records_pb2.GetSpendRequest())
        self._totals = totals_from(answer)
        self._totals_until = asyncio.get_running_loop().time() + SPEND_AGE_S
        return [self._totals] * len(askers)

    async def _settle(self, settlements: list[Settlement]) -> None:
        messages = [settlement_message(each) for each in settlements]
        await self._call(self._stub.SettleSpend, records_pb2.SettleSpendRequest(settlements=messages))

    async def _keep(self, captions: list[_Kept]) -> None:
        messages = [
            records_pb2.KeptCaption(key=key, sha256=sha256, caption=caption)
            for key, sha256, caption in captions
        ]
        await self._call(self._stub.KeepCaptions, records_pb2.KeepCaptionsRequest(captions=messages))
        for key, _, caption in captions:
            if self._unsent.get(key) is caption:
                del self._unsent[key]

    async def _call(self, method: Callable[..., Awaitable[Answer]], request: Message) -> Answer:
        try:
            answer = await method(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            known = from_rpc_error(error)
            if isinstance(known, InvalidArgumentError):
                raise known from error
            self._rest.begin()
            raise RecordsAwayError from error
        self._rest.end()
        return answer

    def _give_back_granted(self, reservation: Reservation, answer: asyncio.Future[Limit | None]) -> None:
        if not answer.cancelled() and answer.exception() is None and answer.result() is None:
            self._give_back(reservation)

    def _give_back(self, reservation: Reservation) -> None:
        self.settle(
            Settlement(reservation.id, reservation.provider, reservation.batch, 0, Tokens(), Outcome.RELEASED)
        )


@contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except (TimeoutError, CrowdedError):
        raise RecordsAwayError from None


@asynccontextmanager
async def open_catalog_records(
    channel: grpc.aio.Channel, timeout_s: float, limits: Sequence[Limit], registry: CollectorRegistry
) -> AsyncIterator[CatalogRecords]:
    """Records whose rest is sent at the end; ``channel`` must outlive them."""
    records = CatalogRecords(channel, timeout_s, limits, registry)
    try:
        yield records
    finally:
        await records.close()
