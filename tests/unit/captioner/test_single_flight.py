"""One call for all who want the same; deadlines and cancellations stay everybody's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.captioner.provider import PassedByError, RefusedError
from services.captioner.records.single_flight import SingleFlight
from tests.unit.captioner.warp import run_warped


class Calls:
    """Each takes ``takes_s`` and then answers, or fails."""

    def __init__(self, takes_s: float = 10.0) -> None:
        self.takes_s = takes_s
        self.started: int = 0
        self.cancelled: int = 0

    async def __call__(self) -> str:
        self.started += 1
        mine = self.started
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return f"answer {mine}"

    def within(self, deadline: float) -> Callable[[], Awaitable[str]]:
        """As a link does it: fails for lack of time."""

        async def call() -> str:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self()
            except TimeoutError:
                raise PassedByError("No time.") from None

        return call


def flights() -> SingleFlight[str, str]:
    return SingleFlight(lambda error: isinstance(error, PassedByError))


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_same_key_shares_one_call() -> None:
    async def work() -> None:
        calls, shared = Calls(), flights()
        answers = await asyncio.gather(*(shared.share("a", now() + 60, calls) for _ in range(100)))
        assert answers == [("answer 1", True)] + [("answer 1", False)] * 99
        assert await shared.share("a", now() + 60, calls) == ("answer 2", True)

    run_warped(work())


def test_other_keys_have_calls_of_their_own() -> None:
    async def work() -> None:
        calls, shared = Calls(), flights()
        await asyncio.gather(*(shared.share(key, now() + 60, calls) for key in "abc"))
        assert calls.started == 3

    run_warped(work())


def test_the_call_goes_on_while_anybody_waits() -> None:
    async def work() -> None:
        calls, shared = Calls(), flights()
        leader, follower = (asyncio.create_task(shared.share("a", now() + 60, calls)) for _ in range(2))
        await asyncio.sleep(1)
        leader.cancel()
        assert await follower == ("answer 1", False)
        assert (calls.started, calls.cancelled) == (1, 0)

    run_warped(work())


def test_the_call_is_cancelled_when_the_last_one_leaves() -> None:
    async def work() -> None:
        calls, shared = Calls(), flights()
        tasks = [asyncio.create_task(shared.share("a", now() + 60, calls)) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        # Whoever comes now does not join a call that is on its way out.
        newcomer = asyncio.create_task(shared.share("a", now() + 60, calls))
        assert await newcomer == ("answer 2", True)
        assert calls.cancelled == 1

    run_warped(work())


def test_a_refusal_is_everybodys() -> None:
    async def work() -> None:
        started = 0

        async def refused() -> str:
            nonlocal started
            started += 1
            await asyncio.sleep(1)
            raise RefusedError("No.")

        shared = flights()
        tasks = [shared.share("a", now() + 60 * more, refused) for more in range(1, 4)]
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in errors] == [RefusedError] * 3
        assert started == 1

    run_warped(work())


def test_nobody_inherits_a_shorter_deadline() -> None:
    async def work() -> None:
        calls, shared = Calls(takes_s=10), flights()
        hurried, patient = now() + 3, now() + 60
        first = asyncio.create_task(shared.share("a", hurried, calls.within(hurried)))
        others = [asyncio.create_task(shared.share("a", patient, calls.within(patient))) for _ in range(5)]
        with pytest.raises(PassedByError):
            await first
        assert await asyncio.gather(*others) == [("answer 2", True)] + [("answer 2", False)] * 4
        assert calls.started == 2

    run_warped(work())


@pytest.mark.parametrize(("more_s", "started"), [(0.001, 1), (1.4, 1), (1.5, 2)])
def test_a_moment_more_is_no_reason_to_start_anew(more_s: float, started: int) -> None:
    async def work() -> None:
        calls, shared = Calls(takes_s=100), flights()
        deadlines = [now() + 8, now() + 8 + more_s]
        await asyncio.gather(
            *(shared.share("a", deadline, calls.within(deadline)) for deadline in deadlines),
            return_exceptions=True,
        )
        assert calls.started == started

    run_warped(work())


def test_who_has_less_time_than_the_call_leaves_it_alone() -> None:
    async def work() -> None:
        calls, shared = Calls(takes_s=10), flights()
        patient = asyncio.create_task(shared.share("a", now() + 60, calls))
        await asyncio.sleep(1)
        began = now()
        with pytest.raises(TimeoutError):
            await shared.share("a", now() + 2, calls)
        assert now() - began == pytest.approx(2)
        assert await patient == ("answer 1", True)

    run_warped(work())
