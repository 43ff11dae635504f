"""What a provider makes of everything that servers were seen to answer: one row each, over real HTTP."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from services.captioner.chat.compatible_provider import compatible_provider
from services.captioner.chat.mistral_provider import mistral_provider
from services.captioner.chat.openai_provider import openai_provider
from services.captioner.chat.openai_responses_provider import openai_responses_provider
from services.captioner.http_client import MAX_ANSWER_BYTES, HttpClient
from services.captioner.picture import Upload
from services.captioner.provider import (
    Access,
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    FormRefusedError,
    Limits,
    ParseMode,
    Provider,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    ThrottledError,
    Tokens,
    TransientError,
)
from tests.contract.captioner.asking import KEY, gradient, way_to
from tests.servers.providers.fake_provider import FakeProvider, Reply
from tests.servers.providers.replies import (
    ANSWER,
    CAPACITY_EXCEEDED,
    CAPTION,
    EXTRA_FORBIDDEN,
    MODEL_NOT_FOUND,
    NO_JSON_SCHEMA,
    OLLAMA_BUSY,
    RATE_LIMITED,
    chat_answer,
    failed_response,
    gemini_limit,
    mistral_answer,
    never_ends,
    openai_error,
    promises_too_little,
    promises_too_much,
    resets_in_the_body,
    responses_answer,
    said,
    sends,
    sends_gzip,
    stops_before_the_head,
    stops_in_the_body,
)

BILLED = Tokens(516, 41)
PROVIDERS: dict[str, Callable[[HttpClient, float], Provider]] = {
    "mistral": lambda http, wait_s: mistral_provider(http, "mistral-small-latest", wait_s),
    "openai": lambda http, wait_s: openai_provider(http, "gpt-5.4-mini", read_timeout_s=wait_s),
    "responses": lambda http, wait_s: openai_responses_provider(http, "gpt-5.4-mini", wait_s),
    "compatible": lambda http, wait_s: compatible_provider(http, "qwen", wait_s),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One scenario that gives no description. ``tokens`` were billed; ``maybe`` something was."""

    name: str
    provider: str
    reply: Reply
    kind: type[ProviderError]
    wait_s: float | None = None
    tokens: Tokens | None = None
    maybe: bool = False
    read_timeout_s: float = 20.0


