"""The real process: what was set aside outlives a crash, holds the limit, and counts once it expires."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sightmill.v1 import caption_records_pb2 as pb
from sightmill.v1 import caption_records_pb2_grpc
from tests.contract.catalog.caption_adapters import id_of
from tests.contract.catalog.catalog_process import CatalogProcess, running_catalog
from tests.servers.waiting import until

WAIT_S = 30.0
LIMIT = pb.SpendLimit(micros=100)


def stub_of(run: CatalogProcess) -> caption_records_pb2_grpc.CaptionRecordsServiceAsyncStub:
    stub: Any = caption_records_pb2_grpc.CaptionRecordsServiceStub(run.channel)
    return stub  # type: ignore[no-any-return]  # one stub class serves both kinds of channels


async def reserve(run: CatalogProcess, number: int, micros: int, ttl_s: int = 2) -> bool:
    wanted = pb.SpendReservation(
        id=id_of(number), provider="mistral", micros=micros, tokens=9, ttl=Duration(seconds=ttl_s)
    )
    request = pb.ReserveSpendRequest(reservations=[wanted], limits=[LIMIT])
    (decision,) = (await stub_of(run).ReserveSpend(request, timeout=WAIT_S)).decisions
    return not decision.HasField("exceeded")


async def spend(run: CatalogProcess) -> tuple[int, int, int, int]:
    """Of the month: spent, set aside; then images and calls that were not settled."""
    totals = (await stub_of(run).GetSpend(pb.GetSpendRequest(), timeout=WAIT_S)).totals
    (total,) = [total for total in totals if total.monthly and not total.provider]
    request = pb.ListSpendRequest(start_day="2024-01-01", end_day="2033-12-31")
    rows = (await stub_of(run).ListSpend(request, timeout=WAIT_S)).rows
    return (
        total.micros,
        total.reserved_micros,
        sum(row.image_count for row in rows),
        sum(row.unsettled_count for row in rows),
    )


async def test_what_was_set_aside_before_a_crash_holds_the_limit_and_counts_in_the_end(
    tmp_path: Path,
) -> None:
    async with running_catalog(tmp_path) as run:
        assert await reserve(run, 1, 60)
        assert await reserve(run, 2, 30, ttl_s=86_400)
        await run.kill()
    async with running_catalog(tmp_path) as run:
        assert not await reserve(run, 3, 11)
        # Asked again because no answer came: let through, and set aside once.
        assert await reserve(run, 1, 60)

        async def is_swept() -> bool:
            return (await spend(run))[3] == 1

        await until(is_swept, "what expired counts", WAIT_S)
        assert await spend(run) == (60, 30, 0, 1)
        assert not await reserve(run, 3, 11)
        late = pb.SpendSettlement(
            id=id_of(1), provider="mistral", micros=50, input_tokens=5, outcome=pb.SPEND_OUTCOME_DESCRIBED
        )
        await stub_of(run).SettleSpend(pb.SettleSpendRequest(settlements=[late]), timeout=WAIT_S)
        await run.kill()
    async with running_catalog(tmp_path) as run:
        assert await spend(run) == (50, 30, 1, 0)
        assert await reserve(run, 3, 11)
        health = health_pb2_grpc.HealthStub(run.channel)
        request = health_pb2.HealthCheckRequest(service="sightmill.v1.CaptionRecordsService")

        async def is_serving() -> bool:
            answer = await health.Check(request, timeout=WAIT_S)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        await until(is_serving, "the service is healthy", WAIT_S)
        assert await run.stop() == 0
