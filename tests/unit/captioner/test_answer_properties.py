"""Whatever bytes and headers a server sends, only provider errors come of it, and soon."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.captioner.answers.answer_limits import read_limits
from services.captioner.answers.answer_status import classify
from services.captioner.answers.retry_after import MAX_RETRY_AFTER_S, retry_after_s
from services.captioner.chat.capabilities import Capabilities, Form
from services.captioner.chat.chat_answer import read_chat_answer
from services.captioner.chat.model_answer import ModelAnswer
from services.captioner.chat.responses_answer import read_responses_answer
from services.captioner.http_client import HttpAnswer
from services.captioner.provider import ProviderError

READERS = [read_chat_answer, read_responses_answer]
WORDS = st.sampled_from(
    [
        "type", "output_text", "text", "error", "code", "caption", "tags", "objects", "stop", "length",
        "failed", "refusal", "reasoning", "reason", "max_output_tokens", "prompt_tokens", "completion_tokens",
        "input_tokens", "output_tokens", "retryDelay",
    ]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=30,
)
SAID = JSON | JSON.map(json.dumps)
CHOICE = st.fixed_dictionaries(
    {"message": st.fixed_dictionaries({"content": SAID, "refusal": st.none()}), "finish_reason": JSON}
)
CHAT = st.fixed_dictionaries({"choices": st.lists(CHOICE, max_size=2), "usage": JSON, "model": JSON})
PARTS = st.lists(st.fixed_dictionaries({"type": WORDS, "text": SAID}), max_size=3)
RESPONSES = st.fixed_dictionaries(
    {
        "output": st.lists(st.fixed_dictionaries({"type": st.just("message"), "content": PARTS}), max_size=2),
        "status": JSON,
        "error": JSON,
        "incomplete_details": JSON,
        "usage": JSON,
    }
)
BODIES = st.binary(max_size=200) | (JSON | CHAT | RESPONSES).map(lambda value: json.dumps(value).encode())
VALUES = (
    st.text(st.characters(max_codepoint=255), max_size=40)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["6m0s", "120ms", "Fri, 20 Nov 2026 12:15:00 GMT", "Fri, 31 Feb 0001 25:00:00 +9999"])
)
LIMIT_NAMES = [
    f"x-ratelimit-{what}-{of}"
    for what in ("limit", "remaining", "reset")
    for of in ("req-minute", "tokens-minute", "requests", "tokens", "tokens-month")
]
HEADERS = st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date", *LIMIT_NAMES]), VALUES)
STATUSES = st.integers(100, 599).filter(lambda status: status != 200)


@pytest.mark.parametrize("read", READERS)
@settings(max_examples=150, deadline=None)
@given(body=BODIES)
def test_reading_gives_an_answer_that_can_be_kept_or_an_error_with_its_price(
    read: Callable[[bytes], ModelAnswer], body: bytes
) -> None:
    try:
        answer = read(body)
    except ProviderError as error:
        billed, maybe = error.tokens, error.may_be_billed
    else:
        billed, maybe = answer.tokens, answer.tokens is None
        kept = [answer.parsed.caption, answer.model, *answer.parsed.tags, *answer.parsed.objects]
        json.dumps([*kept, dict(answer.parsed.attributes)], allow_nan=False, ensure_ascii=False).encode()
        assert answer.parsed.caption
    assert maybe is (billed is None)
    assert billed is None or (0 <= billed.input <= 10_000_000 and 0 <= billed.output <= 10_000_000)


@settings(max_examples=150, deadline=None)
@given(status=STATUSES, headers=HEADERS, body=BODIES)
def test_any_refusal_has_a_class_a_sane_wait_and_sane_limits(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = HttpAnswer(status, headers, body)

    error = classify(answer, "model")
    wait_s, limits = retry_after_s(answer), read_limits(headers)

    assert wait_s is None or 0 < wait_s <= MAX_RETRY_AFTER_S
    assert error.limits == limits
    for count in (limits.requests, limits.requests_left, limits.tokens, limits.tokens_left):
        assert count is None or 0 <= count < 10**10
    for reset_s in (limits.requests_reset_s, limits.tokens_reset_s):
        assert reset_s is None or (math.isfinite(reset_s) and 0 <= reset_s <= 86_400)
    assert limits.requests != 0


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=60) | WORDS, min_size=12, max_size=12))
def test_the_forms_of_a_request_run_out(texts: list[str]) -> None:
    learnt = Capabilities(Form(), frozenset({"temperature"}), "max_completion_tokens")
    refused = "unsupported response_format temperature max_tokens max_completion_tokens"
    bodies = [json.dumps({"error": f"{text} {refused}"}).encode() for text in texts]

    steps = [learnt.step_down(learnt.form, HttpAnswer(400, {}, body)) for body in bodies]

    assert steps == [True] * 4 + [False] * 8


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 2_000_000,
        b"{" * 2_000_000,
        b'{"a":' * 300_000,
        b'"retryDelay":' + b" " * 2_000_000,
        b'"retryDelay":"' + b"9" * 2_000_000,
        b'"retryDelay":"1' * 130_000,
        b'{"choices":[{"message":{"content":"' + b"{" * 1_900_000 + b'"}}]}',
        b'{"choices":[{"message":{"content":["' + b'a","' * 450_000 + b'"]}}]}',
        b'{"output":[{"type":"message","content":[' + b'{"type":"output_text"},' * 90_000 + b"{}]}]}",
        b"[" + b'"x",' * 500_000 + b"1]",
        b"\xff" * 2_000_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_bodies_end_soon(body: bytes) -> None:
    for status in (200, 400, 429, 503):
        started = time.process_time()
        if status == 200:
            for read in READERS:
                with suppress(ProviderError):
                    read(body)
        else:
            classify(HttpAnswer(status, {"retry-after": "9" * 60_000}, body), "model")
        assert time.process_time() - started < 2.0
