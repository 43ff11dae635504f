"""The vendors' own clients drive the fake vendors: what they understand, a fake may say."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from mistralai.client.errors import HTTPValidationError, SDKError

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
from tests.servers.providers.fake_account import FakeAccount, Fault
from tests.servers.providers.fake_compatible import GEMINI_MODEL, OLLAMA_MODEL, FakeGemini, FakeOllama
from tests.servers.providers.fake_mistral import FakeMistral, over_capacity
from tests.servers.providers.fake_openai import FakeOpenAI, out_of_quota
from tests.servers.providers.vendor_faults import bad_gateway, instead
from tests.servers.providers.vendor_picture import digest_of
from tests.servers.providers.vendor_plan import KEY, Plan, Vendor
from tests.servers.providers.vendor_words import caption_of


async def test_mistrals_client_reads_a_chat_answer() -> None:
    account, picture = FakeAccount(FakeMistral(), Plan(requests=60)), jpeg()
    async with mistral(account) as client:
        answer = await client.chat.complete_async(model=MISTRAL_MODEL, messages=messages(picture))
        parsed = await client.chat.parse_async(Described, model=MISTRAL_MODEL, messages=messages(picture))

    assert answer.choices[0].finish_reason == "stop"
    assert caption_of(digest_of(picture)) in str(answer.choices[0].message)
    assert parsed.choices
    message = parsed.choices[0].message
    assert message
    assert isinstance(message.parsed, Described)
    assert message.parsed.caption == caption_of(digest_of(picture))
    assert account.billed == {digest_of(picture): 2}
    assert [reply.headers["x-ratelimit-remaining-req-minute"] for _, reply in account.exchanges] == [
        "59",
        "58",
    ]


async def test_openais_client_reads_a_chat_answer() -> None:
    account, picture = FakeAccount(FakeOpenAI(), Plan(requests=60)), jpeg()
    async with open_ai(account) as client:
        answer = await client.chat.completions.create(
            model=OPENAI_MODEL, messages=messages(picture), max_completion_tokens=400
        )
        parsed = await client.chat.completions.parse(
            model=OPENAI_MODEL, messages=messages(picture), response_format=Described
        )

    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert caption_of(digest_of(picture)) in (answer.choices[0].message.content or "")
    assert parsed.choices[0].message.parsed
    assert parsed.choices[0].message.parsed.caption == caption_of(digest_of(picture))


async def test_openais_client_reads_a_response() -> None:
    account, picture = FakeAccount(FakeOpenAI()), jpeg()
    async with open_ai(account) as client:
        answer = await client.responses.create(
            model=OPENAI_MODEL, input=inputs(picture), max_output_tokens=400, store=False
        )
        parsed = await client.responses.parse(
            model=OPENAI_MODEL, input=inputs(picture), text_format=Described
        )
        cut = await client.responses.create(model=OPENAI_MODEL, input=inputs(picture), max_output_tokens=16)

    assert caption_of(digest_of(picture)) in answer.output_text
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert parsed.output_parsed
    assert parsed.output_parsed.caption == caption_of(digest_of(picture))
    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )


@pytest.mark.parametrize(
    ("vendor", "model", "path"),
    [(FakeGemini(), GEMINI_MODEL, "/v1beta/openai"), (FakeOllama(), OLLAMA_MODEL, "/v1")],
)
async def test_openais_client_reads_the_compatible_servers(vendor: Vendor, model: str, path: str) -> None:
    account, picture = FakeAccount(vendor), jpeg()
    async with open_ai(account, path=path) as client:
        parsed = await client.chat.completions.parse(
            model=model, messages=messages(picture), response_format=Described, max_tokens=400
        )

    assert parsed.choices[0].message.parsed
    assert parsed.choices[0].message.parsed.caption == caption_of(digest_of(picture))


@pytest.mark.parametrize(
    ("key", "model", "plan", "fault", "status", "word"),
    [
        ("wrong", MISTRAL_MODEL, Plan(), None, 401, "Unauthorized"),
        (KEY, "pixtral-12b-2409", Plan(), None, 400, "1500"),
        (KEY, "codestral-latest", Plan(), None, 400, "3051"),
        (KEY, MISTRAL_MODEL, Plan(requests=0), None, 429, "1300"),
        (KEY, MISTRAL_MODEL, Plan(tokens=100), None, 429, "1300"),
        (KEY, MISTRAL_MODEL, Plan(), instead(over_capacity()), 429, "3505"),
        (KEY, MISTRAL_MODEL, Plan(), bad_gateway(), 502, "Bad Gateway"),
    ],
)
async def test_mistrals_errors_are_the_clients_errors(
    key: str, model: str, plan: Plan, fault: Fault | None, status: int, word: str
) -> None:
    account = FakeAccount(FakeMistral(), plan)
    account.faults.extend([fault] if fault else [])
    async with mistral(account, key) as client:
        with pytest.raises(SDKError) as failed:
            await client.chat.complete_async(model=model, messages=messages(jpeg()))

    assert failed.value.status_code == status
    assert word in failed.value.body
    assert not account.billed
    assert "retry-after" not in failed.value.headers


async def test_mistrals_validation_error_is_the_clients() -> None:
    async with mistral(FakeAccount(FakeMistral())) as client:
        with pytest.raises(HTTPValidationError) as failed:
            await client.chat.complete_async(model="", messages=messages(jpeg()))

    assert failed.value.status_code == 422


@pytest.mark.parametrize(
    ("key", "model", "plan", "fault", "error", "code"),
    [
        ("wrong", OPENAI_MODEL, Plan(), None, openai.AuthenticationError, "invalid_api_key"),
        (KEY, "gpt-0", Plan(), None, openai.NotFoundError, "model_not_found"),
        (KEY, OPENAI_MODEL, Plan(requests=0), None, openai.RateLimitError, "rate_limit_exceeded"),
        (KEY, OPENAI_MODEL, Plan(tokens=9), None, openai.RateLimitError, "rate_limit_exceeded"),
        (KEY, OPENAI_MODEL, Plan(), instead(out_of_quota()), openai.RateLimitError, "insufficient_quota"),
        (KEY, OPENAI_MODEL, Plan(slots=0, queue=0), None, openai.InternalServerError, None),
        (KEY, OPENAI_MODEL, Plan(), bad_gateway(), openai.InternalServerError, None),
    ],
)
async def test_openais_errors_are_the_clients_errors(
    key: str,
    model: str,
    plan: Plan,
    fault: Fault | None,
    error: type[openai.APIStatusError],
    code: str | None,
) -> None:
    account = FakeAccount(FakeOpenAI(), plan)
    account.faults.extend([fault] if fault else [])
    async with open_ai(account, key) as client:
        with pytest.raises(error) as failed:
            await client.chat.completions.create(model=model, messages=messages(jpeg()))

    assert type(failed.value) is error
    assert failed.value.code == code
    assert KEY not in str(failed.value)
    assert not account.billed


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"max_tokens": 400}, "max_tokens"),
        ({"temperature": 0.1}, "temperature"),
    ],
)
async def test_openai_refuses_what_a_reasoning_model_does_not_take(extra: dict[str, Any], param: str) -> None:
    async with open_ai(FakeAccount(FakeOpenAI())) as client:
        with pytest.raises(openai.BadRequestError) as failed:
            await client.chat.completions.create(model=OPENAI_MODEL, messages=messages(jpeg()), **extra)

    assert failed.value.param == param


async def test_openai_refuses_a_bare_address_of_an_image_and_mistral_takes_it() -> None:
    bare = messages(jpeg())
    bare[1]["content"][1]["image_url"] = bare[1]["content"][1]["image_url"]["url"]
    async with open_ai(FakeAccount(FakeOpenAI())) as client:
        with pytest.raises(openai.BadRequestError, match="expected an object"):
            await client.chat.completions.create(model=OPENAI_MODEL, messages=bare)
    account = FakeAccount(FakeMistral())
    async with mistral(account) as client:
        await client.chat.complete_async(model=MISTRAL_MODEL, messages=bare)

    assert account.statuses == {200: 1}


async def test_gemini_says_in_the_body_when_to_come_back() -> None:
    async with open_ai(FakeAccount(FakeGemini(), Plan(requests=0)), path="/v1beta/openai") as client:
        with pytest.raises(openai.RateLimitError) as failed:
            await client.chat.completions.create(model=GEMINI_MODEL, messages=messages(jpeg()))

    [error] = failed.value.response.json()
    assert error["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert error["error"]["details"][1]["retryDelay"].endswith("s")
    assert "retry-after" not in failed.value.response.headers


async def test_a_busy_ollama_is_an_internal_error_to_the_client() -> None:
    async with open_ai(FakeAccount(FakeOllama(), Plan(slots=0, queue=0))) as client:
        with pytest.raises(openai.InternalServerError, match="maximum pending requests exceeded"):
            await client.chat.completions.create(model=OLLAMA_MODEL, messages=messages(jpeg()))
