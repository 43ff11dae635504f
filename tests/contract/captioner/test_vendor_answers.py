"""What the fake vendors answer is what the real ones may: held against schemas, and against known facts.

The vendors' clients are lenient, so that passing them says little about a body.
"""

from __future__ import annotations

from typing import Any

import pytest
from mistralai.client.errors import HTTPValidationError

from tests.contract.captioner.sdk_clients import (
    MISTRAL_MODEL,
    OPENAI_MODEL,
    Described,
    inputs,
    jpeg,
    messages,
    mistral,
    open_ai,
)
from tests.contract.captioner.vendor_schemas import problems
from tests.servers.providers.chat_vendor import parts_of
from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_mistral import FakeMistral
from tests.servers.providers.fake_openai import FakeOpenAI, go_duration
from tests.servers.providers.vendor_call import Call
from tests.servers.providers.vendor_picture import jpeg_size
from tests.servers.providers.vendor_window import UsedInAMinute


async def test_every_answer_fits_the_vendors_schema() -> None:
    by_mistral, by_openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    async with mistral(by_mistral) as client:
        await client.chat.complete_async(model=MISTRAL_MODEL, messages=messages(jpeg()), max_tokens=8)
        await client.chat.parse_async(Described, model=MISTRAL_MODEL, messages=messages(jpeg()))
    async with open_ai(by_openai) as other:
        await other.chat.completions.create(model=OPENAI_MODEL, messages=messages(jpeg()))
        await other.chat.completions.parse(
            model=OPENAI_MODEL, messages=messages(jpeg()), response_format=Described
        )
    exchanges = [("mistral", *each) for each in by_mistral.exchanges]
    exchanges += [("openai", *each) for each in by_openai.exchanges]

    assert len(exchanges) == 4
    for vendor, _call, reply in exchanges:
        assert problems(vendor, "200", reply.json) == []


async def test_every_response_fits_the_vendors_schema() -> None:
    account = FakeAccount(FakeOpenAI())
    async with open_ai(account) as client:
        await client.responses.create(model=OPENAI_MODEL, input=inputs(jpeg()), max_output_tokens=16)
        await client.responses.parse(model=OPENAI_MODEL, input=inputs(jpeg()), text_format=Described)

    for _, reply in account.exchanges:
        assert problems("openai-responses", "200", reply.json) == []
    broken = account.exchanges[0][1].json
    del broken["usage"]["input_tokens_details"]["cache_write_tokens"]
    assert problems("openai-responses", "200", broken)


async def test_mistrals_validation_error_fits_its_schema() -> None:
    account = FakeAccount(FakeMistral())
    async with mistral(account) as client:
        with pytest.raises(HTTPValidationError):
            await client.chat.complete_async(model="", messages=messages(jpeg()))
    _, reply = account.exchanges[0]

    assert problems("mistral", "422", reply.json) == []
    assert problems("mistral", "422", {"detail": [{"msg": "no place and no kind"}]})


@pytest.mark.parametrize("vendor", ["mistral", "openai"])
async def test_a_fault_in_an_answer_is_noticed(vendor: str) -> None:
    account = FakeAccount(FakeMistral() if vendor == "mistral" else FakeOpenAI())
    if vendor == "mistral":
        async with mistral(account) as client:
            await client.chat.complete_async(model=MISTRAL_MODEL, messages=messages(jpeg()))
    else:
        async with open_ai(account) as other:
            await other.chat.completions.create(model=OPENAI_MODEL, messages=messages(jpeg()))
    _, reply = account.exchanges[0]

    for damaged in (_without(reply.json, "finish_reason"), _without(reply.json, "message")):
        assert problems(vendor, "200", damaged)
    assert problems(vendor, "200", {**reply.json, "usage": {"prompt_tokens": "many"}})


