"""The answer of OpenAI's responses interface."""

from __future__ import annotations

from collections.abc import Mapping

from services.captioner.answers.answer_parser import Parsed, declined, empty_answer, parse_answer
from services.captioner.chat.model_answer import (
    ModelAnswer,
    billed,
    counted_tokens,
    items,
    loaded_mapping,
    mapping,
    model_name,
    text,
)
from services.captioner.provider import (
    AnswerError,
    BadPictureError,
    ProviderError,
    RefusedError,
    ThrottledError,
    TransientError,
)


def read_responses_answer(body: bytes) -> ModelAnswer:
    """Reads the body of a 200; raises a ProviderError with what was billed."""
    answer = loaded_mapping(body)
    tokens = counted_tokens(answer.get("usage"), "input_tokens", "output_tokens")
    with billed(tokens):
        parsed = _parsed(answer)
    return ModelAnswer(parsed, model_name(answer.get("model")), tokens)


def _parsed(answer: Mapping[str, object]) -> Parsed:
    if answer.get("status") == "failed":
        raise _failure(text(mapping(answer.get("error")).get("code")))
    parts = _parts(answer)
    reason = mapping(answer.get("incomplete_details")).get("reason")
    if reason == "content_filter" or any(part.get("type") == "refusal" for part in parts):
        raise declined()
    truncated = reason == "max_output_tokens"
    said = "".join(text(part.get("text")) for part in parts if part.get("type") == "output_text")
    if said.strip():
        return parse_answer(said, truncated=truncated)
    raise empty_answer(truncated)


def _parts(answer: Mapping[str, object]) -> list[Mapping[str, object]]:
    messages = [mapping(item) for item in items(answer.get("output"))]
    return [
        mapping(part)
        for message in messages
        if message.get("type") == "message"
        for part in items(message.get("content"))
    ]


def _failure(code: str) -> ProviderError:
    """A 200 may say that nothing came of it, by the same codes that the schema of the interface lists."""
    if code == "rate_limit_exceeded":
        return ThrottledError("The rate limit is reached.")
    if "policy" in code or code == "invalid_prompt":
        return RefusedError("The provider's rules do not allow this image.")
    if "image" in code:
        return BadPictureError("The provider does not take this picture.")
    if code in ("", "server_error"):
        return TransientError("The provider stopped in the middle of its answer.")
    return AnswerError("The provider gave the request up.")
