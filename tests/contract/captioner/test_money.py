"""Money as a caller sees it: real service, the catalog's real books, a fake provider over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.runtime.statuses import from_rpc_error
from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.captioner.conftest import KEY, Captioner, captioner_with
from tests.contract.captioner.records_world import RecordsWorld, records_world
from tests.servers.providers.fake_provider import FakeProvider
from tests.servers.providers.replies import mistral_answer, sends
from tests.servers.waiting import until

# 516 tokens at USD 0.15 and 41 at USD 0.60 a million.
COST_MICROS = 102


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[RecordsWorld]:
    async with records_world(tmp_path) as world:
        yield world


def settings(fake: FakeProvider, books: RecordsWorld, **more: Any) -> dict[str, Any]:
    return {
        "captioner_mistral_url": f"{fake.url}/v1",
        "captioner_mistral_api_key": KEY,
        "captioner_keep_records": True,
        "catalog_address": books.address,
        **more,
    }


def request(content: bytes, batch: str = "") -> captioner_pb2.CaptionImageRequest:
    return captioner_pb2.CaptionImageRequest(image=common_pb2.ImageSource(content=content), batch=batch)


async def first_provider(captioner: Captioner) -> captioner_pb2.Provider:
    listed = await captioner.stub.ListProviders(captioner_pb2.ListProvidersRequest())
    return listed.providers[0]


async def usage(captioner: Captioner, **query: Any) -> list[captioner_pb2.CaptionUsage]:
    answer = await captioner.stub.GetCaptionUsage(captioner_pb2.GetCaptionUsageRequest(**query))
    return list(answer.usage)


async def test_the_same_picture_is_paid_for_once_and_the_report_says_so(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld, photo: bytes
) -> None:
    fake.script(sends(200, mistral_answer()))
    async with captioner_with(tmp_path, **settings(fake, books)) as captioner:
        paid = (await captioner.stub.CaptionImage(request(photo))).caption
        again = (await captioner.stub.CaptionImage(request(photo, "batches/b1"))).caption
    # Another process, later.
    async with captioner_with(tmp_path, **settings(fake, books)) as captioner:
        later = (await captioner.stub.CaptionImage(request(photo, "batches/b1"))).caption
        anew = request(photo)
        anew.options.skip_cache = True
        await captioner.stub.CaptionImage(anew)
        await until_counted(captioner, 4)
        [row] = await usage(captioner)
        by_batch = await usage(captioner, by_batch=True)
        [of_batch] = await usage(captioner, batch="batches/b1")

    assert len(fake.received) == 2
    assert (paid.cached, paid.usage.cost.micros) == (False, COST_MICROS)
    for free in (again, later):
        assert (free.cached, free.usage.cost.micros, free.usage.input_tokens) == (True, 0, 0)
        assert (free.text, free.provider, free.degraded) == (paid.text, "mistral", False)
    assert (row.provider, row.image_count, row.cached_count) == ("mistral", 2, 2)
    assert (row.usage.input_tokens, row.usage.output_tokens) == (2 * 516, 2 * 41)
    assert row.usage.cost.micros == 2 * COST_MICROS
    assert {(each.batch, each.image_count, each.cached_count) for each in by_batch} == {
        ("", 2, 0),
        ("batches/b1", 0, 2),
    }
    assert (of_batch.image_count, of_batch.cached_count) == (0, 2)


async def test_over_budget_the_chain_goes_on_also_after_a_restart(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld, photo: bytes
) -> None:
    fake.script(sends(200, mistral_answer()))
    # Room for what one call is expected to cost, not for two.
    budget = {"captioner_budgets": {"mistral": {"day": 0.0005}}}
    async with captioner_with(tmp_path, **settings(fake, books, **budget)) as captioner:
        paid = (await captioner.stub.CaptionImage(request(photo))).caption
        await until_counted(captioner, 1)
    async with captioner_with(tmp_path, **settings(fake, books, **budget)) as captioner:
        refused = (await captioner.stub.CaptionImage(request(photo + b"other"))).caption
        known = (await captioner.stub.CaptionImage(request(photo))).caption
        provider = await first_provider(captioner)
        only = request(photo + b"third")
        only.options.providers.append("mistral")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await captioner.stub.CaptionImage(only)

    assert paid.provider == "mistral"
    assert len(fake.received) == 1
    assert (refused.provider, refused.degraded) == ("local", True)
    assert "The budget of the day for mistral is used up (0.0005 USD)" in refused.degraded_reason
    assert known.cached
    [bound] = provider.budgets
    assert (bound.provider, bound.period, bound.limit.micros, bound.used.micros) == (
        "mistral",
        "day",
        500,
        COST_MICROS,
    )
    assert (provider.spent_today.micros, provider.spent_month.micros) == (COST_MICROS, COST_MICROS)
    assert from_rpc_error(failed.value).reason_name == "BUDGET_EXHAUSTED"


async def test_a_used_up_budget_shows_in_the_list(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld
) -> None:
    budget = {"captioner_budgets": {"all": {"month": 0}, "mistral": {"day_tokens": 5}}}
    async with captioner_with(tmp_path, **settings(fake, books, **budget)) as captioner:
        provider = await first_provider(captioner)

    assert provider.state == captioner_pb2.PROVIDER_STATE_EXHAUSTED
    assert "raise SIGHTMILL_CAPTIONER_BUDGETS" in provider.message
    assert [(each.provider, each.period, each.token_limit) for each in provider.budgets] == [
        ("", "month", 0),
        ("mistral", "day", 5),
    ]


async def test_a_provider_with_a_budget_is_not_asked_while_the_catalog_is_away(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld, photo: bytes
) -> None:
    fake.script(sends(200, mistral_answer()))
    bounded = settings(fake, books, captioner_budgets={"all": {"day": 5}}, captioner_budget_wait_s=0.1)
    async with captioner_with(tmp_path, **bounded) as captioner:
        await books.stop()
        unpaid = (await captioner.stub.CaptionImage(request(photo))).caption
        await until(lambda: "records" in str(captioner.app.health.report()), "the report says so")
    async with captioner_with(tmp_path, **settings(fake, books)) as captioner:
        unbounded = (await captioner.stub.CaptionImage(request(photo))).caption
        await books.start()
        await until_counted(captioner, 1)

    assert (unpaid.provider, unpaid.degraded) == ("local", True)
    assert "The budget cannot be checked" in unpaid.degraded_reason
    assert (unbounded.provider, unbounded.degraded) == ("mistral", False)


async def test_estimates_know_price_limit_and_budget(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld
) -> None:
    more = {
        "captioner_rates": {"mistral": {"requests": 60}},
        "captioner_budgets": {"mistral": {"day": 10}},
    }
    async with captioner_with(tmp_path, **settings(fake, books, **more)) as captioner:

        async def estimate(**fields: Any) -> captioner_pb2.EstimateCaptionsResponse:
            return await captioner.stub.EstimateCaptions(captioner_pb2.EstimateCaptionsRequest(**fields))

        small = await estimate(image_count=600)
        low = await estimate(
            image_count=600, options=captioner_pb2.CaptionOptions(detail=captioner_pb2.CAPTION_DETAIL_LOW)
        )
        large = await estimate(image_count=1_000_000)
        local = await estimate(image_count=7, provider="local")
        reasons = []
        for wrong in ({"image_count": 0}, {"image_count": 1, "provider": "openai"}):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await estimate(**wrong)
            reasons.append(from_rpc_error(failed.value).reason_name)

    assert (small.provider, small.model) == ("mistral", "mistral-small-latest")
    assert small.duration.ToSeconds() == 600
    assert small.usage.output_tokens == 600 * 400
    # Pictures of 1024 x 768: 37 x 28 patches and a mark for each row, and a few hundred tokens of text.
    assert 600 * 1_064 < small.usage.input_tokens < 600 * 1_500
    assert small.cost.micros == small.usage.input_tokens * 15 // 100 + small.usage.output_tokens * 60 // 100
    assert low.cost.micros < small.cost.micros
    assert not small.over_budget
    assert large.over_budget
    assert local.cost.micros == 0
    assert not fake.received
    assert reasons == ["INVALID_FIELD", "PROVIDER_NOT_CONFIGURED"]


async def test_calls_of_a_batch_name_it_rightly_or_are_refused(
    tmp_path: Path, fake: FakeProvider, books: RecordsWorld, photo: bytes
) -> None:
    async with captioner_with(tmp_path, **settings(fake, books)) as captioner:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await captioner.stub.CaptionImage(request(photo, "images/1"))

    assert from_rpc_error(failed.value).reason_name == "INVALID_FIELD"


async def until_counted(captioner: Captioner, calls: int) -> None:
    """What calls cost reaches the books some time soon."""
    rows: list[captioner_pb2.CaptionUsage] = []
    async with asyncio.timeout(20):
        while True:
            # A catalog that is just starting is not there yet.
            with suppress(grpc.aio.AioRpcError):
                rows = await usage(captioner)
            if sum(row.image_count + row.cached_count for row in rows) >= calls:
                return
            await asyncio.sleep(0.02)