async def test_the_outline_of_the_answers_holds_without_any_schema() -> None:
    """What the schemas demand, as far as it can be said in a few lines."""
    by_mistral, by_openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    async with mistral(by_mistral) as client:
        await client.chat.complete_async(model=MISTRAL_MODEL, messages=messages(jpeg()))
    async with open_ai(by_openai) as other:
        await other.chat.completions.create(model=OPENAI_MODEL, messages=messages(jpeg()))
        await other.responses.create(model=OPENAI_MODEL, input=inputs(jpeg()))
    said, spoken = by_mistral.exchanges[0][1].json, by_openai.exchanges[0][1].json
    response = by_openai.exchanges[1][1].json

    outline = {"id", "object", "created", "model", "choices", "usage"}
    assert said.keys() == outline
    assert spoken.keys() == outline | {"service_tier"}
    assert said["choices"][0].keys() == {"index", "message", "finish_reason"}
    assert spoken["choices"][0].keys() == {"index", "message", "finish_reason", "logprobs"}
    assert {"role", "content", "refusal"} <= spoken["choices"][0]["message"].keys()
    assert "refusal" not in said["choices"][0]["message"]
    assert {
        "error",
        "incomplete_details",
        "instructions",
        "metadata",
        "tool_choice",
        "tools",
    } <= response.keys()
    assert response["output"][0]["content"][0].keys() == {"type", "text", "annotations", "logprobs"}
    assert response["usage"].keys() == {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    }


async def test_tokens_follow_the_size_of_the_picture() -> None:
    """A picture of 597 x 566 was charged with 483 tokens of Mistral's, whose grid has 28 pixels."""
    accounts = {597: FakeAccount(FakeMistral()), 4032: FakeAccount(FakeMistral())}
    sizes = {597: 566, 4032: 3024}
    tokens = {}
    for width, account in accounts.items():
        async with mistral(account) as client:
            answer = await client.chat.complete_async(
                model=MISTRAL_MODEL, messages=messages(jpeg(width, sizes[width]))
            )
        words = sum(len(part.get("text", "")) for part in parts_of({"messages": messages(jpeg())}))
        tokens[width] = (answer.usage.prompt_tokens or 0) - words // 4

    assert tokens[597] == pytest.approx(483, abs=2)
    assert tokens[4032] == pytest.approx(2_352, abs=2)


async def test_a_minute_of_the_clock_ends_and_a_sliding_one_slides() -> None:
    clock, sliding = UsedInAMinute("clock"), UsedInAMinute("sliding")
    for window in (clock, sliding):
        window.add(50.0, 7)
        window.add(59.0, 5)

    assert (clock.count(59.9), sliding.count(59.9)) == ((2, 12), (2, 12))
    assert (clock.count(60.0), sliding.count(60.0)) == ((0, 0), (2, 12))
    assert sliding.free_in_s(100.0) == 10.0
    assert (sliding.count(109.9), sliding.count(110.0)) == ((2, 12), (1, 5))


async def test_mistral_writes_blanks_where_nobody_says_json() -> None:
    account = FakeAccount(FakeMistral())
    silent = [message for message in messages(jpeg()) if message["role"] == "user"]
    async with mistral(account) as client:
        await client.chat.complete_async(
            model=MISTRAL_MODEL, messages=silent, response_format={"type": "json_object"}
        )
    [choice] = account.exchanges[0][1].json["choices"]

    assert choice["finish_reason"] == "length"
    assert not choice["message"]["content"].strip()


def test_mistral_wants_a_key() -> None:
    account = FakeAccount(FakeMistral())
    for header in ({}, {"authorization": "Basic abc"}, {"authorization": "Bearer other"}):
        assert account.decide(0.0, Call("/v1/chat/completions", header, b"{}")).status == 401


def test_go_writes_durations_like_this() -> None:
    assert [go_duration(each) for each in (0.12, 1, 17.5, 360, 0)] == ["120ms", "1s", "17.5s", "6m0s", "0ms"]


def test_sizes_are_read_from_the_header() -> None:
    assert jpeg_size(jpeg(320, 240)) == (320, 240)


def _without(answer: dict[str, Any], key: str) -> dict[str, Any]:
    del answer["choices"][0][key]
    return answer