DAY = "Fri, 20 Nov 2026 12:00:00 GMT"
QUARTER_LATER = "Fri, 20 Nov 2026 12:15:00 GMT"
REFUSED_TEMPERATURE = {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"]}]}
COMPLETE = chat_answer()
FAILURES = [
    Failure("429, seconds", "openai", sends(429, {}, Retry_After="7"), ThrottledError, 7.0),
    Failure("429, fraction", "mistral", sends(429, RATE_LIMITED, Retry_After="1.5"), ThrottledError, 1.5),
    Failure(
        "429, date", "openai", sends(429, {}, Retry_After=QUARTER_LATER, Date=DAY), ThrottledError, 900.0
    ),
    Failure("429, milliseconds", "openai", sends(429, {}, Retry_After_Ms="250"), ThrottledError, 0.25),
    Failure(
        "429, resets",
        "responses",
        sends(429, {}, X_RateLimit_Remaining_Tokens="0", X_RateLimit_Reset_Tokens="6m0s"),
        ThrottledError,
        360.0,
    ),
    Failure(
        "429, nothing left",
        "mistral",
        sends(429, RATE_LIMITED, X_RateLimit_Remaining_Req_Minute="0"),
        ThrottledError,
    ),
    Failure(
        "429, limit zero",
        "mistral",
        sends(429, RATE_LIMITED, X_RateLimit_Limit_Req_Minute="0", Retry_After="5"),
        ExhaustedError,
    ),
    Failure("429, no credit", "openai", sends(429, openai_error("insufficient_quota")), ExhaustedError),
    Failure(
        "429, Gemini's minute",
        "compatible",
        sends(429, gemini_limit("GenerateRequestsPerMinute")),
        ThrottledError,
        34.0,
    ),
    Failure(
        "429, Gemini's day", "compatible", sends(429, gemini_limit("GenerateRequestsPerDay")), ExhaustedError
    ),
    Failure("429, no capacity", "mistral", sends(429, CAPACITY_EXCEEDED), TransientError),
    Failure("402", "compatible", sends(402), ExhaustedError),
    Failure("Ollama busy", "compatible", sends(503, OLLAMA_BUSY), ThrottledError),
    Failure("503, seconds", "compatible", sends(503, "", Retry_After="3"), TransientError, 3.0),
    Failure("529", "mistral", sends(529, {"type": "overloaded"}), TransientError),
    Failure("502 in HTML", "mistral", sends(502, "<html>Bad gateway</html>"), TransientError),
    Failure("422, unknown key", "mistral", sends(422, EXTRA_FORBIDDEN), ConfigError),
    Failure("422, optional key", "mistral", sends(422, REFUSED_TEMPERATURE), FormRefusedError),
    Failure("400, format", "openai", sends(400, NO_JSON_SCHEMA), FormRefusedError),
    Failure("401", "mistral", sends(401, {"message": f"Incorrect API key provided: {KEY}"}), ConfigError),
    Failure("404", "responses", sends(404, MODEL_NOT_FOUND), ConfigError),
    Failure("302", "openai", sends(302, b"", Location="http://127.0.0.1:1/elsewhere"), ConfigError),
    Failure("413", "openai", sends(413, "<html>"), BadPictureError),
    Failure("400, image", "openai", sends(400, {"error": {"message": "Invalid image"}}), BadPictureError),
    Failure("400, rules", "openai", sends(400, openai_error("content_policy_violation")), RefusedError),
    Failure("refusal", "openai", sends(200, chat_answer(None, refusal="No.")), RefusedError, tokens=BILLED),
    Failure(
        "refusal in words",
        "mistral",
        sends(200, mistral_answer("I'm sorry, I can't help with that.")),
        RefusedError,
        tokens=BILLED,
    ),
    Failure(
        "content filter", "openai", sends(200, chat_answer("", "content_filter")), RefusedError, tokens=BILLED
    ),
    Failure(
        "refusal, responses",
        "responses",
        sends(200, responses_answer({"type": "refusal", "refusal": "No."})),
        RefusedError,
        tokens=BILLED,
    ),
    Failure(
        "failed, responses",
        "responses",
        sends(200, failed_response("server_error")),
        TransientError,
        maybe=True,
    ),
    Failure(
        "bad picture, responses",
        "responses",
        sends(200, failed_response("image_too_large")),
        BadPictureError,
        maybe=True,
    ),
    Failure(
        "empty at the limit",
        "openai",
        sends(200, chat_answer("", "length")),
        AnswerError,
        tokens=BILLED,
    ),
    Failure("stopped", "mistral", sends(200, mistral_answer("", "error")), TransientError, tokens=BILLED),
    Failure("no choices", "openai", sends(200, {**COMPLETE, "choices": []}), AnswerError, tokens=BILLED),
    Failure("200 in HTML", "openai", sends(200, "<html>All is well</html>"), AnswerError, maybe=True),
    Failure("not UTF-8", "responses", sends(200, b"\xff\xfe\x00"), AnswerError, maybe=True),
    Failure("too deep", "responses", sends(200, b"[" * 100_000), AnswerError, maybe=True),
    Failure("too large", "openai", sends(200, b" " * (MAX_ANSWER_BYTES + 1)), AnswerError, maybe=True),
    Failure("too large, packed", "openai", sends_gzip(" " * MAX_ANSWER_BYTES), AnswerError, maybe=True),
    Failure("endless", "mistral", never_ends(), AnswerError, maybe=True),
    Failure("falsely packed", "openai", sends(200, COMPLETE, Content_Encoding="br"), AnswerError, maybe=True),
    Failure("slow head", "mistral", stops_before_the_head(), SlowAnswerError, maybe=True, read_timeout_s=0.2),
    Failure("slow body", "openai", stops_in_the_body(), SlowAnswerError, maybe=True, read_timeout_s=0.2),
    Failure("reset in the body", "responses", resets_in_the_body(), TransientError, maybe=True),
    Failure("promised more", "openai", promises_too_much(b'{"id":'), TransientError, maybe=True),
    Failure("promised less", "openai", promises_too_little(b'{"choices": []}' * 9), AnswerError, maybe=True),
]


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.name)
async def test_failures_have_their_class_their_wait_and_their_price(
    row: Failure, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(row.reply)
    provider = PROVIDERS[row.provider](http, row.read_timeout_s)

    with pytest.raises(ProviderError) as failed:
        await provider.describe(gradient(), Ask(), way_to(fake))

    error = failed.value
    assert type(error) is row.kind
    assert error.retry_after_s == row.wait_s
    assert (error.tokens, error.may_be_billed) == (row.tokens, row.maybe)
    assert KEY not in error.message
    assert "127.0.0.1" not in error.message
    assert len(fake.received) == 1


@pytest.mark.parametrize(
    ("provider", "reply", "mode"),
    [
        ("mistral", sends(200, mistral_answer()), ParseMode.JSON),
        ("openai", sends_gzip(chat_answer()), ParseMode.JSON),
        ("openai", sends(200, chat_answer(ANSWER[:-12], "length")), ParseMode.REPAIRED),
        ("compatible", sends(200, chat_answer(f"Sure:\n```json\n{ANSWER}\n```")), ParseMode.REPAIRED),
        ("compatible", sends(200, chat_answer(f"**Caption:** {CAPTION}\n**Tags:** bus")), ParseMode.SECTIONS),
        ("compatible", sends(200, chat_answer(f"This image shows {CAPTION}")), ParseMode.PROSE),
        ("compatible", sends(200, chat_answer("", reasoning=f"A bus. {ANSWER}")), ParseMode.REPAIRED),
        (
            "mistral",
            sends(
                200, mistral_answer([{"type": "thinking", "thinking": []}, {"type": "text", "text": ANSWER}])
            ),
            ParseMode.JSON,
        ),
        ("responses", sends(200, responses_answer()), ParseMode.JSON),
        ("responses", sends(200, responses_answer(said(ANSWER[:40]), said(ANSWER[40:]))), ParseMode.JSON),
        (
            "responses",
            sends(
                200,
                responses_answer(
                    said(ANSWER[:-12]),
                    status="incomplete",
                    incomplete_details={"reason": "max_output_tokens"},
                ),
            ),
            ParseMode.REPAIRED,
        ),
    ],
)
async def test_odd_answers_are_understood(
    provider: str, reply: Reply, mode: ParseMode, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(reply)

    answer = await PROVIDERS[provider](http, 20).describe(gradient(), Ask(), way_to(fake))

    assert answer.description.text == CAPTION
    assert answer.description.parse_mode is mode
    assert answer.description.tokens == BILLED


@pytest.mark.parametrize(
    ("provider", "headers", "limits"),
    [
        (
            "mistral",
            {
                "x-ratelimit-limit-req-minute": "60",
                "x-ratelimit-remaining-req-minute": "59",
                "x-ratelimit-limit-tokens-minute": "50000",
                "x-ratelimit-remaining-tokens-minute": "48300",
            },
            Limits(60, 59, None, 50_000, 48_300, None),
        ),
        (
            "openai",
            {
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "28000",
                "x-ratelimit-reset-tokens": "4s",
            },
            Limits(500, 499, 0.12, 30_000, 28_000, 4.0),
        ),
        ("compatible", {}, Limits()),
    ],
)
async def test_limits_come_with_answers_and_with_errors(
    provider: str, headers: dict[str, str], limits: Limits, fake: FakeProvider, http: HttpClient
) -> None:
    asked, access = PROVIDERS[provider](http, 20), way_to(fake)
    fake.script(sends(200, chat_answer(), **headers))
    assert (await asked.describe(gradient(), Ask(), access)).limits == limits

    for reply in (sends(429, RATE_LIMITED, **headers), sends(200, chat_answer(""), **headers)):
        fake.script(reply)
        with pytest.raises(ProviderError) as failed:
            await asked.describe(gradient(), Ask(), access)
        assert failed.value.limits == limits


async def test_twelve_megabytes_arrive_as_they_are(fake: FakeProvider, http: HttpClient) -> None:
    upload = Upload(b"\xff\xd8\xff" + os.urandom(12_000_000), 8_000, 6_000)
    fake.script(sends(200, chat_answer()))

    await PROVIDERS["openai"](http, 20).describe(upload, Ask(), way_to(fake))

    url = fake.received[0].json["messages"][1]["content"][1]["image_url"]["url"]
    assert base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) == upload.jpeg


async def test_bytes_beyond_the_promise_harm_one_call_at_most(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(promises_too_little(b'{"choices": []}' * 9), sends(200, chat_answer()))
    provider, access = PROVIDERS["openai"](http, 20), way_to(fake)
    with pytest.raises(AnswerError):
        await provider.describe(gradient(), Ask(), access)

    with pytest.raises(TransientError):
        await provider.describe(gradient(), Ask(), access)
    assert (await provider.describe(gradient(), Ask(), access)).description.text == CAPTION


async def test_nothing_is_billed_where_nobody_answers(http: HttpClient) -> None:
    with pytest.raises(TransientError) as failed:
        await PROVIDERS["openai"](http, 20).describe(gradient(), Ask(), Access("http://127.0.0.1:1", KEY))

    assert (failed.value.tokens, failed.value.may_be_billed) == (None, False)
