"""Every request that is sent, in every form, fits the vendors' schemas; so do the answers of the fake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest

from services.captioner.chat.mistral_provider import mistral_provider
from services.captioner.chat.openai_provider import openai_provider
from services.captioner.chat.openai_responses_provider import openai_responses_provider
from services.captioner.http_client import HttpClient
from services.captioner.provider import Ask, ConfigError, FormRefusedError, Provider
from tests.contract.captioner.asking import gradient, way_to
from tests.contract.captioner.vendor_facts import broken_facts
from tests.contract.captioner.vendor_schemas import CALLS, problems
from tests.servers.providers.fake_provider import FakeProvider
from tests.servers.providers.replies import (
    ANSWER,
    chat_answer,
    failed_response,
    mistral_answer,
    responses_answer,
    said,
    sends,
)

Check = Callable[[str, str, Any], list[str]]

PROVIDERS: dict[str, list[Callable[[HttpClient], Provider]]] = {
    "mistral": [lambda http: mistral_provider(http, "mistral-small-latest")],
    "openai": [
        lambda http: openai_provider(http, "gpt-5.4-mini"),
        lambda http: openai_provider(http, "gpt-4o"),
    ],
    "openai-responses": [
        lambda http: openai_responses_provider(http, "gpt-5.4-mini"),
        lambda http: openai_responses_provider(http, "gpt-4.1-mini"),
    ],
}
GOOD = {"mistral": mistral_answer(), "openai": chat_answer(), "openai-responses": responses_answer()}
THINKING = [{"type": "thinking", "thinking": []}, {"type": "text", "text": ANSWER}]
CUT: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
ANSWERS = {
    "mistral": [GOOD["mistral"], mistral_answer(ANSWER[:40], "length"), mistral_answer(THINKING)],
    "openai": [
        GOOD["openai"],
        chat_answer(ANSWER[:40], "length"),
        chat_answer(None, refusal="No."),
        chat_answer("", "content_filter"),
    ],
    "openai-responses": [
        GOOD["openai-responses"],
        responses_answer(said(ANSWER[:40]), **CUT),
        responses_answer({"type": "refusal", "refusal": "No."}),
        failed_response("server_error"),
    ],
}
ASKS = (
    Ask(),
    Ask(prompt='Name the "colours" of data:image/jpeg;base64,', language="pt-BR"),
    Ask(detail="low", max_output_tokens=16),
)
# What a server may refuse, one after the other: both formats, the optional key, the name of the limit.
REFUSED = (
    "response_format is unsupported",
    "response_format is unsupported",
    "temperature and reasoning are unsupported",
    "unsupported: max_tokens max_completion_tokens",
)


@pytest.mark.parametrize("check", [broken_facts, problems], ids=["facts", "schemas"])
@pytest.mark.parametrize("call", CALLS)
async def test_requests_in_every_form_fit(
    call: str, check: Check, fake: FakeProvider, http: HttpClient
) -> None:
    for build in PROVIDERS[call]:
        for ask in ASKS:
            await _ask_in_all_forms(build(http), call, ask, fake)

    assert len({frozenset(request.json) for request in fake.received}) >= 3
    for request in fake.received:
        assert check(call, "request", request.json) == []


@pytest.mark.parametrize("check", [broken_facts, problems], ids=["facts", "schemas"])
@pytest.mark.parametrize("call", CALLS)
def test_the_answers_of_the_fake_fit(call: str, check: Check) -> None:
    for answer in ANSWERS[call]:
        assert check(call, "200", answer) == []


@pytest.mark.parametrize("check", [broken_facts, problems], ids=["facts", "schemas"])
async def test_a_fault_in_a_request_would_be_noticed(
    check: Check, fake: FakeProvider, http: HttpClient
) -> None:
    for call in CALLS:
        fake.script(sends(200, GOOD[call]))
        await PROVIDERS[call][0](http).describe(gradient(), Ask(), way_to(fake))
    to_mistral, chat, responses = (request.json for request in fake.received)

    assert check("mistral", "request", {**to_mistral, "max_completion_tokens": 400})
    chat["messages"][1]["content"][1]["image_url"] = "data:image/jpeg;base64,AAAA"
    assert check("openai", "request", chat)
    responses["input"][0]["content"][1]["image_url"] = {"url": "data:image/jpeg;base64,AAAA"}
    assert check("openai-responses", "request", responses)


@pytest.mark.parametrize("check", [broken_facts, problems], ids=["facts", "schemas"])
def test_a_fault_in_an_answer_would_be_noticed(check: Check) -> None:
    for call in ("mistral", "openai"):
        unfinished = deepcopy(GOOD[call])
        del unfinished["choices"][0]["finish_reason"]
        assert check(call, "200", unfinished)
    for key in ("input_tokens_details", "output_tokens_details"):
        uncounted = deepcopy(GOOD["openai-responses"])
        del uncounted["usage"][key]
        assert check("openai-responses", "200", uncounted)


async def _ask_in_all_forms(provider: Provider, call: str, ask: Ask, fake: FakeProvider) -> None:
    fake.script(*(sends(400, {"error": {"message": text}}) for text in REFUSED), sends(200, GOOD[call]))
    for _ in REFUSED:
        with suppress(FormRefusedError, ConfigError):
            await provider.describe(gradient(), ask, way_to(fake))
    await provider.describe(gradient(), ask, way_to(fake))
