"""What must arrive in the end: in order, once it can, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from services.captioner.records.outbox import Outbox
from services.captioner.records.port import RecordsAwayError
from services.runtime.errors import InvalidArgumentError, Reason
from tests.unit.captioner.warp import run_warped


class Receiver:
    """Takes items while it is there; never those in ``bad``."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_away = False
        self.bad: set[int] = set()
        self.tries = 0
        self.takes_s = 0.0

    async def __call__(self, items: list[int]) -> None:
        self.tries += 1
        if self.is_away:
            raise RecordsAwayError
        if self.bad & set(items):
            raise InvalidArgumentError(Reason.INVALID_FIELD, "Never.")
        self.batches.append(items)
        await asyncio.sleep(self.takes_s)


class World:
    def __init__(self, capacity: int = 100) -> None:
        self.registry = CollectorRegistry()
        self.receiver = Receiver()
        lost = Counter("lost", "For tests", ["kind"], registry=self.registry)
        self.outbox = Outbox("number", self.receiver, 4, capacity, lost)
        self.stopping = asyncio.Event()

    @property
    def lost(self) -> float:
        return self.registry.get_sample_value("lost_total", {"kind": "number"}) or 0

    def put(self, *items: int) -> None:
        for item in items:
            self.outbox.put(item)


def running(work: Callable[[World], Awaitable[None]], capacity: int = 100) -> None:
    async def live() -> None:
        world = World(capacity)
        sender = asyncio.create_task(world.outbox.run(world.stopping))
        await work(world)
        world.stopping.set()
        await sender

    run_warped(live())


def test_items_arrive_in_order_and_few_messages() -> None:
    async def work(world: World) -> None:
        world.put(*range(10))
        await asyncio.sleep(1)
        world.put(10)
        await asyncio.sleep(1)
        assert world.receiver.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [10]]

    running(work)


def test_what_fails_is_sent_again_ever_more_seldom() -> None:
    async def work(world: World) -> None:
        world.receiver.is_away = True
        world.put(1, 2)
        await asyncio.sleep(120)
        assert 24 <= world.receiver.tries <= 60
        world.receiver.is_away = False
        await asyncio.sleep(5)
        assert world.receiver.batches == [[1, 2]]
        assert not world.lost

    running(work)


def test_the_oldest_go_first_with_one_warning() -> None:
    async def work(world: World) -> None:
        world.receiver.is_away = True
        with capture_logs() as logs:
            world.put(*range(9))
        assert world.lost == 4
        assert [line["event"] for line in logs] == ["records lost"]
        world.receiver.is_away = False
        await asyncio.sleep(10)
        assert world.receiver.batches == [[4, 5, 6, 7], [8]]

    running(work, capacity=5)


def test_what_is_never_taken_takes_nothing_along() -> None:
    async def work(world: World) -> None:
        world.receiver.bad = {2, 3}
        with capture_logs() as logs:
            world.put(*range(8))
            await asyncio.sleep(1)
        assert world.receiver.batches == [[0], [1], [4, 5, 6, 7]]
        assert world.lost == 2
        assert [line["problem"] for line in logs] == ["Never.", "Never."]

    running(work)


def test_the_rest_is_sent_at_the_end() -> None:
    async def live() -> None:
        world = World()
        world.receiver.takes_s = 10
        sender = asyncio.create_task(world.outbox.run(world.stopping))
        world.put(1, 2)
        await asyncio.sleep(1)
        # On its way when the end comes: sent again, since nobody knows whether it arrived.
        world.stopping.set()
        await sender
        world.put(3)
        world.receiver.takes_s = 0
        await world.outbox.flush(5)
        assert world.receiver.batches == [[1, 2], [1, 2, 3]]
        assert not world.lost

    run_warped(live())


def test_the_end_does_not_wait_for_ever() -> None:
    async def live() -> None:
        world = World()
        world.receiver.is_away = True
        world.put(1, 2)
        began = asyncio.get_running_loop().time()
        with capture_logs() as logs:
            await world.outbox.flush(5)
        assert asyncio.get_running_loop().time() - began == 5
        assert world.lost == 2
        assert [line["count"] for line in logs] == [2]

    run_warped(live())


def test_an_empty_outbox_ends_at_once() -> None:
    async def live() -> None:
        began = asyncio.get_running_loop().time()
        await World().outbox.flush(5)
        assert asyncio.get_running_loop().time() == began

    run_warped(live())
