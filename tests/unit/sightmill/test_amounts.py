"""Money, counts and times in words."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from sightmill.cli.amounts import price, short_count, span
from sightmill.v1 import common_pb2


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (0, "USD 0.00"),
        (1, "USD 0.000001"),
        (240, "USD 0.00024"),
        (12_500_000, "USD 12.50"),
        (999_999, "USD 0.999999"),
        (1_234_567_890_123, "USD 1,234,567.890123"),
        (-240, "-USD 0.00024"),
        (-1_000_000, "-USD 1.00"),
        (2**63 - 1, "USD 9,223,372,036,854.775807"),
    ],
)
def test_money_has_as_many_digits_as_it_needs(micros: int, words: str) -> None:
    assert price(common_pb2.Money(currency_code="USD", micros=micros)) == words


def test_money_is_in_dollars_unless_it_says_otherwise() -> None:
    assert price(common_pb2.Money(micros=5)) == "USD 0.000005"
    assert price(common_pb2.Money(currency_code="EUR\x1b[0m", micros=0)) == "EUR [0m 0.00"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (9_994_999, "9.99 M"),
        (9_996_000, "10.0 M"),
        (136_700_000, "136.7 M"),
        (999_940_000, "999.9 M"),
        (999_960_000, "1,000 M"),
        (12_345_600_000, "12,346 M"),
        (-7, "-7"),
    ],
)
def test_counts_stay_short(count: int, words: str) -> None:
    assert short_count(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.00 s"),
        (0.004184, "0.00 s"),
        (9.99, "9.99 s"),
        (9.996, "10 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (3_600, "1 h"),
        (3_601, "1 h"),
        (86_399, "23 h 59 min"),
        (100_000, "1 d 3 h"),
        (86_460, "1 d"),
        (6e9, "69,444 d 10 h"),
    ],
)
def test_times_have_their_two_largest_units(seconds: float, words: str) -> None:
    whole = int(seconds)
    assert span(Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))) == words
