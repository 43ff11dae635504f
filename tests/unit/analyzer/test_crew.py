"""Turns, withdrawal and the end of a crew of threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from services.analyzer import crew
from services.analyzer.crew import Crew


class Floor:
    """One thread, busy until released; jobs that write down their names."""

    def __init__(self) -> None:
        self.crew = Crew(1)
        self.done: list[str] = []
        self.release = threading.Event()
        self.submitted: list[asyncio.Future[None]] = []

    async def occupy(self) -> None:
        begun = threading.Event()

        def hold() -> None:
            begun.set()
            assert self.release.wait(30)

        self.submitted.append(self.crew.submit(hold))
        assert await asyncio.to_thread(begun.wait, 10)

    def add(self, *names: str, stream: object | None = None) -> None:
        self.submitted += [self.crew.submit(partial(self.done.append, name), stream) for name in names]

    async def run(self) -> str:
        self.release.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*self.submitted)
        return " ".join(self.done)


@pytest.fixture
async def floor() -> AsyncIterator[Floor]:
    made = Floor()
    await made.occupy()
    yield made
    made.release.set()
    made.crew.close()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_a_single_job_waits_for_one_job_of_a_stream(floor: Floor) -> None:
    floor.add("a1", "a2", "a3", stream="a")
    floor.add("b1", "b2", "b3", stream="b")
    floor.add("single")

    assert await floor.run() == "a1 single b1 a2 b2 a3 b3"


async def test_a_flood_of_single_jobs_leaves_streams_every_other_turn(floor: Floor) -> None:
    floor.add(*"12345")
    floor.add("a1", "a2", stream="a")

    assert await floor.run() == "a1 1 a2 2 3 4 5"


async def test_streams_take_turns(floor: Floor) -> None:
    floor.add("a1", "a2", "a3", stream="a")
    floor.add("b1", stream="b")
    floor.add("c1", "c2", stream="c")

    assert await floor.run() == "a1 b1 c1 a2 c2 a3"


class Image:
    """Stands for the bytes that a job holds."""

    def look(self) -> None:
        """Finds nothing."""

    def fail(self) -> None:
        """Does not decode."""
        raise EOFError


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("stream", [None, "a"])
async def test_a_cancelled_job_is_neither_run_nor_kept(floor: Floor, stream: str | None) -> None:
    image = Image()
    held = weakref.ref(image)
    future = floor.crew.submit(image.fail, stream)
    floor.add("next", stream=stream)
    del image
    future.cancel()
    del future
    await asyncio.sleep(0)

    assert held() is None
    assert await floor.run() == "next"


@pytest.mark.usefixtures("_no_collector")
async def test_nothing_is_kept_of_a_job_that_is_done() -> None:
    made = Crew(1)
    image = Image()
    held = weakref.ref(image)
    await made.submit(image.look)
    with pytest.raises(EOFError):
        await made.submit(image.fail)
    del image
    made.close()  # the thread has let go of it, and now the loop
    await asyncio.sleep(0)

    assert held() is None


async def test_a_job_that_fails_costs_no_thread() -> None:
    made = Crew(1)
    with pytest.raises(EOFError):
        await made.submit(Image().fail)
    assert await made.submit(lambda: 7) == 7
    made.close()


async def test_the_end_cancels_what_waits_and_waits_for_what_runs(floor: Floor) -> None:
    floor.add("late")
    threading.Timer(0.01, floor.release.set).start()
    floor.crew.close()

    assert floor.submitted[1].cancelled()
    assert floor.release.is_set()


async def test_the_end_does_not_wait_for_ever(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "CLOSE_TIMEOUT_S", 0.01)

    floor.crew.close()

    assert not floor.release.is_set()
