"""Three hundred images at once against providers with a rate limit, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass, field

import pytest

from services.captioner.lanes.lane import Lane
from services.captioner.lanes.link import Link
from services.captioner.lanes.rate_window import RateLimit
from services.captioner.picture import Upload
from services.captioner.provider import (
    Access,
    Answer,
    Ask,
    Limits,
    Origin,
    ProviderError,
    ThrottledError,
    Tokens,
)
from tests.unit.captioner.scripted_provider import described, link_of, untouched_picture
from tests.unit.captioner.warp import run_warped

IMAGES = 300


@dataclass
class Meter:
    """What a provider counts of one key: within a sliding minute, or within a minute of its clock."""

    fixed: bool
    calls: deque[tuple[float, int]] = field(default_factory=deque)

    def used(self, now: float) -> tuple[int, int]:
        start = now - now % 60.0 if self.fixed else now - 60.0
        while self.calls and (self.calls[0][0] < start or (not self.fixed and self.calls[0][0] == start)):
            self.calls.popleft()
        return len(self.calls), sum(tokens for _, tokens in self.calls)


class LimitedProvider:
    """Counts a call on its arrival, answers after half a second to two, and refuses without Retry-After."""

    id, model = "mistral", "model-1"

    def __init__(
        self,
        requests: int,
        tokens: int = 10**9,
        *,
        fixed: bool = False,
        says: bool = True,
        takes: int = 1_100,
    ) -> None:
        self._limit = RateLimit(requests, tokens)
        self._fixed = fixed
        self._says = says
        self._takes = takes
        self._random = random.Random(7)  # noqa: S311  latencies are no secret
        self._meters: dict[str, Meter] = {}
        self.throttled_at: list[float] = []
        self.keys: Tally[str] = Tally()

    def edge_px(self, ask: Ask) -> int:  # noqa: ARG002  one size
        return 1024

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:  # noqa: ARG002  one size
        return Tokens(self._takes, 400)

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:  # noqa: ARG002  one answer
        takes_s = self._random.uniform(0.5, 2.0)
        # Part of the way passes before the provider counts the call.
        await asyncio.sleep(0.3 * takes_s)
        limits = self._count(access.key, asyncio.get_running_loop().time())
        await asyncio.sleep(0.7 * takes_s)
        self.keys[access.key] += 1
        return Answer(described(tokens=Tokens(self._takes, 100)), limits if self._says else Limits())

    def foreign(self, key: str, calls: int, now: float) -> None:
        """Somebody else uses the key."""
        self._meters.setdefault(key, Meter(self._fixed)).calls.extend([(now, 0)] * calls)

    def _count(self, key: str, now: float) -> Limits:
        meter = self._meters.setdefault(key, Meter(self._fixed))
        requests, tokens = meter.used(now)
        cost = self._takes + 100
        assert self._limit.requests
        assert self._limit.tokens
        if requests >= self._limit.requests or tokens + cost > self._limit.tokens:
            self.throttled_at.append(now)
            raise ThrottledError("The rate limit is reached (HTTP 429).")
        meter.calls.append((now, cost))
        return Limits(
            requests=self._limit.requests,
            requests_left=self._limit.requests - requests - 1,
            tokens=self._limit.tokens,
            tokens_left=self._limit.tokens - tokens - cost,
        )


@dataclass
class Outcome:
    elapsed_s: float
    failed: int


def describe_all(link: Link, images: int = IMAGES, batch: str = "batches/b") -> Outcome:
    async def one() -> None:
        deadline = asyncio.get_running_loop().time() + 3_600
        await link.describe(untouched_picture(), Ask(), Origin(batch), deadline)

    async def scenario() -> Outcome:
        started = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(one() for _ in range(images)), return_exceptions=True)
        failed = sum(isinstance(answer, ProviderError) for answer in answers)
        assert not [each for each in answers if each is not None and not isinstance(each, ProviderError)]
        return Outcome(asyncio.get_running_loop().time() - started, failed)

    return run_warped(scenario())


def ideal_s(images: int, per_minute: int) -> float:
    """A burst at the start, and another one each minute."""
    return 60.0 * (-(-images // per_minute) - 1)


@pytest.mark.parametrize("fixed", [False, True], ids=["sliding minute", "minute of the clock"])
@pytest.mark.parametrize("per_minute", [60, 23])
def test_a_burst_is_described_without_a_refusal(per_minute: int, fixed: bool) -> None:
    provider = LimitedProvider(per_minute, fixed=fixed)

    outcome = describe_all(link_of(provider, Lane(Access(key="k1"), 8), max_waiting=1_000))

    assert outcome.failed == 0
    assert provider.throttled_at == []
    assert outcome.elapsed_s <= 1.3 * ideal_s(IMAGES, per_minute)


@pytest.mark.parametrize("fixed", [False, True], ids=["sliding minute", "minute of the clock"])
@pytest.mark.parametrize("per_minute", [60, 23])
def test_a_limit_that_nobody_states_is_found_out(per_minute: int, fixed: bool) -> None:
    provider = LimitedProvider(per_minute, fixed=fixed, says=False)

    outcome = describe_all(link_of(provider, Lane(Access(key="k1"), 8), max_waiting=1_000))

    assert outcome.failed == 0
    assert outcome.elapsed_s <= 1.3 * ideal_s(IMAGES, per_minute)
    assert len(provider.throttled_at) <= 0.3 * IMAGES


def test_two_keys_halve_the_time() -> None:
    provider = LimitedProvider(60)
    lanes = [Lane(Access(key="k1"), 8), Lane(Access(key="k2"), 8)]

    outcome = describe_all(link_of(provider, *lanes, max_waiting=1_000))

    assert (outcome.failed, provider.throttled_at) == (0, [])
    assert outcome.elapsed_s <= 1.3 * ideal_s(IMAGES, 120)
    assert all(abs(calls - IMAGES / 2) <= 8 for calls in provider.keys.values())


def test_a_limit_of_tokens_binds_before_that_of_requests() -> None:
    provider = LimitedProvider(60, 50_000, takes=1_150)

    outcome = describe_all(link_of(provider, Lane(Access(key="k1"), 8), max_waiting=1_000))

    assert (outcome.failed, provider.throttled_at) == (0, [])
    assert outcome.elapsed_s <= 1.3 * ideal_s(IMAGES, 50_000 // 1_250)


def test_limits_of_the_settings_hold_from_the_first_call() -> None:
    provider = LimitedProvider(5, says=False)

    outcome = describe_all(link_of(provider, Lane(Access(key="k1"), 8, RateLimit(requests=5))), images=20)

    assert (outcome.failed, provider.throttled_at) == (0, [])
    assert outcome.elapsed_s < 190


def test_a_key_that_others_use_as_well_is_hardly_overdrawn() -> None:
    provider = LimitedProvider(60)
    provider.foreign("k1", 40, 999.0)

    outcome = describe_all(link_of(provider, Lane(Access(key="k1"), 8)), images=70)

    assert outcome.failed == 0
    # What is on the way when the others are noticed cannot be told from their calls.
    assert len(provider.throttled_at) <= 8
    assert outcome.elapsed_s < 75
