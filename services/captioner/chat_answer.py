"""The answer of an OpenAI-compatible chat call, read leniently: servers differ in all but the outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from services.captioner.answer_parser import Parsed, parse_answer
from services.captioner.provider import AnswerError, RefusedError, TransientError


class _Message(BaseModel):
    content: str | list[dict[str, Any] | str] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(BaseModel):
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What was said, by which model (empty when it does not say), and how many tokens it took."""

    parsed: Parsed
    model: str
    input_tokens: int
    output_tokens: int


def read_chat_answer(body: bytes) -> ChatAnswer:
    """Reads the body of a 200; raises AnswerError, RefusedError or TransientError."""
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise AnswerError("The provider's answer is not the JSON of a chat call.") from None
    usage = answer.usage or _Usage()
    return ChatAnswer(
        parsed=_parsed(answer.choices[0]),
        model=(answer.model or "")[:128],
        input_tokens=max(0, usage.prompt_tokens or 0),
        output_tokens=max(0, usage.completion_tokens or 0),
    )


def _parsed(choice: _Choice) -> Parsed:
    message = choice.message
    if message.refusal or choice.finish_reason == "content_filter":
        raise RefusedError("The model declined to describe this image.")
    if choice.finish_reason == "error":
        raise TransientError("The provider stopped in the middle of its answer.")
    truncated = choice.finish_reason in ("length", "model_length")
    if text := _text(message.content).strip():
        return parse_answer(text, truncated=truncated)
    # Some servers put a reasoning model's JSON beside an empty content; its thoughts are no caption.
    if thoughts := message.reasoning or message.reasoning_content:
        return parse_answer(thoughts, truncated=truncated, prose_allowed=False)
    raise AnswerError(
        "The model's answer is empty" + (": the token limit is too small." if truncated else ".")
    )


def _text(content: str | list[dict[str, Any] | str] | None) -> str:
    if not isinstance(content, list):
        return content or ""
    chunks = (chunk if isinstance(chunk, str) else chunk.get("text") for chunk in content)
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))
