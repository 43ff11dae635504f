"""What calls cost and may cost, as the catalog counts it. Money in millionths of a US dollar."""

from __future__ import annotations

import enum
import itertools
import os
from dataclasses import dataclass

from services.captioner.provider import Tokens

# Unlike any other process; asking for randomness for each call took half a millisecond.
_PROCESS = os.urandom(10)
_numbers = itertools.count()


def new_id() -> bytes:
    """Sixteen bytes that no other call has: unique, not secret."""
    return _PROCESS + next(_numbers).to_bytes(6, "big")


class Outcome(enum.Enum):
    """What came of a call."""

    DESCRIBED = "described"
    CACHED = "cached"
    RELEASED = "released"
    WASTED = "wasted"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound for a day or a month (UTC), on money or on tokens.

    ``provider`` is empty for all together; exactly one of ``micros`` and ``tokens`` is set.
    """

    provider: str
    monthly: bool
    micros: int | None = None
    tokens: int | None = None

    def holds_for(self, provider: str) -> bool:
        """Whether calls of a provider count."""
        return self.provider in ("", provider)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The expected cost of one call. ``id`` has 16 bytes; after ``ttl_s`` it counts as spent."""

    id: bytes
    provider: str
    batch: str
    micros: int
    tokens: int
    ttl_s: int

    def share_of(self, limit: Limit) -> int:
        """What it takes of a limit, in the limit's unit."""
        return self.tokens if limit.micros is None else self.micros


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a call really cost. ``id`` is that of its reservation, or a new one."""

    id: bytes
    provider: str
    batch: str
    micros: int
    tokens: Tokens
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of a period; what is set aside for calls in flight apart."""

    micros: int = 0
    tokens: int = 0
    reserved_micros: int = 0
    reserved_tokens: int = 0


NOTHING_SPENT = Total()
