"""Who gets the next turn, who is sent away, and that no turn is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.captioner.lanes.fair_queue import FairQueue, Waiter
from services.captioner.lanes.lane import Lane, Turn
from services.captioner.lanes.lanes import Lanes
from services.captioner.lanes.rate_window import RateLimit
from services.captioner.provider import (
    Access,
    Answer,
    ConfigError,
    PassedByError,
    RefusedError,
    ThrottledError,
)
from tests.unit.captioner.scripted_provider import described
from tests.unit.captioner.warp import run_warped

ANSWER = Answer(described())


def order_of(batches: Sequence[str]) -> list[str]:
    """The batches of the waiters in the order of their turns."""

    async def scenario() -> list[str]:
        queue: FairQueue[None] = FairQueue()
        for batch in batches:
            queue.put(Waiter(asyncio.get_running_loop().create_future(), batch, 0, 0.0))
        order: list[str] = []
        while waiter := queue.next():
            queue.take(waiter)
            order.append(waiter.batch)
        assert len(queue) == 0
        assert not queue._lines
        return order

    return run_warped(scenario())


def test_who_waits_in_person_comes_first_but_not_always() -> None:
    assert order_of(["a"] * 3 + [""] * 10) == [*[""] * 4, "a", *[""] * 4, "a", "", "", "a"]


def test_batches_take_turns_whatever_their_size() -> None:
    assert order_of(["a"] * 4 + ["b"] * 2 + ["c"]) == ["a", "b", "c", "a", "b", "a", "a"]


def test_nobody_waits_for_batches_that_are_not_there() -> None:
    assert order_of([""] * 12) == [""] * 12


def now() -> float:
    return asyncio.get_running_loop().time()


def lanes_of(*lanes: Lane, max_waiting: int = 100) -> Lanes:
    return Lanes(lanes or (Lane(Access(), 1),), max_waiting)


def wait(lanes: Lanes, batch: str = "", timeout_s: float = 60.0, tokens: int = 10) -> asyncio.Task[Turn]:
    return asyncio.create_task(lanes.turn(tokens, batch, now() + timeout_s))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_caller_who_leaves_the_queue_does_not_hold_up_the_others() -> None:
    async def scenario() -> None:
        lanes = lanes_of()
        first = await wait(lanes)
        second, third = wait(lanes), wait(lanes)
        await settled()
        second.cancel()
        await settled()
        assert lanes.queued == 1
        lanes.end(first, ANSWER)
        await third

    run_warped(scenario())


def test_a_caller_who_leaves_as_the_turn_comes_passes_it_on() -> None:
    async def scenario() -> None:
        lanes = lanes_of()
        first = await wait(lanes)
        second, third = wait(lanes), wait(lanes)
        await settled()
        lanes.end(first, ANSWER)
        second.cancel()
        await third
        assert second.cancelled()
        assert lanes.all[0].in_flight == 1

    run_warped(scenario())


def test_the_queue_is_bounded_but_not_for_those_who_had_a_turn() -> None:
    async def scenario() -> None:
        lanes = lanes_of(max_waiting=2)
        turn = await wait(lanes)
        order: list[str] = []

        async def take(name: str, *, again: bool = False) -> None:
            mine = await lanes.turn(10, "", now() + 60, again=again)
            order.append(name)
            lanes.end(mine, ANSWER)

        waiting = [asyncio.create_task(take("early")) for _ in range(2)]
        await settled()
        with pytest.raises(PassedByError, match="2 calls wait for this provider already"):
            await wait(lanes)
        waiting.append(asyncio.create_task(take("again", again=True)))
        await settled()
        lanes.end(turn, ANSWER)
        await asyncio.gather(*waiting)
        assert order == ["again", "early", "early"]

    run_warped(scenario())


def test_batches_and_people_do_not_fill_each_others_places() -> None:
    async def scenario() -> None:
        lanes = lanes_of(max_waiting=2)
        turn = await wait(lanes)
        batches = [wait(lanes, batch) for batch in ("a", "b")]
        await settled()
        with pytest.raises(PassedByError, match="2 calls wait for this provider already"):
            await wait(lanes, "c")
        people = [wait(lanes), wait(lanes)]
        await settled()
        assert lanes.queued == 4
        with pytest.raises(PassedByError, match="2 calls wait for this provider already"):
            await wait(lanes)
        for waiting in (*people, *batches):
            lanes.end(turn, ANSWER)
            turn = await waiting

    run_warped(scenario())


def test_who_cannot_get_a_turn_in_time_is_told_when_the_time_has_come() -> None:
    async def scenario() -> float:
        lanes = lanes_of()
        await wait(lanes)
        started = now()
        with pytest.raises(PassedByError, match="Too many calls wait"):
            await wait(lanes, timeout_s=20)
        assert lanes.queued == 0
        return now() - started

    assert run_warped(scenario()) == pytest.approx(18.5)


def test_those_in_the_queue_hear_at_once_that_a_pause_is_too_long_for_them() -> None:
    async def scenario() -> None:
        lanes, started = lanes_of(), now()
        turn = await wait(lanes)
        short, long = wait(lanes, timeout_s=20), wait(lanes, timeout_s=60)
        await settled()
        lanes.end(turn, ThrottledError("429", retry_after_s=30.0))
        with pytest.raises(PassedByError, match=r"the next call is possible in 3\d s"):
            await short
        assert now() == started
        await long
        assert 30 <= now() - started <= 31.5

    run_warped(scenario())


def test_those_in_the_queue_do_not_wait_for_a_broken_provider() -> None:
    async def scenario() -> None:
        lanes, started = lanes_of(Lane(Access(), 1), Lane(Access(), 1)), now()
        turns = [await wait(lanes), await wait(lanes)]
        waiting = [wait(lanes, batch) for batch in ("", "a", "a", "b")]
        await settled()
        lanes.end(turns[0], ConfigError("HTTP 401"))
        await settled()
        assert lanes.queued == 4
        lanes.end(turns[1], ConfigError("HTTP 401"))
        for task in waiting:
            with pytest.raises(PassedByError, match="Passed by at the moment: HTTP 401"):
                await task
        assert now() == started

    run_warped(scenario())


def test_a_full_window_sends_those_away_who_have_less_time() -> None:
    async def scenario() -> None:
        lanes, started = lanes_of(Lane(Access(), 8, RateLimit(requests=1))), now()
        lanes.end(await wait(lanes), ANSWER)
        with pytest.raises(PassedByError, match="possible in 60 s") as refused:
            await wait(lanes, timeout_s=61)
        assert refused.value.retry_after_s == 60.0
        assert now() == started
        await wait(lanes, timeout_s=62)
        assert now() == started + 60

    run_warped(scenario())


def test_a_throttle_without_words_pauses_until_the_oldest_call_is_a_minute_old() -> None:
    async def scenario() -> list[float]:
        lanes, started, turns = lanes_of(Lane(Access(), 8)), now(), []
        for _ in range(3):
            lanes.end(await wait(lanes), ANSWER)
            await asyncio.sleep(4)
        lanes.end(await wait(lanes), ThrottledError("429"))
        for _ in range(3):
            lanes.end(await wait(lanes, timeout_s=200), ANSWER)
            turns.append(now() - started)
        return turns

    # Three were let in within a minute, and so three more follow each a minute after one of them.
    assert run_warped(scenario()) == pytest.approx([60.0, 64.0, 68.0])


def test_a_throttle_before_any_answer_pauses_for_some_seconds() -> None:
    async def scenario() -> float:
        lanes, started = lanes_of(), now()
        lanes.end(await wait(lanes), ThrottledError("429"))
        await wait(lanes)
        return now() - started

    assert run_warped(scenario()) == pytest.approx(5.0)


def test_a_large_call_is_not_overtaken_forever() -> None:
    async def scenario() -> None:
        lanes = lanes_of(Lane(Access(), 8, RateLimit(tokens=1_000)))
        turn = await wait(lanes, tokens=600)
        large = wait(lanes, tokens=900)
        await settled()
        small = wait(lanes, tokens=10)
        await settled()
        assert not small.done()
        lanes.give_back(turn)
        await large
        await small

    run_warped(scenario())


def test_a_lane_that_may_be_probed_is_woken_for_the_queue() -> None:
    async def scenario() -> float:
        lanes = lanes_of(Lane(Access(), 1), Lane(Access(), 1))
        started = now()
        lanes.end(await wait(lanes), ConfigError("HTTP 401"))
        await wait(lanes)
        await wait(lanes, timeout_s=100)
        return now() - started

    assert run_warped(scenario()) == pytest.approx(60.0)


def test_random_leaving_never_loses_a_turn() -> None:
    async def scenario() -> None:
        lanes = lanes_of(Lane(Access(), 2), Lane(Access(), 1, RateLimit(requests=40)))

        async def call(number: int) -> None:
            turn = await lanes.turn(10, ("", "a", "b")[number % 3], now() + 30)
            try:
                await asyncio.sleep(number % 7 / 3)
            finally:
                lanes.end(turn, (ANSWER, None, RefusedError("no"))[number % 3])

        tasks = [asyncio.create_task(call(number)) for number in range(100)]
        for number, task in enumerate(tasks):
            if number % 4 == 0:
                await asyncio.sleep(0.05 * (number % 5))
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert lanes.queued == 0
        assert [lane.in_flight for lane in lanes.all] == [0, 0]
        await asyncio.sleep(60)
        turns = [await wait(lanes) for _ in range(3)]
        assert {turn.lane for turn in turns} == set(lanes.all)

    run_warped(scenario())
