"""What one key used of its minute, in requests and tokens: our calls and, as far as answers tell, others'."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from services.captioner.lanes.guessed_limit import GuessedLimit
from services.captioner.provider import Limits

WINDOW_S = 60.0
# Only reached where no limit is known; the oldest are forgotten early then.
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests and tokens a minute; None where it is not known."""

    requests: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The part of a minute that a call takes. The bases are what was in use less all that was ever taken."""

    tokens: int
    requests_base: int
    tokens_base: int


class RateWindow:
    """A sliding minute. ``now`` is always the event loop's time in seconds.

    A call counts from its start until a minute after its answer arrived: the provider counted it earlier,
    so that no minute of its clock, sliding or fixed, holds more calls than ours.
    """

    def __init__(self, rate: RateLimit) -> None:
        self._rate = rate
        self._learnt = RateLimit()
        self._guess = GuessedLimit(WINDOW_S)
        # Time of the answer, requests, tokens; oldest first.
        self._entries: deque[tuple[float, int, int]] = deque()
        self._requests = self._tokens = 0
        self._calls_in_flight = self._tokens_in_flight = 0
        self._requests_taken = self._tokens_taken = 0

    @property
    def limit(self) -> RateLimit:
        """The lower of what the settings and answers say; without both, what refusals let guess."""
        rate, learnt = self._rate, self._learnt
        requests = _lower(rate.requests, learnt.requests) or self._guess.value
        return RateLimit(requests, _lower(rate.tokens, learnt.tokens))

    def used(self, now: float) -> tuple[int, int]:
        """Requests and tokens of the last minute, those of calls in flight estimated."""
        self._forget(now)
        return self._requests + self._calls_in_flight, self._tokens + self._tokens_in_flight

    def opens_at(self, tokens: int, now: float) -> float | None:
        """``now`` when a call of ``tokens`` fits, else when time alone makes room.

        None when a call in flight must end first. A call larger than the limit fits into an empty window.
        """
        limit = self.limit
        used_requests, used_tokens = self.used(now)
        requests_over = used_requests + 1 - limit.requests if limit.requests else 0
        tokens_over = used_tokens + min(tokens, limit.tokens) - limit.tokens if limit.tokens else 0
        if requests_over <= 0 and tokens_over <= 0:
            return now
        for ended_at, requests, spent in self._entries:
            requests_over -= requests
            tokens_over -= spent
            if requests_over <= 0 and tokens_over <= 0:
                return ended_at + WINDOW_S
        return None

    def frees_at(self, now: float) -> float | None:
        """When the oldest call that ended stops to count; None when there is none."""
        self._forget(now)
        return self._entries[0][0] + WINDOW_S if self._entries else None

    def take(self, tokens: int, now: float) -> Slot:
        """Counts a call that starts."""
        self._calls_in_flight += 1
        self._tokens_in_flight += tokens
        self._requests_taken += 1
        self._tokens_taken += tokens
        used_requests, used_tokens = self.used(now)
        if self._guess.value and used_requests >= self._guess.value:
            self._guess.filled(now)
        return Slot(tokens, used_requests - self._requests_taken, used_tokens - self._tokens_taken)

    def keep(self, slot: Slot, tokens: int, now: float) -> None:
        """The call of ``slot`` was answered and took ``tokens``."""
        self._forget(now)
        self.give_back(slot)
        self._tokens_taken += max(0, tokens - slot.tokens)
        self._count(now, 1, tokens)
        self._guess.answered(self._requests)

    def give_back(self, slot: Slot) -> None:
        """The call of ``slot`` was not made, or not let in."""
        self._calls_in_flight -= 1
        self._tokens_in_flight -= slot.tokens

    def refused(self, now: float) -> None:
        """A call was throttled and nobody said by which limit."""
        self._forget(now)
        if self._rate.requests is None and self._learnt.requests is None:
            self._guess.refused(self._requests, now)

    def learn(self, slot: Slot, limits: Limits, now: float) -> None:
        """Takes over what the answer to ``slot`` says; call it once the slot is kept or given back.

        What is left there and not here was used by others with the same key. A call that the provider had
        counted by then was either in use when the slot was taken, or was taken since.
        """
        self._learnt = RateLimit(
            limits.requests or self._learnt.requests, limits.tokens or self._learnt.tokens
        )
        limit = self.limit
        ours = slot.requests_base + self._requests_taken
        our_tokens = slot.tokens_base + self._tokens_taken
        if requests := _foreign(limit.requests, limits.requests_left, ours):
            self._requests_taken += requests
            self._count(_ended_at(limits.requests_reset_s, now), requests, 0)
        if tokens := _foreign(limit.tokens, limits.tokens_left, our_tokens):
            self._tokens_taken += tokens
            self._count(_ended_at(limits.tokens_reset_s, now), 0, tokens)

    def _count(self, ended_at: float, requests: int, tokens: int) -> None:
        place = len(self._entries)
        while place and self._entries[place - 1][0] > ended_at:
            place -= 1
        self._entries.insert(place, (ended_at, requests, tokens))
        self._requests += requests
        self._tokens += tokens
        if len(self._entries) > max(MAX_ENTRIES, self.limit.requests or 0):
            self._drop_oldest()

    def _forget(self, now: float) -> None:
        while self._entries and self._entries[0][0] + WINDOW_S <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, requests, tokens = self._entries.popleft()
        self._requests -= requests
        self._tokens -= tokens


def _lower(limit: int | None, other: int | None) -> int | None:
    return min(limit, other) if limit and other else limit or other


def _ended_at(reset_s: float | None, now: float) -> float:
    """When a call would have ended that stops to count as soon as all is free again."""
    return now if reset_s is None else now - WINDOW_S + min(reset_s, WINDOW_S)


def _foreign(limit: int | None, left: int | None, ours: int) -> int:
    return max(0, limit - left - ours) if limit and left is not None else 0
