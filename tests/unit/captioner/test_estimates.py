"""What will it cost, and about which days does the report speak?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from services.captioner.money.budget import BudgetStanding
from services.captioner.money.estimate import Estimate, estimate
from services.captioner.money.prices import PriceTable
from services.captioner.money.spending import Limit
from services.captioner.money.usage import spend_query
from services.captioner.picture import Upload
from services.captioner.provider import Access, Answer, Ask, Tokens
from services.runtime.errors import InvalidArgumentError
from sightmill.v1 import captioner_pb2, common_pb2

TODAY = date(2026, 11, 21)


@dataclass
class Tiled:
    """A token for every 32 pixels either way."""

    id: str = "mistral"
    model: str = "mistral-small-latest"

    def edge_px(self, ask: Ask) -> int:
        return 1_024 if ask.detail == "high" else 768

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:
        assert upload.jpeg == b""
        return Tokens(upload.width * upload.height // 1_024, ask.max_output_tokens)

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:
        raise NotImplementedError


def estimated(
    ask: Ask = Ask(),  # noqa: B008  frozen
    provider: Tiled | None = None,
    rate: tuple[int | None, int | None] = (None, None),
    *standings: BudgetStanding,
) -> Estimate:
    return estimate(provider or Tiled(), ask, 1_000, rate, PriceTable({}), standings)


def test_tokens_and_price() -> None:
    assert estimated() == Estimate(Tokens(768_000, 400_000), 355_200, None, over_budget=False)
    assert estimated(Ask(detail="low", max_output_tokens=100)) == Estimate(
        Tokens(432_000, 100_000), 124_800, None, over_budget=False
    )


def test_no_price() -> None:
    assert estimated(provider=Tiled(model="another")).cost_micros is None


@pytest.mark.parametrize(
    ("rate", "duration_s"),
    [((60, None), 1_000), ((None, 116_800), 600), ((60, 50_000), 1_401.6), ((600, 10_000_000), 100)],
)
def test_the_tighter_limit_decides_the_time(rate: tuple[int | None, int | None], duration_s: float) -> None:
    assert estimated(rate=rate).duration_s == pytest.approx(duration_s)


@pytest.mark.parametrize(
    ("limit", "used", "is_over"),
    [
        (Limit("", False, micros=355_200), 0, False),
        (Limit("", False, micros=355_200), 1, True),
        (Limit("", False, micros=355_199), None, True),
        (Limit("mistral", True, tokens=1_168_000), 0, False),
        (Limit("mistral", True, tokens=1_168_000), 1, True),
    ],
)
def test_over_budget(limit: Limit, used: int | None, is_over: bool) -> None:
    standing = BudgetStanding(limit, used)
    roomy = BudgetStanding(Limit("", True, micros=10**12), 0)
    assert estimated(Ask(), None, (None, None), roomy, standing).over_budget is is_over


def span(start: datetime | None = None, end: datetime | None = None) -> common_pb2.TimeRange:
    message = common_pb2.TimeRange()
    if start:
        message.start_time.FromDatetime(start)
    if end:
        message.end_time.FromDatetime(end)
    return message


def days(time_range: common_pb2.TimeRange) -> tuple[str, str]:
    query = spend_query(captioner_pb2.GetCaptionUsageRequest(time_range=time_range), TODAY)
    return query.start_day, query.end_day


@pytest.mark.parametrize(
    ("time_range", "expected"),
    [
        (span(), ("2026-10-23", "2026-11-21")),
        (span(start=datetime(2026, 11, 1, 23, 59, tzinfo=UTC)), ("2026-11-01", "2026-11-21")),
        # The end is exclusive: midnight touches the day before.
        (span(end=datetime(2026, 11, 1, tzinfo=UTC)), ("2026-10-02", "2026-10-31")),
        (
            span(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 1, tzinfo=UTC)),
            ("2026-01-01", "2026-01-02"),
        ),
    ],
)
def test_days_of_a_report(time_range: common_pb2.TimeRange, expected: tuple[str, str]) -> None:
    assert days(time_range) == expected


@pytest.mark.parametrize(
    "time_range",
    [
        span(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        span(start=datetime(2026, 11, 22, tzinfo=UTC)),
        span(start=datetime(1980, 1, 1, tzinfo=UTC)),
        span(end=datetime(1, 1, 5, tzinfo=UTC)),
    ],
)
def test_time_ranges_that_are_none(time_range: common_pb2.TimeRange) -> None:
    with pytest.raises(InvalidArgumentError, match="time_range"):
        days(time_range)


def test_the_rest_of_the_question_is_passed_on() -> None:
    request = captioner_pb2.GetCaptionUsageRequest(
        by_batch=True,
        batch="batches/b",
        page_size=7,
        page_token="more",  # noqa: S106  no secret
    )
    query = spend_query(request, TODAY)
    assert (query.by_batch, query.batch, query.page_size, query.page_token) == (True, "batches/b", 7, "more")
