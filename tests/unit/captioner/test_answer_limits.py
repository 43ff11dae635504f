"""Rate limits out of headers, whoever wrote them."""

from __future__ import annotations

import pytest

from services.captioner.answers.answer_limits import duration_s, read_limits
from services.captioner.provider import Limits


def test_mistrals_words_and_openais_are_understood() -> None:
    mistral = {
        "x-ratelimit-limit-req-minute": "60",
        "x-ratelimit-remaining-req-minute": "0",
        "x-ratelimit-limit-tokens-minute": "50000",
        "x-ratelimit-remaining-tokens-minute": "41000",
    }
    openai = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "28000",
        "x-ratelimit-reset-tokens": "6m0s",
    }

    assert read_limits(mistral) == Limits(60, 0, None, 50_000, 41_000, None)
    assert read_limits(openai) == Limits(500, 499, 0.12, 30_000, 28_000, 360.0)
    assert read_limits({}) == Limits()


@pytest.mark.parametrize(
    "value", ["-1", "", " ", "1.5", "NaN", "inf", "1e3", "9" * 11, "1_000", "\u0663", "+5", "0x10", "60\n"]
)
def test_nonsense_counts_as_nothing_said(value: str) -> None:
    headers = {f"x-ratelimit-{what}-req-minute": value for what in ("limit", "remaining")}

    assert read_limits(headers) == Limits()


def test_a_limit_of_zero_is_none_to_keep_to() -> None:
    assert read_limits({"x-ratelimit-limit-req-minute": "0"}) == Limits()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120ms", 0.12), ("1s", 1.0), ("6m0s", 360.0), ("1h2m3.5s", 3_723.5), ("2m", 120.0), ("0s", 0.0),
        ("24h", 86_400.0), ("25h", None), ("99999999s", None), ("-1s", None), ("1s2m", None), ("", None),
        ("5", None), ("soon", None), ("nans", None), ("1" * 40 + "s", None), (None, None),
    ],
)  # fmt: skip
def test_durations_are_those_of_go(text: str | None, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))
