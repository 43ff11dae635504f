"""Money, counts and times in words."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from sightmill.results import clean
from sightmill.v1 import common_pb2

_MILLION = 1_000_000
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def price(money: common_pb2.Money) -> str:
    """An amount with as many digits as it needs: USD 12.50, USD 0.00024, -USD 1.00."""
    units, micros = divmod(abs(money.micros), _MILLION)
    fraction = f"{micros:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if money.micros < 0 else ''}{clean(money.currency_code) or 'USD'} {units:,}.{fraction}"


def short_count(count: int) -> str:
    """A count in at most seven characters up to a billion: 123,456, 1.37 M, 136.7 M; 1,367 M beyond."""
    if abs(count) < _MILLION:
        return f"{count:,}"
    millions = count / _MILLION
    # The bounds are those at which rounding adds a digit.
    digits = 2 if abs(millions) < 9.995 else 1 if abs(millions) < 999.95 else 0
    return f"{millions:,.{digits}f} M"


def span(duration: Duration) -> str:
    """A duration in its two largest units: 1 d 21 h, 12 min 30 s, 45 s; below ten seconds with hundredths."""
    seconds = duration.seconds + duration.nanos / 1e9
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    left = round(seconds)
    counts = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        counts.append((count, unit))
    first = next(place for place, (count, _) in enumerate(counts) if count)
    return " ".join(f"{count:,} {unit}" for count, unit in counts[first : first + 2] if count)
