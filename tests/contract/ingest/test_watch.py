"""Waiting for images over the wire, woken by announcements of a real broker."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from services.ingest import notices
from services.ingest.notices import topic_of
from services.runtime import statuses
from services.runtime.errors import Reason, UnavailableError
from services.runtime.queue.port import WorkQueue
from sightmill.v1 import errors_pb2, ingest_pb2
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import Image, Ingest, broken_off
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by itself: only announcements wake."""
    monkeypatch.setattr(notices, "LOOK_INTERVAL_S", 3_600.0)


def wait_request(name: str, timeout_ms: int | None = None) -> ingest_pb2.WaitImageRequest:
    request = ingest_pb2.WaitImageRequest(name=name)
    if timeout_ms is not None:
        request.timeout.FromMilliseconds(timeout_ms)
    return request


async def looks(api: Ingest, count: int) -> None:
    await until(lambda: api.rooms.catalog.calls.count("GetImage") >= count, f"{count} looks at the catalog")


@pytest.mark.parametrize("by_number", [False, True])
async def test_a_waiting_call_is_woken_by_the_announcement(
    api: Ingest, queue: WorkQueue, by_number: bool
) -> None:
    catalog = api.rooms.catalog
    image = catalog.add(state=Image.PENDING)
    name = f"images/{image.number}" if by_number else image.name
    waiting = asyncio.ensure_future(api.stub.WaitImage(wait_request(name, 30_000), timeout=40))
    await looks(api, 1 + by_number)
    catalog.change(image, Image.PROCESSED)
    await queue.announce(topic_of(image.name), b"final")
    answer = await asyncio.wait_for(waiting, 10)
    assert answer.image == image


async def test_a_restart_of_the_broker_wakes_those_who_may_have_missed_something(
    api: Ingest, nats: NatsServer
) -> None:
    image = api.rooms.catalog.add(state=Image.PENDING)
    waiting = asyncio.ensure_future(api.stub.WaitImage(wait_request(image.name, 30_000), timeout=40))
    await looks(api, 1)
    api.rooms.catalog.change(image, Image.FAILED)
    await nats.restart()
    assert (await asyncio.wait_for(waiting, 20)).image.state == Image.FAILED
    assert api.running.failed() == []


async def test_when_the_time_is_up_the_image_comes_as_it_is(api: Ingest) -> None:
    image = api.rooms.catalog.add(state=Image.PROCESSING)
    for timeout_ms in (0, 20):
        answer = await api.stub.WaitImage(wait_request(image.name, timeout_ms), timeout=10)
        assert answer.image.state == Image.PROCESSING


@pytest.mark.parametrize("timeout_ms", [-1, 60_001])
async def test_a_wait_outside_its_range_is_refused(api: Ingest, timeout_ms: int) -> None:
    error = statuses.from_rpc_error(
        await broken_off(api.stub.WaitImage(wait_request("images/1", timeout_ms), timeout=10))
    )
    assert (error.reason, error.metadata) == (Reason.INVALID_FIELD, {"field": "timeout"})


async def test_without_a_time_a_wait_has_thirty_seconds(api: Ingest) -> None:
    image = api.rooms.catalog.add(state=Image.PROCESSED)
    assert (await api.stub.WaitImage(wait_request(image.name), timeout=10)).image == image


@pytest.mark.parametrize("name", ["images/7", "images/0190-nobody"])
async def test_an_image_that_is_not_there_is_not_found(api: Ingest, name: str) -> None:
    watch = api.stub.WatchImage(ingest_pb2.WatchImageRequest(name=name), timeout=10)
    for call in (api.stub.WaitImage(wait_request(name), timeout=10), watch):
        error = await broken_off(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert statuses.from_rpc_error(error).reason == Reason.IMAGE_NOT_FOUND


async def test_watching_sees_every_change_and_the_last_one_says_so(api: Ingest, queue: WorkQueue) -> None:
    catalog = api.rooms.catalog
    image = catalog.add(state=Image.PENDING)
    watching = aiter(api.stub.WatchImage(ingest_pb2.WatchImageRequest(name=image.name), timeout=30))
    seen = [await anext(watching)]
    for state in (Image.PROCESSING, Image.PROCESSED):
        catalog.change(image, state)
        await queue.announce(topic_of(image.name), b"changed")
        seen.append(await asyncio.wait_for(anext(watching), 10))
    assert [answer.image.state for answer in seen] == [Image.PENDING, Image.PROCESSING, Image.PROCESSED]
    assert [answer.final for answer in seen] == [False, False, True]
    with pytest.raises(StopAsyncIteration):
        await anext(watching)


async def test_watching_ends_when_the_process_drains(api: Ingest) -> None:
    image = api.rooms.catalog.add(state=Image.PENDING)
    call = api.stub.WatchImage(ingest_pb2.WatchImageRequest(name=image.name), timeout=30)
    await looks(api, 1)
    draining = asyncio.create_task(api.running.drain())
    error = statuses.from_rpc_error(await broken_off(call))
    assert error.reason == Reason.DRAINING
    await asyncio.wait_for(draining, 5)


async def test_waiting_ends_when_the_process_drains(api: Ingest) -> None:
    image = api.rooms.catalog.add(state=Image.PENDING)
    waiting = asyncio.ensure_future(api.stub.WaitImage(wait_request(image.name, 30_000), timeout=40))
    await looks(api, 1)
    draining = asyncio.create_task(api.running.drain())
    assert (await asyncio.wait_for(waiting, 5)).image.state == Image.PENDING
    await asyncio.wait_for(draining, 5)


async def test_calls_that_wait_are_bounded(make_ingest: MakeIngest) -> None:
    api = await make_ingest("api", ingest_max_watchers=1)
    image = api.rooms.catalog.add(state=Image.PENDING)
    first = api.stub.WatchImage(ingest_pb2.WatchImageRequest(name=image.name), timeout=30)
    await anext(aiter(first))
    error = await broken_off(api.stub.WaitImage(wait_request(image.name), timeout=10))
    assert statuses.from_rpc_error(error).reason == Reason.OVERLOADED
    first.cancel()


@pytest.mark.parametrize("reason", [Reason.STORE_UNAVAILABLE, Reason.INVALID_NAME], ids=["away", "name"])
async def test_what_the_catalog_says_goes_to_the_caller(
    api: Ingest, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    api.rooms.catalog.failures.append(UnavailableError(reason, "As the catalog says."))
    error = statuses.from_rpc_error(
        await broken_off(api.stub.WaitImage(wait_request("images/x"), timeout=10))
    )
    assert (error.reason, error.message) == (reason, "As the catalog says.")
