"""The answer of an OpenAI-compatible chat call, read leniently: servers differ in all but the outline."""

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
from services.captioner.provider import AnswerError, TransientError


def read_chat_answer(body: bytes) -> ModelAnswer:
    """Reads the body of a 200; raises AnswerError, RefusedError or TransientError, with what was billed."""
    answer = loaded_mapping(body)
    tokens = counted_tokens(answer.get("usage"), "prompt_tokens", "completion_tokens")
    with billed(tokens):
        choices = items(answer.get("choices"))
        if not choices:
            raise AnswerError("The provider's answer is not that of a chat call.")
        parsed = _parsed(mapping(choices[0]))
    return ModelAnswer(parsed, model_name(answer.get("model")), tokens)


def _parsed(choice: Mapping[str, object]) -> Parsed:
    message, finish_reason = mapping(choice.get("message")), choice.get("finish_reason")
    if message.get("refusal") or finish_reason == "content_filter":
        raise declined()
    if finish_reason == "error":
        raise TransientError("The provider stopped in the middle of its answer.")
    truncated = finish_reason in ("length", "model_length")
    if said := _said(message.get("content")).strip():
        return parse_answer(said, truncated=truncated)
    # Some servers put a reasoning model's JSON beside an empty content; its thoughts are no caption.
    if thoughts := text(message.get("reasoning")) or text(message.get("reasoning_content")):
        return parse_answer(thoughts, truncated=truncated, prose_allowed=False)
    raise empty_answer(truncated)


def _said(content: object) -> str:
    chunks = (chunk if isinstance(chunk, str) else mapping(chunk).get("text") for chunk in items(content))
    return text(content) or "".join(text(chunk) for chunk in chunks)
