"""Answers of image endpoints: whatever comes, words and bounded JSON, or a provider's error."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.captioner.answers.answer_attributes import MAX_ATTRIBUTES_BYTES
from services.captioner.endpoint.endpoint_answer import read_endpoint_answer
from services.captioner.provider import ParseMode, ProviderError

KEYS = ("response", "detail", "caption", "tags", "image_description", "text_content", "store_name", "x")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
texts = st.text('abc:{}[]"`\n*, ', max_size=60) | st.sampled_from(
    ["Final response: caption: a dog", "```json"]
)
values = st.recursive(
    leaves | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
wrapped = values.map(lambda value: {"response": json.dumps(value)})


@given(
    st.binary(max_size=60) | texts.map(str.encode) | (values | wrapped).map(lambda v: json.dumps(v).encode())
)
def test_any_body_is_a_description_or_a_providers_error(body: bytes) -> None:
    try:
        answer = read_endpoint_answer(body)
    except ProviderError:
        return
    assert answer.text.strip()
    assert answer.text.isprintable()
    assert len(json.dumps(dict(answer.attributes), allow_nan=False)) <= 6 * MAX_ATTRIBUTES_BYTES
    assert not {"caption", "tags", "objects"} & answer.attributes.keys()


fields = st.fixed_dictionaries(
    {
        "store_image": st.booleans() | st.sampled_from(["true", "No Result"]),
        "store_name": st.text(max_size=20),
        "image_description": st.just("A corner shop."),
    }
)


@given(fields, st.sampled_from(["%s", "```json\n%s\n```", "Final response: %s", "So {then}: %s. Done {"]))
def test_fields_survive_every_wrapping(fields: dict[str, object], wrapping: str) -> None:
    response = wrapping % json.dumps(fields)

    answer = read_endpoint_answer(json.dumps({"response": response}).encode())

    assert answer.text == "A corner shop."
    assert answer.attributes == fields
    assert answer.mode is (ParseMode.JSON if wrapping == "%s" else ParseMode.REPAIRED)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 32_000,
        '{"a":' * 6_000,
        "```" * 10_000,
        "a: " * 10_000,
        "a " * 16_000,
        " >*-" * 8_000,
        "a\n" * 16_000,
    ],
)
def test_hostile_text_takes_little_time(text: str) -> None:
    began_s = time.thread_time()

    with suppress(ProviderError):
        read_endpoint_answer(json.dumps({"response": text + "<"}).encode())

    assert time.thread_time() - began_s < 0.5
