"""What the providers' HTTP answers mean, by the bodies that were seen in the wild."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from services.captioner.answers.answer_status import classify
from services.captioner.answers.retry_after import retry_after_s
from services.captioner.http_client import HttpAnswer
from services.captioner.provider import (
    AnswerError,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    Limits,
    ProviderError,
    RefusedError,
    ThrottledError,
    TransientError,
)

QUOTED_KEY = "sk-abcdef"
RATE_LIMITED = {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}
GEMINI = [
    {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "details": [
                {"violations": [{"quotaId": "GenerateRequestsPerMinute"}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
            ],
        }
    }
]


def answer(status: int, body: object = "", **headers: str) -> HttpAnswer:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(429, RATE_LIMITED), ThrottledError),
        (answer(429, GEMINI), ThrottledError),
        (answer(429, RATE_LIMITED, x_ratelimit_limit_req_minute="0"), ExhaustedError),
        (answer(429, {"error": {"type": "insufficient_quota"}}), ExhaustedError),
        (answer(429, {"error": {"quotaId": "GenerateRequestsPerDay"}}), ExhaustedError),
        (answer(429, {"error": {"code": "credit_balance_exhausted"}}), ExhaustedError),
        (answer(429, {"error": {"message": "Your monthly spending cap is reached"}}), ExhaustedError),
        (answer(429, RATE_LIMITED, x_ratelimit_remaining_tokens_month="0"), ExhaustedError),
        (answer(429, {"type": "service_tier_capacity_exceeded", "code": "3505"}), TransientError),
        (answer(429, {"code": 3505}), TransientError),
        (answer(402), ExhaustedError),
        (answer(401, {"detail": "Unauthorized"}), ConfigError),
        (
            answer(401, {"message": f"Incorrect API key provided: {QUOTED_KEY}", "param": "image"}),
            ConfigError,
        ),
        (answer(403, {"code": "1913"}), ConfigError),
        (answer(404, {"error": {"code": "model_not_found"}}), ConfigError),
        (answer(400, {"type": "invalid_model", "code": "1500"}), ConfigError),
        (answer(400, {"message": "no vision", "code": "3051"}), ConfigError),
        (answer(400, {"error": {"message": "Invalid image data"}}), BadPictureError),
        (answer(413, "<html>"), BadPictureError),
        (answer(415), BadPictureError),
        (answer(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}), ConfigError),
        (
            answer(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "image_url", "x"]}]}),
            ConfigError,
        ),
        (answer(400, {"error": {"message": "image_url is only supported by certain models."}}), ConfigError),
        (answer(400, {"error": {"code": "content_policy_violation"}}), RefusedError),
        (answer(400, {"error": {"code": "content_filter", "param": "image"}}), RefusedError),
        (answer(301), ConfigError),
        (answer(408), TransientError),
        (answer(409), TransientError),
        (answer(500), TransientError),
        (answer(504), TransientError),
        (answer(502, "<html>bad gateway</html>"), TransientError),
        (answer(503, "server busy, please try again.  maximum pending requests exceeded"), ThrottledError),
        (answer(529), TransientError),
        (answer(204), AnswerError),
    ],
)
def test_each_status_has_its_class(given: HttpAnswer, kind: type[ProviderError]) -> None:
    error = classify(given, "model-1")

    assert type(error) is kind
    assert QUOTED_KEY not in error.message
    assert error.tokens is None
    assert error.may_be_billed is (given.status < 300)


def test_errors_carry_the_limits() -> None:
    given = answer(429, RATE_LIMITED, x_ratelimit_limit_req_minute="60", x_ratelimit_remaining_req_minute="0")

    assert classify(given, "model-1").limits == Limits(requests=60, requests_left=0)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (answer(429, retry_after="7"), 7.0),
        (answer(429, retry_after="1.5"), 1.5),
        (answer(429, retry_after_ms="250"), 0.25),
        (answer(429, GEMINI), 34.0),
        (
            answer(
                429,
                x_ratelimit_remaining_requests="0",
                x_ratelimit_reset_requests="6m0s",
                x_ratelimit_remaining_tokens="100",
                x_ratelimit_reset_tokens="120ms",
            ),
            360.0,
        ),
        (answer(429, x_ratelimit_remaining_tokens="9", x_ratelimit_reset_tokens="4s"), 4.0),
        (answer(429, x_ratelimit_remaining_requests="9", x_ratelimit_reset_requests="4s"), None),
        (
            answer(429, retry_after="Fri, 20 Nov 2026 12:15:00 GMT", date="Fri, 20 Nov 2026 12:00:00 GMT"),
            900.0,
        ),
        (answer(429, retry_after="999999999"), 3_600.0),
        (answer(429, retry_after="-5"), None),
        (answer(429, retry_after="Mon, 01 Jan 2024 00:00:00 +99999999999999"), None),
        (answer(429), None),
        (answer(429, retry_after="0"), None),
        (answer(429, retry_after="nan"), None),
        (answer(429, retry_after="soon"), None),
        (answer(429, retry_after=formatdate(0, usegmt=True)), None),
    ],
)
def test_the_wait_that_is_asked_for(given: HttpAnswer, seconds: float | None) -> None:
    found = retry_after_s(given)

    assert found == (pytest.approx(seconds) if seconds else None)


def test_a_wait_may_be_a_date() -> None:
    date = formatdate(time.time() + 900, usegmt=True)

    assert retry_after_s(answer(429, retry_after=date)) == pytest.approx(900, abs=30)
