"""What a provider's headers say of its rate limits, in Mistral's words and in OpenAI's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.captioner.provider import Limits

MAX_RESET_S = 86_400.0
# Larger ones stand for "no limit".
_MAX_COUNT = 2**31 - 2
_MAX_DIGITS = 10
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)
_UNITS_S = (3_600.0, 60.0, 1.0, 0.001)


def read_limits(headers: Mapping[str, str]) -> Limits:
    """The limits that an answer names (names of headers in lower case); nonsense counts as nothing said.

    A limit of zero is none that a lane could keep to: it means that the model is not part of the plan.
    """

    def count(*names: str) -> int | None:
        return next((found for name in names if (found := _count(headers.get(name))) is not None), None)

    return Limits(
        requests=count("x-ratelimit-limit-req-minute", "x-ratelimit-limit-requests") or None,
        requests_left=count("x-ratelimit-remaining-req-minute", "x-ratelimit-remaining-requests"),
        requests_reset_s=duration_s(headers.get("x-ratelimit-reset-requests")),
        tokens=count("x-ratelimit-limit-tokens-minute", "x-ratelimit-limit-tokens") or None,
        tokens_left=count("x-ratelimit-remaining-tokens-minute", "x-ratelimit-remaining-tokens"),
        tokens_reset_s=duration_s(headers.get("x-ratelimit-reset-tokens")),
    )


def duration_s(text: str | None) -> float | None:
    """Seconds in ``120ms``, ``1s`` or ``6m0s``; None for anything else and for more than a day."""
    found = _DURATION.fullmatch(text) if text and len(text) <= 32 else None
    if not found:
        return None
    seconds = sum(float(part or 0) * unit_s for part, unit_s in zip(found.groups(), _UNITS_S, strict=True))
    return seconds if seconds <= MAX_RESET_S else None


def _count(text: str | None) -> int | None:
    is_count = text is not None and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    found = int(text) if text and is_count else None
    return None if found is None or found > _MAX_COUNT else found
