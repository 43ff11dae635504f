"""One provider of the chain: its places, its retries, its breaker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Counter

from services.captioner.breaker import Breaker, State
from services.captioner.picture import Picture
from services.captioner.provider import (
    Ask,
    Description,
    PassedByError,
    Provider,
    ProviderError,
    SlowAnswerError,
    ThrottledError,
    TransientError,
)

MIN_ATTEMPT_S = 1.5
MAX_QUEUED = 256
MAX_BACKOFF_S = 8.0
# Shorter than this, running out of time says more about the caller than about the provider; and so it
# does while the image itself was not there yet.
FAIR_ATTEMPT_S = 10.0
_log = structlog.get_logger("captioner")


class Link:
    """Asks one provider within a deadline, again where that may help and costs nothing twice."""

    def __init__(self, provider: Provider, concurrency: int, outcomes: Counter) -> None:
        self.provider = provider
        self.breaker = Breaker()
        self.in_flight = 0
        self.queued = 0
        self._places = asyncio.Semaphore(concurrency)
        self._outcomes = outcomes
        self._reported = State.READY

    async def describe(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        """One description before ``deadline`` (loop time); raises ProviderError or the picture's errors."""
        tries = 0
        while True:
            try:
                async with self._place(deadline):
                    return await self._attempt(picture, ask, deadline)
            except ProviderError as error:
                tries += 1
                wait_s = _wait_before_retry(error, tries)
                if wait_s is None or _now() + wait_s + MIN_ATTEMPT_S > deadline:
                    raise
            await asyncio.sleep(wait_s)

    async def probe(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        """One call past the queue and the breaker, which learns from it all the same."""
        return await self._call(picture, ask, deadline)

    @asynccontextmanager
    async def _place(self, deadline: float) -> AsyncIterator[None]:
        if self.queued >= MAX_QUEUED:
            raise PassedByError(f"{MAX_QUEUED} calls wait for this provider already.")
        self.queued += 1
        try:
            async with asyncio.timeout_at(deadline - MIN_ATTEMPT_S):
                await self._places.acquire()
        except TimeoutError:
            raise PassedByError("Too many calls wait for this provider.") from None
        finally:
            self.queued -= 1
        try:
            yield
        finally:
            self._places.release()

    async def _attempt(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        # The place stays taken meanwhile: nobody else could use it.
        if pause_s := self.breaker.pause_s(_now()):
            if _now() + pause_s + MIN_ATTEMPT_S > deadline:
                raise PassedByError(f"Rate limit reached; the next call is possible in {pause_s:.0f} s.")
            await asyncio.sleep(pause_s)
        if _now() + MIN_ATTEMPT_S > deadline:
            raise PassedByError("Too little time was left to ask.")
        self.breaker.enter(_now())
        return await self._call(picture, ask, deadline)

    async def _call(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        self.in_flight += 1
        outcome = "abandoned"
        try:
            description = await self._within(picture, ask, deadline)
            self.breaker.succeeded()
            outcome = "answered"
        except ProviderError as error:
            self.breaker.failed(error, _now())
            outcome = error.kind
            raise
        finally:
            self.breaker.abandoned()
            self.in_flight -= 1
            self._outcomes.labels(self.provider.id, outcome).inc()
            self._report()
        return description

    async def _within(self, picture: Picture, ask: Ask, deadline: float) -> Description:
        allowed_s = deadline - _now()
        try:
            async with asyncio.timeout_at(deadline):
                return await self.provider.describe(picture, ask)
        except TimeoutError:
            is_fair = allowed_s >= FAIR_ATTEMPT_S and picture.is_prepared
            kind = SlowAnswerError if is_fair else PassedByError
            raise kind(f"No answer within the {allowed_s:.1f} s that the call allowed.") from None

    def _report(self) -> None:
        """One line for each change, however many calls meet it."""
        state = self.breaker.state(_now())
        if state is not self._reported:
            self._reported = state
            level = "info" if state is State.READY else "warning"
            getattr(_log, level)(
                "provider", provider=self.provider.id, state=state.value, problem=self.breaker.message
            )


def _wait_before_retry(error: ProviderError, tries: int) -> float | None:
    """Seconds until the next try; None when there is none."""
    if isinstance(error, ThrottledError):
        # The breaker holds the wait itself; the jitter keeps those who waited from returning as one.
        return random.uniform(0, 0.25) if tries <= 2 else None  # noqa: S311  jitter is no secret
    if not isinstance(error, TransientError) or tries > (1 if isinstance(error, SlowAnswerError) else 2):
        return None
    backoff_s = min(MAX_BACKOFF_S, 0.5 * 2**tries)
    return error.retry_after_s or random.uniform(0, backoff_s)  # noqa: S311  jitter is no secret


def _now() -> float:
    return asyncio.get_running_loop().time()
