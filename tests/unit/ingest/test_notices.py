"""Who is woken by what, and what waiting calls see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from services.ingest import notices as notices_module
from services.ingest.notices import Notices, Waiter, topic_of
from services.ingest.watching import Watching
from services.runtime.errors import Reason, ResourceExhaustedError, UnavailableError
from services.runtime.queue.port import Event, WorkQueue
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc
from tests.servers.waiting import until

NAME = "images/0190-a"
OTHER = "images/0190-b"
Image = catalog_pb2.Image


class Announcements:
    """The listening side of a queue; refuses as often as it is told."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.listened = 0
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    @asynccontextmanager
    async def listen(self, topic_pattern: str, timeout_s: float) -> AsyncIterator[AsyncIterator[Event]]:
        assert topic_pattern == "images.*"
        assert timeout_s <= 1
        self.listened += 1
        if self.refusals:
            self.refusals -= 1
            raise UnavailableError(Reason.QUEUE_UNAVAILABLE, "Away.")
        yield self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while True:
            yield await self.events.get()


class Catalog:
    """One image that changes."""

    def __init__(self) -> None:
        self.image = Image(name=NAME, state=Image.PENDING, etag="1")
        self.looks = 0

    async def GetImage(
        self, request: catalog_pb2.GetImageRequest, **options: float
    ) -> catalog_pb2.GetImageResponse:
        assert request.name == NAME
        assert options["timeout"] > 0
        self.looks += 1
        return catalog_pb2.GetImageResponse(image=self.image)

    def change(self, state: Image.State.ValueType, etag: str) -> None:
        self.image = Image(name=NAME, state=state, etag=etag)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by itself: only notices wake."""
    monkeypatch.setattr(notices_module, "LOOK_INTERVAL_S", 3_600.0)


class House:
    """Notices, what they hear, and calls that wait."""

    def __init__(self, max_waiters: int = 10, refusals: int = 0) -> None:
        self.queue = Announcements(refusals)
        self.notices = Notices(cast("WorkQueue", self.queue), max_waiters)
        self.stopping = asyncio.Event()
        self.catalog = Catalog()
        stub = cast("catalog_pb2_grpc.CatalogServiceAsyncStub", self.catalog)
        self.watching = Watching(stub, self.notices, self.stopping)
        self.listening = asyncio.create_task(self.notices.listen(self.stopping))

    def announce(self, topic: str) -> None:
        self.queue.events.put_nowait(Event(topic, b"final" if topic else b""))

    async def looked(self, times: int) -> None:
        await until(lambda: self.catalog.looks >= times, f"{times} looks at the catalog")


@pytest.fixture
async def make_house() -> AsyncIterator[Callable[..., House]]:
    houses: list[House] = []

    def make(**options: int) -> House:
        houses.append(House(**options))
        return houses[-1]

    yield make
    for house in houses:
        house.stopping.set()
        await asyncio.wait_for(house.listening, 2)


async def test_only_those_who_wait_for_the_image_are_woken(make_house: Callable[..., House]) -> None:
    house = make_house()
    with house.notices.waiting(NAME) as waiter, house.notices.waiting(OTHER) as other:
        house.announce(topic_of(NAME))
        await asyncio.wait_for(waiter.wait(60), 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.wait(60), 0.01)


async def test_a_gap_wakes_everybody(make_house: Callable[..., House]) -> None:
    house = make_house()
    with house.notices.waiting(NAME) as waiter, house.notices.waiting(OTHER) as other:
        house.announce("")
        await asyncio.wait_for(asyncio.gather(waiter.wait(60), other.wait(60)), 2)


async def test_a_change_between_registering_and_waiting_is_not_missed() -> None:
    waiter = Waiter()
    waiter.wake()
    await asyncio.wait_for(waiter.wait(60), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter.wait(60), 0.01)


async def test_a_wait_ends_when_it_is_time_to_look_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.wait_for(Waiter().wait(0.001), 1)
    monkeypatch.setattr(notices_module, "LOOK_INTERVAL_S", 0.001)
    await asyncio.wait_for(Waiter().wait(float("inf")), 1)


async def test_waiters_are_bounded_and_leave_nothing_behind(make_house: Callable[..., House]) -> None:
    house = make_house(max_waiters=2)
    with house.notices.waiting(NAME), house.notices.waiting(NAME):
        with pytest.raises(ResourceExhaustedError) as caught, house.notices.waiting(OTHER):
            pass
        assert caught.value.reason == Reason.OVERLOADED
    with house.notices.waiting(OTHER):
        pass
    assert not house.notices._waiters


async def test_a_queue_that_comes_late_is_waited_for(make_house: Callable[..., House]) -> None:
    house = make_house(refusals=3)
    with house.notices.waiting(NAME) as waiter:
        house.announce(topic_of(NAME))
        await asyncio.wait_for(waiter.wait(60), 2)
    assert house.queue.listened == 4


async def test_stopping_wakes_everybody_and_ends_the_listening(make_house: Callable[..., House]) -> None:
    house = make_house()
    with house.notices.waiting(NAME) as waiter:
        house.stopping.set()
        await asyncio.wait_for(waiter.wait(60), 2)
    await asyncio.wait_for(house.listening, 2)


@pytest.mark.parametrize("state", [Image.PROCESSED, Image.FAILED, Image.STORED])
async def test_a_final_image_is_given_at_once(
    make_house: Callable[..., House], state: Image.State.ValueType
) -> None:
    house = make_house()
    house.catalog.change(state, "1")
    assert (await house.watching.wait(NAME, 60)).state == state
    assert house.catalog.looks == 1


async def test_waiting_ends_with_the_notice_of_the_final_state(make_house: Callable[..., House]) -> None:
    house = make_house()
    waiting = asyncio.create_task(house.watching.wait(NAME, 60))
    await house.looked(1)
    house.catalog.change(Image.PROCESSING, "2")
    house.announce(topic_of(NAME))
    await house.looked(2)
    house.catalog.change(Image.PROCESSED, "3")
    house.announce(topic_of(NAME))
    assert (await asyncio.wait_for(waiting, 2)).state == Image.PROCESSED


async def test_when_the_time_is_up_the_image_comes_as_it_is(make_house: Callable[..., House]) -> None:
    house = make_house()
    assert (await house.watching.wait(NAME, 0)).state == Image.PENDING
    assert (await house.watching.wait(NAME, 0.01)).state == Image.PENDING


async def test_watching_tells_every_change_once_and_ends_with_the_final_state(
    make_house: Callable[..., House],
) -> None:
    house = make_house()

    async def watch() -> list[Image.State.ValueType]:
        return [image.state async for image in house.watching.watch(NAME)]

    watching = asyncio.create_task(watch())
    await house.looked(1)
    house.announce(topic_of(NAME))  # nothing changed
    await house.looked(2)
    house.catalog.change(Image.PROCESSING, "2")
    house.announce(topic_of(NAME))
    await house.looked(3)
    house.catalog.change(Image.FAILED, "3")
    house.announce("")
    assert await asyncio.wait_for(watching, 2) == [Image.PENDING, Image.PROCESSING, Image.FAILED]


async def test_watching_says_when_the_process_goes_away(make_house: Callable[..., House]) -> None:
    house = make_house()
    watching = house.watching.watch(NAME)
    assert (await anext(watching)).state == Image.PENDING
    house.stopping.set()
    with pytest.raises(UnavailableError) as caught:
        await asyncio.wait_for(anext(watching), 2)
    assert caught.value.reason == Reason.DRAINING


async def test_waiting_ends_early_when_the_process_goes_away(make_house: Callable[..., House]) -> None:
    house = make_house()
    waiting = asyncio.create_task(house.watching.wait(NAME, 60))
    await house.looked(1)
    house.stopping.set()
    assert (await asyncio.wait_for(waiting, 2)).state == Image.PENDING
