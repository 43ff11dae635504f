"""What a provider's HTTP status means. Bodies are read for codes only: their text may quote keys."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

from services.captioner.http_client import HttpAnswer
from services.captioner.provider import (
    AnswerError,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ProviderError,
    ThrottledError,
    TransientError,
)

MAX_RETRY_AFTER_S = 3_600.0
_MAX_DEPTH = 8
_EXHAUSTED = (
    "insufficient_quota",
    "credit_balance",
    "perday",
    "spending cap",
    "billing",
    "quota_exceeded_month",
)
_WRONG_MODEL = (
    "model_not_found",
    "invalid_model",
    "does not exist",
    "no such model",
    '"3051"',
    "not support image",
)
_PICTURE = ("image", "picture", "base64", "data uri")
_CONFIG_MESSAGES = {
    401: "The key is not accepted.",
    403: "The key does not allow this.",
    404: "The model or the address is not known there.",
}
_RESET = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}


def classify(answer: HttpAnswer, model: str) -> ProviderError:
    """The error that an answer other than 200 stands for."""
    status, text = answer.status, searchable_text(answer.body)
    if status in (402, 429):
        return _limited(answer, text)
    if status in (408, 409, 425) or status >= 500:
        return TransientError(
            f"The provider is not well (HTTP {status}).", retry_after_s=retry_after_s(answer)
        )
    if status < 300:
        return AnswerError(f"An answer of another kind than expected (HTTP {status}).")
    if status not in (401, 403) and _has(text, _WRONG_MODEL):
        return ConfigError(f"The model {model} is not known there, or does not see (HTTP {status}).")
    if status in (413, 415) or (status in (400, 422) and _has(text, _PICTURE)):
        return BadPictureError(f"The provider does not take this picture (HTTP {status}).")
    return ConfigError(
        _CONFIG_MESSAGES.get(status, "The provider does not accept the request.") + f" (HTTP {status})"
    )


def _limited(answer: HttpAnswer, text: str) -> ProviderError:
    # A limit of zero means that the model is not part of the plan; no wait helps.
    not_in_plan = answer.headers.get("x-ratelimit-limit-req-minute") == "0"
    if answer.status == 402 or not_in_plan or _has(text, _EXHAUSTED):
        return ExhaustedError(f"The quota or the credit is used up (HTTP {answer.status}).")
    return ThrottledError("The rate limit is reached (HTTP 429).", retry_after_s=retry_after_s(answer))


def _has(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


def retry_after_s(answer: HttpAnswer) -> float | None:
    """The wait that an answer asks for in any of the known ways, at most an hour; None when it names none."""
    headers = answer.headers
    found = (
        _seconds(headers.get("retry-after-ms"), 0.001)
        or _seconds(headers.get("retry-after"), 1.0)
        or _until(headers.get("retry-after"))
        or _retry_delay(answer.body)
        or _reset(headers)
    )
    return min(found, MAX_RETRY_AFTER_S) if found else None


def searchable_text(body: bytes) -> str:
    """The strings of a JSON body in lower case, or the body itself where it is something else."""
    try:
        loaded: object = json.loads(body)
    except (ValueError, RecursionError):
        return body[:4_096].decode(errors="replace").lower()
    return json.dumps(list(_strings(loaded, _MAX_DEPTH))).lower()


def _strings(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:1_000]
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item, depth - 1)
    elif depth and isinstance(value, list):
        for item in value:
            yield from _strings(item, depth - 1)


def _seconds(value: str | None, unit_s: float) -> float | None:
    try:
        seconds = float(value or "") * unit_s
    except ValueError:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def _until(value: str | None) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(value or "").timestamp() - time.time())
    except ValueError:
        return None


def _retry_delay(body: bytes) -> float | None:
    """Gemini's ``RetryInfo`` in the body: ``"retryDelay": "34s"``."""
    found = re.search(rb'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"', body)
    return float(found[1]) if found else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """OpenAI's durations such as ``6m0s``: of the limits that are used up."""
    waits = [
        sum(
            float(number) * _UNIT_S[unit]
            for number, unit in _RESET.findall(headers.get(f"x-ratelimit-reset-{what}", ""))
        )
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max(waits, default=0.0) or None
