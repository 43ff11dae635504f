"""Order, bounds and ends of a stream of keyed items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from services.runtime.errors import InvalidArgumentError, Reason, UnavailableError
from services.runtime.keyed_answers import keyed_answers
from tests.unit.captioner.warp import run_warped


@dataclass(frozen=True)
class Item:
    key: str
    takes_s: float = 1.0


class Bench:
    """Counts what a stream reads and works on."""

    def __init__(self, *items: Item, hangs: bool = False) -> None:
        self.items = items
        self.hangs = hangs
        self.read = 0
        self.in_work = 0
        self.most_in_work = 0
        self.cancelled: list[str] = []
        self.stopping = asyncio.Event()

    async def requests(self) -> AsyncIterator[Item]:
        for item in self.items:
            self.read += 1
            yield item
        if self.hangs:
            await asyncio.sleep(1e9)

    async def work(self, item: Item) -> str:
        self.in_work += 1
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            await asyncio.sleep(item.takes_s)
        except asyncio.CancelledError:
            self.cancelled.append(item.key)
            raise
        finally:
            self.in_work -= 1
        return item.key

    def answers(self, limit: int = 4) -> AsyncGenerator[str, None]:
        return keyed_answers(self.requests(), self.work, limit, self.stopping)

    async def all_answers(self, limit: int = 4) -> list[str]:
        return [answer async for answer in self.answers(limit)]


def test_answers_come_in_the_order_of_completion() -> None:
    bench = Bench(Item("slow", 3), Item("quick", 1), Item("middle", 2))

    assert run_warped(bench.all_answers()) == ["quick", "middle", "slow"]


def test_no_more_than_the_limit_is_in_work() -> None:
    bench = Bench(*(Item(str(n), n % 3 + 1) for n in range(30)))

    answers = run_warped(bench.all_answers(limit=5))

    assert sorted(answers, key=int) == [str(n) for n in range(30)]
    assert bench.most_in_work == 5


def test_one_is_in_work_while_there_is_no_room() -> None:
    async def scenario() -> list[str]:
        stream = keyed_answers(bench.requests(), bench.work, 4, bench.stopping, is_roomy=lambda: False)
        return [answer async for answer in stream]

    bench = Bench(*(Item(str(n)) for n in range(5)))

    assert run_warped(scenario()) == ["0", "1", "2", "3", "4"]
    assert bench.most_in_work == 1


def test_nothing_is_read_while_nobody_fetches_answers() -> None:
    async def scenario() -> None:
        async with aclosing(bench.answers(limit=4)) as answers:
            await anext(answers)
            await asyncio.sleep(100)
            assert bench.read <= 5
            assert bench.in_work == 0

    bench = Bench(*(Item(str(n)) for n in range(50)))
    run_warped(scenario())


def test_leaving_cancels_what_is_in_work() -> None:
    async def scenario() -> None:
        async with aclosing(bench.answers()) as answers:
            assert await anext(answers) == "quick"

    bench = Bench(Item("quick", 1), Item("slow", 1e6), Item("slower", 1e7))
    run_warped(scenario())

    assert sorted(bench.cancelled) == ["slow", "slower"]


@pytest.mark.parametrize("key", ["", "k" * 129, "twice"])
def test_a_bad_key_ends_the_stream(key: str) -> None:
    bench = Bench(Item("twice", 1e6), Item(key))

    with pytest.raises(InvalidArgumentError) as refused:
        run_warped(bench.all_answers())

    assert refused.value.reason == Reason.INVALID_STREAM
    assert bench.cancelled == ["twice"]


def test_a_key_may_come_back_after_its_answer() -> None:
    bench = Bench(Item("same"), Item("same"), Item("same"))

    assert run_warped(bench.all_answers(limit=1)) == ["same"] * 3


def test_draining_answers_what_is_in_work_and_then_ends() -> None:
    async def scenario() -> list[str]:
        answers = []
        stream = bench.answers()
        for _ in range(2):
            answers.append(await anext(stream))
            bench.stopping.set()
        with pytest.raises(UnavailableError) as drained:
            await anext(stream)
        assert drained.value.reason == Reason.DRAINING
        return answers

    bench = Bench(Item("first", 1), Item("second", 5), hangs=True)

    assert run_warped(scenario()) == ["first", "second"]


def test_a_stream_that_was_sent_whole_ends_well_even_while_draining() -> None:
    async def scenario() -> list[str]:
        answers = []
        async for answer in bench.answers():
            answers.append(answer)
            bench.stopping.set()
        return answers

    bench = Bench(Item("first", 1), Item("second", 5))

    assert run_warped(scenario()) == ["first", "second"]
