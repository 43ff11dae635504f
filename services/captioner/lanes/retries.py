"""Which failures are worth another call, how often, and after which wait."""

from __future__ import annotations

import random

from services.captioner.provider import (
    ConfigError,
    ExhaustedError,
    FormRefusedError,
    ProviderError,
    SlowAnswerError,
    ThrottledError,
    TransientError,
)

MAX_TRANSIENT = 2
# What did not come in time, or broke off on the way, may be billed all the same; some say that it was.
MAX_UNSURE = 1
MAX_FORMS = 6
BACKOFF_S = 0.5
MAX_BACKOFF_S = 8.0


class Retries:
    """Of one image at one provider of ``lane_count`` lanes."""

    def __init__(self, lane_count: int) -> None:
        self._lane_count = lane_count
        self._transient = self._unsure = self._forms = self._lanes = 0

    def wait_s(self, error: ProviderError) -> float | None:
        """Seconds until the next call; None when there is none.

        A throttled call waits in the queue: its lane is paused for as long as it takes.
        """
        if isinstance(error, ThrottledError):
            return 0.0
        if isinstance(error, TransientError):
            return self._backoff_s(error)
        if isinstance(error, FormRefusedError):
            self._forms += 1
            return 0.0 if self._forms <= MAX_FORMS else None
        if isinstance(error, ConfigError | ExhaustedError):
            # It concerns one key; the lane is closed, another one may do.
            self._lanes += 1
            return 0.0 if self._lanes < self._lane_count else None
        return None

    def _backoff_s(self, error: TransientError) -> float | None:
        self._transient += 1
        is_billed = error.tokens is not None or error.may_be_billed
        self._unsure += is_billed or isinstance(error, SlowAnswerError)
        if self._transient > MAX_TRANSIENT or self._unsure > MAX_UNSURE:
            return None
        most_s = min(MAX_BACKOFF_S, BACKOFF_S * 2**self._transient)
        return error.retry_after_s or random.uniform(0, most_s)  # noqa: S311  jitter is no secret
