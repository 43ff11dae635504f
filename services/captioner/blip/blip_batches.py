"""Calls that are in flight at the same time, gathered into few requests."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from services.captioner.blip.blip_answer import BlipCaption, BlipOutcome
from services.captioner.provider import ProviderError

MAX_BATCH = 16
MAX_WAIT_S = 0.005

Send = Callable[[str, Sequence[bytes]], Awaitable[Sequence[BlipOutcome]]]


class Batches:
    """One request at a time for each address; meanwhile the next one fills up."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lines: dict[str, _Line] = {}

    async def caption(self, base_url: str, jpeg: bytes) -> BlipCaption:
        """One picture's caption out of a shared request; raises ProviderError.

        A caller that leaves takes nothing from the others; the last one that leaves stops the request.
        """
        if base_url not in self._lines:
            self._lines[base_url] = _Line(base_url, self._send)
        return await self._lines[base_url].caption(jpeg)


class _Seat:
    def __init__(self, jpeg: bytes) -> None:
        self.jpeg = jpeg
        self.outcome: asyncio.Future[BlipCaption] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: BlipOutcome | BaseException) -> None:
        if self.outcome.done():
            return
        if isinstance(outcome, asyncio.CancelledError):
            self.outcome.cancel()
        elif isinstance(outcome, BaseException):
            # Each caller raises its own, with its own trace.
            own = copy.copy(outcome) if isinstance(outcome, ProviderError) else outcome
            self.outcome.set_exception(own)
            # A caller who leaves at this very moment never looks at it, and asyncio would complain.
            self.outcome.exception()
        else:
            self.outcome.set_result(outcome)


class _Line:
    """Those who wait for one address, and those aboard the request that is under way."""

    def __init__(self, base_url: str, send: Send) -> None:
        self._base_url = base_url
        self._send = send
        self._waiting: list[_Seat] = []
        self._aboard: list[_Seat] = []
        self._full = asyncio.Event()
        self._trip: asyncio.Task[None] | None = None

    async def caption(self, jpeg: bytes) -> BlipCaption:
        seat = _Seat(jpeg)
        self._waiting.append(seat)
        if len(self._waiting) >= MAX_BATCH:
            self._full.set()
        if not self._trip:
            self._depart(MAX_WAIT_S)
        try:
            return await seat.outcome
        finally:
            self._leave(seat)

    def _leave(self, seat: _Seat) -> None:
        if seat in self._waiting:
            self._waiting.remove(seat)
        elif self._trip and self._aboard and all(other.outcome.cancelled() for other in self._aboard):
            self._trip.cancel()

    def _depart(self, wait_s: float) -> None:
        self._trip = asyncio.create_task(self._travel(wait_s))
        self._trip.add_done_callback(self._arrive)

    async def _travel(self, wait_s: float) -> None:
        if wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._full.wait()
        self._aboard, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._full.clear()
        if not self._aboard:
            return
        outcomes = await self._send(self._base_url, [seat.jpeg for seat in self._aboard])
        for seat, outcome in zip(self._aboard, outcomes, strict=True):
            seat.settle(outcome)

    def _arrive(self, trip: asyncio.Task[None]) -> None:
        failure = asyncio.CancelledError() if trip.cancelled() else trip.exception()
        if failure:
            for seat in self._aboard:
                seat.settle(failure)
        self._aboard, self._trip = [], None
        # Those who waited meanwhile have waited long enough.
        if any(not seat.outcome.done() for seat in self._waiting):
            self._depart(wait_s=0.0)
