"""What a provider's HTTP status means. Bodies are read for codes only: their text may quote keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from services.captioner.answers.answer_limits import read_limits
from services.captioner.answers.retry_after import retry_after_s
from services.captioner.http_client import HttpAnswer
from services.captioner.provider import (
    AnswerError,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ProviderError,
    RefusedError,
    ThrottledError,
    TransientError,
)

_MAX_DEPTH = 8
_MAX_SEARCHED_BYTES = 65_536
# Gemini speaks of "plan and billing details" whenever a minute's rate is exceeded: that is no mark.
_EXHAUSTED = ("insufficient_quota", "credit_balance", "perday", "spending cap", "billing_hard_limit")
_CAPACITY = ("service_tier_capacity_exceeded", '"3505"')
# Ollama's queue is full, llama.cpp loads its model: a matter of patience, not of health.
_BUSY = ("maximum pending requests", "server busy", "loading model")
_CONTENT = ("content_policy_violation", "content_filter", "responsibleaipolicyviolation")
_WRONG_MODEL = (
    "model_not_found",
    "invalid_model",
    "does not exist",
    "no such model",
    '"3051"',
    "not support image",
    "only supported by certain models",
)
_FORM = ("extra_forbidden", "unrecognized request argument", "unknown_parameter")
_PICTURE = ("image", "picture", "base64", "data uri")
_CONFIG_MESSAGES = {
    401: "The key is not accepted.",
    403: "The key does not allow this.",
    404: "The model or the address is not known there.",
}


def classify(answer: HttpAnswer, model: str) -> ProviderError:
    """The error that an answer other than 200 stands for, with the limits that its headers name."""
    error = _error(answer, model, searchable_text(answer.body))
    error.limits = read_limits(answer.headers)
    return error


def searchable_text(body: bytes) -> str:
    """Texts and numbers of a JSON body in lower case, or the body itself where it is something else."""
    try:
        loaded: object = json.loads(body[:_MAX_SEARCHED_BYTES])
    except (ValueError, RecursionError):
        return body[:4_096].decode(errors="replace").lower()
    return json.dumps(list(_texts(loaded, _MAX_DEPTH))).lower()


def _error(answer: HttpAnswer, model: str, text: str) -> ProviderError:
    status = answer.status
    if status in (402, 429):
        return _limited(answer, text)
    if status == 503 and _has(text, _BUSY):
        return ThrottledError("The server is busy (HTTP 503).", retry_after_s=retry_after_s(answer))
    if status in (408, 409, 425) or status >= 500:
        return TransientError(
            f"The provider is not well (HTTP {status}).", retry_after_s=retry_after_s(answer)
        )
    if status < 300:
        return AnswerError(f"An answer of another kind than expected (HTTP {status}).", may_be_billed=True)
    return _refused(status, text, model)


def _refused(status: int, text: str, model: str) -> ProviderError:
    is_about_request = status in (400, 403, 422)
    if is_about_request and _has(text, _CONTENT):
        return RefusedError(f"The provider's rules do not allow this image (HTTP {status}).")
    if status not in (401, 403) and _has(text, _WRONG_MODEL):
        return ConfigError(f"The model {model} is not known there, or does not see (HTTP {status}).")
    is_picture = status in (400, 422) and _has(text, _PICTURE) and not _has(text, _FORM)
    if status in (413, 415) or is_picture:
        return BadPictureError(f"The provider does not take this picture (HTTP {status}).")
    return ConfigError(
        _CONFIG_MESSAGES.get(status, "The provider does not accept the request.") + f" (HTTP {status})"
    )


def _limited(answer: HttpAnswer, text: str) -> ProviderError:
    headers = answer.headers
    if headers.get("x-ratelimit-limit-req-minute") == "0":
        return ExhaustedError("The plan of this key does not hold this model; no wait helps (HTTP 429).")
    is_month_over = headers.get("x-ratelimit-remaining-tokens-month") == "0"
    if answer.status == 402 or is_month_over or _has(text, _EXHAUSTED):
        return ExhaustedError(f"The quota or the credit is used up (HTTP {answer.status}).")
    wait_s = retry_after_s(answer)
    if _has(text, _CAPACITY):
        return TransientError("The provider lacks capacity for this model (HTTP 429).", retry_after_s=wait_s)
    return ThrottledError("The rate limit is reached (HTTP 429).", retry_after_s=wait_s)


def _has(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, (str, int)):
        yield str(value)[:1_000]
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, depth - 1)
    elif depth and isinstance(value, list):
        for item in value:
            yield from _texts(item, depth - 1)
