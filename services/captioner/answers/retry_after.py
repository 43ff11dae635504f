"""How long a provider asks its callers to wait, in all the ways that providers have of saying so."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from services.captioner.answers.answer_limits import read_limits
from services.captioner.http_client import HttpAnswer

MAX_RETRY_AFTER_S = 3_600.0
_MAX_SEARCHED_BYTES = 65_536
_RETRY_DELAY = re.compile(rb'"retryDelay"\s{0,8}:\s{0,8}"(\d{1,9}(?:\.\d{1,9})?)s"')


def retry_after_s(answer: HttpAnswer) -> float | None:
    """The wait that an answer asks for, at most an hour; None when it names none that lies ahead."""
    headers = answer.headers
    found = (
        _seconds(headers.get("retry-after-ms"), 0.001)
        or _seconds(headers.get("retry-after"), 1.0)
        or _until(headers)
        or _retry_delay(answer.body)
        or _reset(headers)
    )
    return min(found, MAX_RETRY_AFTER_S) if found else None


def _seconds(value: str | None, unit_s: float) -> float | None:
    try:
        seconds = float(value or "") * unit_s
    except ValueError:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def _until(headers: Mapping[str, str]) -> float | None:
    """From the provider's own clock where it shows it, so that ours may be wrong."""
    moment, now = _moment(headers.get("retry-after")), _moment(headers.get("date"))
    return max(0.0, moment - (time.time() if now is None else now)) if moment else None


def _moment(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value and len(value) <= 64 else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _retry_delay(body: bytes) -> float | None:
    """Gemini's ``RetryInfo`` in the body: ``"retryDelay": "34s"``."""
    found = _RETRY_DELAY.search(body, 0, _MAX_SEARCHED_BYTES)
    return float(found[1]) if found else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """OpenAI's resets: of what is used up, else of the tokens, of which too few may be left."""
    limits = read_limits(headers)
    pairs = (
        (limits.requests_left, limits.requests_reset_s),
        (limits.tokens_left, limits.tokens_reset_s),
    )
    return max((reset_s or 0.0 for left, reset_s in pairs if left == 0), default=limits.tokens_reset_s)
