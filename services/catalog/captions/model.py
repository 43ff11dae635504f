"""What captions cost, as plain data that every store takes and gives.

Money is in millionths of a US dollar, times are microseconds since 1970, days and months are those of UTC, as
``YYYY-MM-DD`` and ``YYYY-MM``. The id of a provider is lower-case, a batch is ``batches/{batch}`` or empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

DAY_US = 86_400_000_000
MAX_TIME_US = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CaptionToKeep:
    """A serialized ``Caption``. ``key`` and ``sha256`` (of the image) have 32 bytes."""

    key: bytes
    sha256: bytes
    caption: bytes


@dataclass(frozen=True, slots=True)
class Reservation:
    """The expected cost of a call; ``id`` has 16 bytes. ``tokens``: of prompt and answer together."""

    id: bytes
    provider: str
    batch: str
    micros: int
    tokens: int
    ttl_us: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that may be spent and set aside; None for no bound. ``provider`` empty: all together."""

    provider: str
    monthly: bool
    micros: int | None
    tokens: int | None


class Outcome(IntEnum):
    """What came of a call, as the contract counts it."""

    DESCRIBED = 1
    CACHED = 2
    RELEASED = 3
    WASTED = 4
    UNSETTLED = 5


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call really cost; numbers of CACHED and RELEASED are not looked at."""

    id: bytes
    provider: str
    batch: str
    micros: int
    input_tokens: int
    output_tokens: int
    outcome: Outcome


class CallState(IntEnum):
    """HELD until it is settled or expires; what EXPIRED counts with its estimate until it is settled."""

    HELD = 1
    EXPIRED = 2
    SETTLED = 3


@dataclass(frozen=True, slots=True)
class Call:
    """A call that something was set aside for, or that was settled.

    ``day``: where it counts. ``micros``, ``tokens``: what was set aside. ``due_us``: when a held one expires,
    and when another is forgotten.
    """

    id: bytes
    state: CallState
    due_us: int
    day: str
    provider: str
    batch: str
    micros: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Spend:
    """The sum of a period, or a change of one."""

    micros: int = 0
    tokens: int = 0
    reserved_micros: int = 0
    reserved_tokens: int = 0

    def plus(self, other: Spend) -> Spend:
        """The sum of both."""
        return Spend(
            self.micros + other.micros,
            self.tokens + other.tokens,
            self.reserved_micros + other.reserved_micros,
            self.reserved_tokens + other.reserved_tokens,
        )


@dataclass(frozen=True, slots=True)
class TotalKey:
    """Which sum: ``period`` is a day or a month, ``provider`` empty for all together."""

    period: str
    provider: str

    @property
    def monthly(self) -> bool:
        """Whether it is of a month."""
        return self.period == month_of(self.period)


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls took, or a change of that."""

    images: int = 0
    cached: int = 0
    unsettled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    micros: int = 0

    def plus(self, other: Usage, times: int = 1) -> Usage:
        """The sum of this and the other, the latter so many times."""
        return Usage(
            self.images + times * other.images,
            self.cached + times * other.cached,
            self.unsettled + times * other.unsettled,
            self.input_tokens + times * other.input_tokens,
            self.output_tokens + times * other.output_tokens,
            self.micros + times * other.micros,
        )


@dataclass(frozen=True, slots=True)
class UsageKey:
    """Which row: one of a batch (that may be empty), or that of all batches together, with an empty one."""

    day: str
    provider: str
    batch: str = ""
    by_batch: bool = False

    @property
    def place(self) -> str:
        """Sorts rows as they are listed: by kind, then by day descending, provider and batch."""
        return f"{_days_place(self.by_batch, self.day)} {self.provider} {self.batch}"


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used on a day of one provider, and of one batch or all together."""

    key: UsageKey
    usage: Usage


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Rows of the days from ``first_day`` to ``last_day``, by batch or not; only of one ``batch`` if set."""

    first_day: str
    last_day: str
    by_batch: bool = False
    batch: str = ""

    @property
    def start(self) -> str:
        """All places that are asked for lie above this one, ..."""
        return _days_place(self._rows_by_batch, self.last_day) + " "

    @property
    def end(self) -> str:
        """... and below this one."""
        return _days_place(self._rows_by_batch, self.first_day) + "!"

    @property
    def _rows_by_batch(self) -> bool:
        return self.by_batch or bool(self.batch)


@dataclass(frozen=True, slots=True)
class UsagePage:
    """``next``: the place of the last row where there are more, else None."""

    rows: tuple[UsageRow, ...]
    next: str | None


def cut_usage(rows: list[UsageRow], size: int) -> UsagePage:
    """The page of rows that were read, one more than ``size`` if there are."""
    return UsagePage(tuple(rows[:size]), rows[size - 1].key.place if len(rows) > size else None)


def day_of(time_us: int) -> str:
    """The day of a time."""
    return (_EPOCH + timedelta(microseconds=time_us)).date().isoformat()


def month_of(day: str) -> str:
    """The month of a day."""
    return day[:7]


def _days_place(by_batch: bool, day: str) -> str:
    return f"{by_batch:d} {99_999_999 - int(day.replace('-', '')):08d}"
