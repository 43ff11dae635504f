"""How long a worker bears a service that is away, and when an image is to blame.

A service that does not answer is waited for, without end: giving the message back would only make the queue
count deliveries. An image whose work breaks the service again and again is given up.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
import structlog

from services.ingest.keyed_stream import StreamBrokenError
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import InternalError, Reason, ServiceError

Answer = TypeVar("Answer")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
# Times that an image may be in flight when its service breaks. A service that is merely away refuses the
# connection, which counts for nothing; ten innocent breaks in a row are as good as impossible.
MAX_BREAKS = 10
# Times that a service may fail at an image, or run out of time with it.
MAX_FAULTS = 3

_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
_FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}
# The service answers, but not the model behind it: worth a few tries, but no worker for hours.
_BEHIND = {Reason.PROVIDER_UNAVAILABLE, Reason.BUDGET_EXHAUSTED}


class Patience:
    """Repeats a step until it succeeds, is refused for good, or proves that the image is to blame."""

    def __init__(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._pause = pause

    async def outlast(self, service: str, step: Callable[[], Awaitable[Answer]]) -> Answer:
        """The result of ``step``.

        Raises the ServiceError of a final refusal, or after MAX_FAULTS faults; InternalError
        (ANALYSIS_ABANDONED) after MAX_BREAKS breaks.
        """
        breaks = faults = 0
        for attempt in itertools.count():
            try:
                return await step()
            except (ServiceError, grpc.aio.AioRpcError, TimeoutError) as fault:
                error = statuses.translate(fault) or statuses.internal_error(current_request_id())
            breaks += isinstance(error, StreamBrokenError)
            faults += error.code in _FAULTS or error.reason in _BEHIND
            if breaks >= MAX_BREAKS:
                raise _abandoned(service, breaks) from error
            if faults >= MAX_FAULTS or error.code not in _AWAY | _FAULTS:
                raise error
            structlog.get_logger("patience").info("waiting", waits_for=service, reason=error.reason_name)
            pause_s = min(FIRST_PAUSE_S * 2 ** min(attempt, 6), LONGEST_PAUSE_S)
            await self._pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter, no secret
        raise AssertionError("itertools.count() does not end")


def _abandoned(service: str, breaks: int) -> ServiceError:
    return InternalError(
        Reason.ANALYSIS_ABANDONED,
        f"The {service} broke {breaks} times while it worked on this image; the image was given up.",
        attempts=breaks,
    )
