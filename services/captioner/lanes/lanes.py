"""One queue in front of all lanes of a provider: who may call next, and with which key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf

from services.captioner.lanes.fair_queue import FairQueue, Waiter
from services.captioner.lanes.lane import Lane, Turn
from services.captioner.provider import Answer, PassedByError, ProviderError

# An answer takes some time: later than this before the deadline nothing is asked.
MIN_ATTEMPT_S = 1.5


class Lanes:
    """Hands out turns: to who is next in the queue, on the lanes with room in turn.

    At most ``max_waiting`` calls that somebody waits for, and as many of batches, wait for a turn: so many
    items of a batch never turn a person away.
    """

    def __init__(self, lanes: Sequence[Lane], max_waiting: int) -> None:
        self.all = tuple(lanes)
        self._max_waiting = max_waiting
        self._queue: FairQueue[Turn] = FairQueue()
        self._last = -1
        self._timer: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """Calls that wait for their turn."""
        return len(self._queue)

    async def turn(self, tokens: int, batch: str, deadline: float, *, again: bool = False) -> Turn:
        """A turn for a call of about ``tokens``; whoever comes ``again`` had one, and stands in front.

        Raises PassedByError when there is none in time: at once where that is certain.
        """
        now, latest = _now(), deadline - MIN_ATTEMPT_S
        if now > latest:
            raise PassedByError("Too little time was left to ask.")
        if not self._queue and (lane := self._lane_with_room(tokens, now)):
            return lane.enter(tokens, now)
        if problem := self._problem(tokens, latest, now):
            raise problem
        if self._queue.waiting_with(batch) >= self._max_waiting and not again:
            raise PassedByError(f"{self._max_waiting} calls wait for this provider already.")
        loop = asyncio.get_running_loop()
        waiter: Waiter[Turn] = Waiter(loop.create_future(), batch, tokens, latest)
        self._queue.put(waiter, in_front=again)
        self._dispatch(now)
        return await self._wait(waiter)

    def end(self, turn: Turn, ending: Answer | ProviderError | None) -> None:
        """The call of a turn was answered, failed, or was given up (None)."""
        now, lane = _now(), turn.lane
        before = lane.state(now), lane.closed_until
        lane.end(turn, ending, now)
        if (lane.state(now), lane.closed_until) != before:
            self._refuse_hopeless(now)
        self._dispatch(now)

    def give_back(self, turn: Turn) -> None:
        """The turn was not used."""
        turn.lane.give_back(turn)
        self._dispatch(_now())

    def worst(self) -> Lane:
        """The lane to look at first: one that is closed, else the next one in turn."""
        now = _now()
        following = self.all[(self._last + 1) % len(self.all)]
        return next((lane for lane in self.all if lane.is_closed(now)), following)

    async def _wait(self, waiter: Waiter[Turn]) -> Turn:
        timer = asyncio.get_running_loop().call_at(waiter.latest, self._too_late, waiter)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._queue.discard(waiter)
            # The turn may have come in the moment in which the caller left.
            if not waiter.future.cancelled() and waiter.future.exception() is None:
                self.give_back(waiter.future.result())
            else:
                self._dispatch(_now())
            raise
        finally:
            timer.cancel()

    def _too_late(self, waiter: Waiter[Turn]) -> None:
        self._refuse(waiter, PassedByError("Too many calls wait for this provider."))
        self._dispatch(_now())

    def _refuse(self, waiter: Waiter[Turn], problem: PassedByError) -> None:
        self._queue.discard(waiter)
        if not waiter.future.done():
            waiter.future.set_exception(problem)

    def _dispatch(self, now: float) -> None:
        """Gives turns away as long as there is room; the rest waits for a call to end, or for a moment."""
        while waiter := self._queue.next():
            lane = self._lane_with_room(waiter.tokens, now)
            if lane is None:
                break
            self._queue.take(waiter)
            # A caller that has just left holds no turn.
            if not waiter.future.done():
                waiter.future.set_result(lane.enter(waiter.tokens, now))
        self._wake_at(self._next_moment(waiter, now) if waiter else None)

    def _lane_with_room(self, tokens: int, now: float) -> Lane | None:
        for step in range(1, len(self.all) + 1):
            index = (self._last + step) % len(self.all)
            if self.all[index].opens_at(tokens, now) == now:
                self._last = index
                return self.all[index]
        return None

    def _opens_at(self, tokens: int, now: float) -> float:
        """When some lane may have room, at the earliest."""
        return min(lane.opens_at(tokens, now) or now for lane in self.all)

    def _problem(self, tokens: int, latest: float, now: float) -> PassedByError | None:
        """Why there can be no turn in time; None when there may be one."""
        opens_at = self._opens_at(tokens, now)
        wait_s = opens_at - now
        if self._are_closed(now):
            return PassedByError(
                f"Passed by at the moment: {self.all[0].message(now)}", retry_after_s=wait_s or None
            )
        if opens_at > latest:
            message = f"The rate limit is reached; the next call is possible in {wait_s:.0f} s."
            return PassedByError(message, retry_after_s=wait_s)
        return None

    def _refuse_hopeless(self, now: float) -> None:
        opens_at = inf if self._are_closed(now) else self._opens_at(0, now)
        for waiter in self._queue.waiters():
            if waiter.latest < opens_at and (problem := self._problem(0, waiter.latest, now)):
                self._refuse(waiter, problem)

    def _are_closed(self, now: float) -> bool:
        return all(lane.is_closed(now) for lane in self.all)

    def _next_moment(self, waiter: Waiter[Turn], now: float) -> float | None:
        moments = [lane.opens_at(waiter.tokens, now) for lane in self.all]
        return min((moment for moment in moments if moment is not None), default=None)

    def _wake_at(self, when: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if when is None else loop.call_at(when, self._woken, when)

    def _woken(self, when: float) -> None:
        self._timer = None
        # Timers may come early by the resolution of the clock.
        self._dispatch(max(_now(), when))


def _now() -> float:
    return asyncio.get_running_loop().time()
