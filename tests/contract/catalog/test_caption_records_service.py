"""CaptionRecordsService over gRPC: a real server with the interceptors of every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from services.catalog.captions.servicer import CaptionRecordsServicer
from services.catalog.captions.store import CaptionRecordStore
from services.runtime.channels import message_options, open_channel
from services.runtime.errors import Reason
from services.runtime.interceptors import interceptor_chain
from services.runtime.telemetry import build_metrics
from sightmill.v1 import caption_records_pb2 as pb
from sightmill.v1 import caption_records_pb2_grpc as pb_grpc
from sightmill.v1 import captioner_pb2
from tests.contract.catalog.adapters import Clock, digest_of
from tests.contract.catalog.caption_adapters import KINDS, id_of, open_world
from tests.contract.catalog.served import MAX_MESSAGE_BYTES, refused

if TYPE_CHECKING:
    Stub = pb_grpc.CaptionRecordsServiceAsyncStub

KEY = bytes(32)
SEA = digest_of("sea")
SHORT = pb.SpendReservation(id=id_of(1), provider="mistral", ttl=Duration(seconds=1))
DESCRIBED = pb.SPEND_OUTCOME_DESCRIBED


@asynccontextmanager
async def serve(store: CaptionRecordStore, *, keeps_captions: bool = True) -> AsyncIterator[Stub]:
    server = grpc.aio.server(
        interceptors=interceptor_chain(build_metrics(), 1_000, asyncio.Event()),
        options=message_options(MAX_MESSAGE_BYTES),
    )
    servicer = CaptionRecordsServicer(store, keeps_captions=keeps_captions)
    pb_grpc.add_CaptionRecordsServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_channel(f"127.0.0.1:{port}", MAX_MESSAGE_BYTES) as channel:
            stub: Any = pb_grpc.CaptionRecordsServiceStub(channel)
            yield stub
    finally:
        await server.stop(0)


@pytest.fixture(params=KINDS)
async def records(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Stub]:
    async with open_world(request.param, tmp_path, clock) as world, serve(world.records) as stub:
        yield stub


def kept(key: bytes = KEY, **fields: Any) -> pb.KeptCaption:
    caption = captioner_pb2.Caption(text="A boat.", tags=["boat"], provider="mistral", degraded=False)
    caption.attributes.update({"b": [1, {"c": None}], "a": "ü"})
    return pb.KeptCaption(**{"key": key, "sha256": SEA, "caption": caption, **fields})


def reserved(number: int = 1, **fields: Any) -> pb.SpendReservation:
    known: dict[str, Any] = {"id": id_of(number), "provider": "mistral", "micros": 10, "tokens": 100}
    return pb.SpendReservation(**{**known, "ttl": Duration(seconds=60), **fields})


def settled(number: int = 1, **fields: Any) -> pb.SpendSettlement:
    known: dict[str, Any] = {"id": id_of(number), "provider": "mistral", "micros": 7, "input_tokens": 60}
    return pb.SpendSettlement(**{**known, "output_tokens": 5, "outcome": DESCRIBED, **fields})


def reserve_one(**fields: Any) -> pb.ReserveSpendRequest:
    return pb.ReserveSpendRequest(reservations=[reserved(**fields)])


def reserve_within(**fields: Any) -> pb.ReserveSpendRequest:
    return pb.ReserveSpendRequest(reservations=[SHORT], limits=[pb.SpendLimit(**fields)])


def settle_one(**fields: Any) -> pb.SettleSpendRequest:
    return pb.SettleSpendRequest(settlements=[settled(**fields)])


def days(**fields: Any) -> pb.ListSpendRequest:
    return pb.ListSpendRequest(**{"start_day": "2023-11-01", "end_day": "2023-11-30", **fields})


async def test_a_caption_comes_back_as_it_was_kept(
    records: Stub,
) -> None:
    await records.KeepCaptions(pb.KeepCaptionsRequest(captions=[kept()]))
    answer = await records.LookUpCaptions(pb.LookUpCaptionsRequest(keys=[b"x" * 32, KEY]))
    unknown, known = answer.captions
    assert not unknown.HasField("caption")
    assert known.caption == kept().caption


async def test_a_caption_that_says_nothing_is_a_caption_too(
    records: Stub,
) -> None:
    await records.KeepCaptions(pb.KeepCaptionsRequest(captions=[kept(caption=captioner_pb2.Caption())]))
    (known,) = (await records.LookUpCaptions(pb.LookUpCaptionsRequest(keys=[KEY]))).captions
    assert known.HasField("caption")


async def test_nothing_is_kept_where_that_is_switched_off(tmp_path: Path, clock: Clock) -> None:
    async with (
        open_world("sqlite", tmp_path, clock) as world,
        serve(world.records, keeps_captions=False) as records,
    ):
        await records.KeepCaptions(pb.KeepCaptionsRequest(captions=[kept()]))
        (known,) = (await records.LookUpCaptions(pb.LookUpCaptionsRequest(keys=[KEY]))).captions
        assert not known.HasField("caption")
        await refused(records.KeepCaptions(pb.KeepCaptionsRequest()), Reason.INVALID_FIELD)


async def test_the_limit_in_the_way_is_echoed(
    records: Stub,
) -> None:
    limits = [
        pb.SpendLimit(provider="openai", micros=0),
        pb.SpendLimit(monthly=True, tokens=150),
        pb.SpendLimit(provider="mistral", micros=20, tokens=10**6),
    ]
    request = pb.ReserveSpendRequest(
        reservations=[reserved(1), reserved(2), reserved(3, micros=11, tokens=0), reserved(4, tokens=0)],
        limits=limits,
    )
    first, second, third, fourth = (await records.ReserveSpend(request)).decisions
    assert (first, fourth) == (pb.SpendDecision(), pb.SpendDecision())
    assert second.exceeded == limits[1]
    assert not second.exceeded.HasField("micros")
    assert third.exceeded == limits[2]
    totals = (await records.GetSpend(pb.GetSpendRequest())).totals
    assert sorted((total.provider, total.monthly) for total in totals) == [
        ("", False),
        ("", True),
        ("mistral", False),
        ("mistral", True),
    ]
    assert {(total.reserved_micros, total.reserved_tokens) for total in totals} == {(20, 100)}


async def test_what_was_spent_is_listed_page_by_page(
    records: Stub,
) -> None:
    await records.ReserveSpend(pb.ReserveSpendRequest(reservations=[reserved(1, batch="batches/1")]))
    await records.SettleSpend(
        pb.SettleSpendRequest(
            settlements=[
                settled(1),
                settled(2, batch="batches/2", outcome=pb.SPEND_OUTCOME_UNSETTLED),
                settled(3, provider="openai", outcome=pb.SPEND_OUTCOME_CACHED),
                settled(4, provider="openai", outcome=pb.SPEND_OUTCOME_WASTED),
            ]
        )
    )
    rows: list[captioner_pb2.CaptionUsage] = []
    token = ""
    while True:
        page = await records.ListSpend(days(page_size=1, page_token=token))
        rows += page.rows
        if not (token := page.next_page_token):
            break
    mistral, openai = rows
    assert (mistral.provider, mistral.day, mistral.batch) == ("mistral", "2023-11-14", "")
    assert (mistral.image_count, mistral.cached_count, mistral.unsettled_count) == (1, 0, 1)
    assert (mistral.usage.input_tokens, mistral.usage.output_tokens) == (120, 10)
    assert (mistral.usage.cost.currency_code, mistral.usage.cost.micros) == ("USD", 14)
    assert (openai.image_count, openai.cached_count, openai.usage.cost.micros) == (0, 1, 7)
    by_batch = (await records.ListSpend(days(by_batch=True))).rows
    assert [(row.provider, row.batch) for row in by_batch] == [
        ("mistral", "batches/1"),
        ("mistral", "batches/2"),
        ("openai", ""),
    ]
    for field, expected in ((True, "batches/2"), (False, "")):
        (row,) = (await records.ListSpend(days(batch="batches/2", by_batch=field))).rows
        assert (row.batch, row.unsettled_count) == (expected, 1)
    (total,) = [
        total
        for total in (await records.GetSpend(pb.GetSpendRequest())).totals
        if total.monthly and not total.provider
    ]
    assert (total.micros, total.tokens, total.reserved_micros) == (21, 195, 0)


async def test_a_page_token_is_of_its_list_alone(
    records: Stub,
) -> None:
    await records.SettleSpend(pb.SettleSpendRequest(settlements=[settled(1), settled(2, provider="openai")]))
    token = (await records.ListSpend(days(page_size=1))).next_page_token
    assert (await records.ListSpend(days(page_size=5, page_token=token))).rows[0].provider == "openai"
    for request in (days(page_token=token, by_batch=True), days(page_token=token[:-2])):
        await refused(records.ListSpend(request), Reason.INVALID_PAGE_TOKEN)


async def test_what_is_at_the_bounds_is_taken(
    records: Stub,
) -> None:
    at_bound = captioner_pb2.Caption()
    at_bound.text = "x" * (64 * 1024 - 4)
    assert at_bound.ByteSize() == 64 * 1024
    await records.KeepCaptions(pb.KeepCaptionsRequest(captions=[kept(caption=at_bound)] * 256))
    await records.LookUpCaptions(pb.LookUpCaptionsRequest(keys=[KEY] * 256))
    request = pb.ReserveSpendRequest(
        reservations=[
            reserved(number, provider="a-9" + "z" * 29, batch="batches/" + "_" * 128, ttl=Duration(seconds=1))
            for number in range(255)
        ]
        + [reserved(999, micros=10**15, tokens=10**15, ttl=Duration(seconds=86_400))],
        limits=[pb.SpendLimit(micros=10**15, tokens=10**15)] * 64,
    )
    assert len((await records.ReserveSpend(request)).decisions) == 256
    await records.ListSpend(days(start_day="2016-02-29", end_day="2026-03-08", page_size=5_000))


@pytest.mark.parametrize(
    ("field", "call", "request_"),
    [
        ("keys", "LookUpCaptions", pb.LookUpCaptionsRequest()),
        ("keys", "LookUpCaptions", pb.LookUpCaptionsRequest(keys=[KEY] * 257)),
        ("keys", "LookUpCaptions", pb.LookUpCaptionsRequest(keys=[KEY[1:]])),
        ("captions", "KeepCaptions", pb.KeepCaptionsRequest()),
        ("captions", "KeepCaptions", pb.KeepCaptionsRequest(captions=[kept()] * 257)),
        ("captions.key", "KeepCaptions", pb.KeepCaptionsRequest(captions=[kept(b"x" * 33)])),
        ("captions.sha256", "KeepCaptions", pb.KeepCaptionsRequest(captions=[kept(sha256=SEA.upper())])),
        ("captions.caption", "KeepCaptions", pb.KeepCaptionsRequest(captions=[kept(caption=None)])),
        (
            "captions.caption",
            "KeepCaptions",
            pb.KeepCaptionsRequest(captions=[kept(caption=captioner_pb2.Caption(text="x" * 65_533))]),
        ),
        ("reservations", "ReserveSpend", pb.ReserveSpendRequest()),
        ("reservations", "ReserveSpend", pb.ReserveSpendRequest(reservations=[SHORT] * 257)),
        (
            "limits",
            "ReserveSpend",
            pb.ReserveSpendRequest(reservations=[SHORT], limits=[pb.SpendLimit()] * 65),
        ),
        ("reservations.id", "ReserveSpend", reserve_one(id=b"")),
        ("reservations.id", "ReserveSpend", reserve_one(id=b"x" * 17)),
        ("reservations.provider", "ReserveSpend", reserve_one(provider="")),
        ("reservations.provider", "ReserveSpend", reserve_one(provider="Mistral")),
        ("reservations.provider", "ReserveSpend", reserve_one(provider="a" * 33)),
        ("reservations.provider", "ReserveSpend", reserve_one(provider="a\n")),
        ("reservations.batch", "ReserveSpend", reserve_one(batch="batches/")),
        ("reservations.batch", "ReserveSpend", reserve_one(batch="batch")),
        ("reservations.batch", "ReserveSpend", reserve_one(batch="batches/a b")),
        ("reservations.batch", "ReserveSpend", reserve_one(batch="batches/" + "a" * 129)),
        ("reservations.micros", "ReserveSpend", reserve_one(micros=-1)),
        ("reservations.micros", "ReserveSpend", reserve_one(micros=10**15 + 1)),
        ("reservations.tokens", "ReserveSpend", reserve_one(tokens=-1)),
        ("reservations.ttl", "ReserveSpend", reserve_one(ttl=None)),
        ("reservations.ttl", "ReserveSpend", reserve_one(ttl=Duration(nanos=999_999_999))),
        ("reservations.ttl", "ReserveSpend", reserve_one(ttl=Duration(seconds=86_400, nanos=1_000))),
        ("reservations.ttl", "ReserveSpend", reserve_one(ttl=Duration(seconds=-5))),
        ("limits.provider", "ReserveSpend", reserve_within(provider="ä")),
        ("limits.micros", "ReserveSpend", reserve_within(micros=-1)),
        ("limits.tokens", "ReserveSpend", reserve_within(tokens=10**15 + 1)),
        ("settlements", "SettleSpend", pb.SettleSpendRequest()),
        ("settlements", "SettleSpend", pb.SettleSpendRequest(settlements=[settled()] * 257)),
        ("settlements.id", "SettleSpend", settle_one(id=b"x")),
        ("settlements.provider", "SettleSpend", settle_one(provider="")),
        ("settlements.batch", "SettleSpend", settle_one(batch="x")),
        ("settlements.micros", "SettleSpend", settle_one(micros=-1)),
        ("settlements.input_tokens", "SettleSpend", settle_one(input_tokens=10**15 + 1)),
        ("settlements.output_tokens", "SettleSpend", settle_one(output_tokens=-1)),
        ("settlements.outcome", "SettleSpend", settle_one(outcome=0)),
        ("settlements.outcome", "SettleSpend", settle_one(outcome=6)),
        ("start_day", "ListSpend", days(start_day="")),
        ("start_day", "ListSpend", days(start_day="20231101")),
        ("end_day", "ListSpend", days(end_day="2023-11-31")),
        ("end_day", "ListSpend", days(end_day="2023-10-31")),
        ("end_day", "ListSpend", days(start_day="2016-02-29", end_day="2026-03-09")),
        ("batch", "ListSpend", days(batch="x")),
        ("page_size", "ListSpend", days(page_size=-1)),
    ],
)
@pytest.mark.parametrize("records", ["sqlite"], indirect=True)
async def test_what_is_out_of_bounds_is_refused(records: Stub, field: str, call: str, request_: Any) -> None:
    refusal = await refused(getattr(records, call)(request_), Reason.INVALID_FIELD)
    assert refusal.metadata["field"] == field
    # One that is wrong takes the others with it, and leaves nothing behind.
    assert not (await records.GetSpend(pb.GetSpendRequest())).totals
