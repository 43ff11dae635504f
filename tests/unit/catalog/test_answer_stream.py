"""Answers to a stream of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.catalog.answer_stream import answer_stream
from services.runtime.errors import Reason, UnavailableError


async def requests_of(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number


async def open_ended(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number
    await asyncio.Event().wait()


async def test_answers_come_in_the_order_of_completion() -> None:
    gates = {number: asyncio.Event() for number in range(3)}

    async def answer(number: int) -> int:
        await gates[number].wait()
        return number

    answers = answer_stream(requests_of(0, 1, 2), answer, 3, asyncio.Event())
    found = []
    for number in (2, 0, 1):
        gates[number].set()
        found.append(await anext(answers))
    assert found == [2, 0, 1]
    with pytest.raises(StopAsyncIteration):
        await anext(answers)


async def test_no_more_than_the_window_is_read_ahead() -> None:
    begun: list[int] = []
    gate = asyncio.Event()

    async def answer(number: int) -> int:
        begun.append(number)
        await gate.wait()
        return number

    answers = answer_stream(requests_of(*range(10)), answer, 4, asyncio.Event())
    first = asyncio.ensure_future(anext(answers))
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == [0, 1, 2, 3]
    gate.set()
    assert await first == 0
    assert [number async for number in answers] == list(range(1, 10))


async def test_a_reader_that_takes_no_answers_is_not_read_from() -> None:
    begun: list[int] = []

    async def answer(number: int) -> int:
        begun.append(number)
        return number

    answers = answer_stream(requests_of(*range(100)), answer, 4, asyncio.Event())
    await anext(answers)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(begun) == 5
    await answers.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_stopping_answers_what_is_in_hand_and_says_so() -> None:
    stopping, gate = asyncio.Event(), asyncio.Event()

    async def answer(number: int) -> int:
        await gate.wait()
        return number

    answers = answer_stream(open_ended(0, 1), answer, 8, stopping)
    first = asyncio.ensure_future(anext(answers))
    for _ in range(10):
        await asyncio.sleep(0)
    stopping.set()
    gate.set()
    assert (await first, await anext(answers)) == (0, 1)
    with pytest.raises(UnavailableError) as ending:
        await anext(answers)
    assert ending.value.reason == Reason.DRAINING


async def test_a_broken_request_stream_breaks_the_answers_after_those_in_hand() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 0
        raise ConnectionError("gone")

    async def answer(number: int) -> int:
        return number

    answers = answer_stream(broken(), answer, 8, asyncio.Event())
    assert await anext(answers) == 0
    with pytest.raises(ConnectionError):
        await anext(answers)


async def test_leaving_cancels_what_is_in_hand() -> None:
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        if number:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return number

    answers = answer_stream(open_ended(0, 1, 2), answer, 8, asyncio.Event())
    assert await anext(answers) == 0
    await asyncio.sleep(0)
    await answers.aclose()  # type: ignore[attr-defined]  # an async generator
    assert sorted(cancelled) == [1, 2]
