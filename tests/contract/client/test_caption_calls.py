"""Calls of the client to the captioner: what costs money is sent once, what does not is repeated."""

from __future__ import annotations

import grpc
import pytest

from sightmill.client import Client
from sightmill.errors import SightmillError
from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.client.scripted_server import UNAVAILABLE, ScriptedServer, build_status, usage_page


async def test_an_image_is_described_with_the_options_of_the_caller(
    client: Client, server: ScriptedServer
) -> None:
    server.captioner.caption = captioner_pb2.Caption(text="A boat.", provider="mistral")
    options = captioner_pb2.CaptionOptions(providers=["mistral"], language="de", skip_cache=True)
    assert await client.caption(b"bytes", options) == server.captioner.caption
    await client.caption(b"more")
    first, second = server.captioner.captioned
    assert (first.image.content, first.options) == (b"bytes", options)
    assert (second.image.content, second.HasField("options")) == (b"more", False)


async def test_calls_that_may_cost_money_are_never_repeated(client: Client, server: ScriptedServer) -> None:
    for call in (client.caption(b"bytes"), client.test_provider("mistral", b"bytes")):
        before = server.captioner.calls
        server.captioner.failures.append(UNAVAILABLE)
        with pytest.raises(SightmillError) as raised:
            await call
        assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert server.captioner.calls == before + 1


async def test_calls_that_cost_nothing_are_repeated(client: Client, server: ScriptedServer) -> None:
    server.captioner.chain.providers.add(id="local")
    server.captioner.estimate.provider = "mistral"
    server.captioner.pages[""] = usage_page("", captioner_pb2.CaptionUsage(provider="openai"))
    server.captioner.failures.append(UNAVAILABLE)
    assert [each.id for each in (await client.list_providers()).providers] == ["local"]
    server.captioner.failures.append(UNAVAILABLE)
    assert (await client.estimate_captions(7)).provider == "mistral"
    server.captioner.failures.append(UNAVAILABLE)
    assert [row.provider async for row in client.caption_usage()] == ["openai"]
    assert server.captioner.calls == 6


async def test_a_provider_is_tested_by_name(client: Client, server: ScriptedServer) -> None:
    error = build_status(grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_REFUSED", "It says no.")
    server.captioner.tested.error.CopyFrom(error)
    assert (await client.test_provider("openai", b"bytes")).error == error
    (asked,) = server.captioner.tests
    assert (asked.provider, asked.image.content) == ("openai", b"bytes")


async def test_an_estimate_is_asked_for_as_the_caller_says(client: Client, server: ScriptedServer) -> None:
    options = captioner_pb2.CaptionOptions(detail=captioner_pb2.CAPTION_DETAIL_LOW)
    await client.estimate_captions(12, "openai", options)
    assert server.captioner.estimates == [
        captioner_pb2.EstimateCaptionsRequest(image_count=12, provider="openai", options=options)
    ]


async def test_usage_goes_on_through_all_pages(client: Client, server: ScriptedServer) -> None:
    row = captioner_pb2.CaptionUsage
    server.captioner.pages = {
        "": usage_page("empty", row(day="2026-02-02"), row(day="2026-02-01")),
        "empty": usage_page("last"),
        "last": usage_page("", row(day="2026-01-31")),
    }
    days = common_pb2.TimeRange()
    days.start_time.FromJsonString("2026-01-31T00:00:00Z")
    found = client.caption_usage(days=days, by_batch=True, batch="batches/1", page_size=2)
    assert [each.day async for each in found] == ["2026-02-02", "2026-02-01", "2026-01-31"]
    assert [each.page_token for each in server.captioner.reports] == ["", "empty", "last"]
    for each in server.captioner.reports:
        asked = (each.time_range, each.by_batch, each.batch, each.page_size)
        assert asked == (days, True, "batches/1", 2)


async def test_usage_that_leads_in_circles_ends(client: Client, server: ScriptedServer) -> None:
    looped = usage_page("again")
    server.captioner.pages = {"": looped, "again": looped}
    with pytest.raises(SightmillError, match="never end"):
        assert [row async for row in client.caption_usage()] == []
