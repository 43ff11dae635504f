"""What the catalog says is unfinished is queued again, if the queue knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from services.ingest import reconciler as reconciler_module
from services.ingest.intake import UPLOADS, work_message
from services.ingest.reconciler import Reconciler
from services.runtime.channels import open_channel
from services.runtime.queue.port import LaneState, WorkQueue
from sightmill.v1 import catalog_pb2_grpc
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import Image, Ingest, lane_becomes, photo
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


@pytest.fixture
async def reconciler(api: Ingest, queue: WorkQueue) -> AsyncIterator[Reconciler]:
    async with open_channel(api.rooms.catalog_room.address, 10_000_000) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        yield Reconciler(queue, catalog, interval_s=3_600, after_s=15)


def lane(pending: int) -> LaneState:
    return LaneState(pending=pending, in_flight=0, exhausted=0, paused=False)


async def test_unfinished_images_are_queued_again_once(
    api: Ingest, reconciler: Reconciler, queue: WorkQueue
) -> None:
    catalog = api.rooms.catalog
    for state in (Image.PENDING, Image.PROCESSING, Image.PROCESSED, Image.FAILED, Image.STORED):
        catalog.add(state=state)
    young = catalog.add(state=Image.PENDING)
    young.create_time.FromSeconds(int(time.time()))
    assert await reconciler.reconcile() == 2
    await lane_becomes(queue, lane(2), "both are queued")
    assert await reconciler.reconcile() == 0, "messages are pending"


async def test_nothing_is_done_while_messages_are_there(
    api: Ingest, reconciler: Reconciler, queue: WorkQueue
) -> None:
    api.rooms.catalog.add(state=Image.PENDING)
    await queue.publish(UPLOADS, work_message("images/other", "m1"), timeout_s=5)
    assert await reconciler.reconcile() == 0
    async with queue.lease([UPLOADS], 1) as puller:
        lease = await anext(puller)
        assert await reconciler.reconcile() == 0, "a message in work is one, too"
        await lease.done()
    await lane_becomes(queue, lane(0), "the lane is empty")
    assert await reconciler.reconcile() == 1


async def test_workers_that_reconcile_at_the_same_time_queue_once(
    api: Ingest, reconciler: Reconciler, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler_module, "ROUND_S", 10**9)
    image = api.rooms.catalog.add(state=Image.PENDING)
    assert await reconciler.reconcile() == 1
    await queue.publish(UPLOADS, work_message(image.name, f"{image.name}.1"), timeout_s=5)
    await lane_becomes(queue, lane(1), "the second message was the first one's twin")


async def test_a_lane_that_is_not_open_is_left_alone(
    api: Ingest, reconciler: Reconciler, queue: WorkQueue
) -> None:
    api.rooms.catalog.add(state=Image.PENDING)
    await queue.close_lane(UPLOADS)
    assert await reconciler.reconcile() == 0


async def test_images_of_a_store_that_was_wiped_are_processed(
    make_ingest: MakeIngest, nats: NatsServer
) -> None:
    api = await make_ingest("api")
    image = await api.upload_one(photo())
    api.rooms.catalog.only().create_time.FromSeconds(1)
    await nats.wipe()
    worker = await make_ingest("worker", ingest_reconcile_interval_s=0.05, ingest_reconcile_after_s=0.05)
    assert (await api.final(image.name)).state == Image.PROCESSED
    assert worker.running.failed() == []


async def test_a_catalog_that_is_away_ends_nothing(make_ingest: MakeIngest) -> None:
    worker = await make_ingest("worker", ingest_reconcile_interval_s=0.01)
    catalog, room = worker.rooms.catalog, worker.rooms.catalog_room
    await until(lambda: "ListImages" in catalog.calls, "it reconciles")
    await room.kill()
    await room.start()
    catalog.calls.clear()
    await until(lambda: "ListImages" in catalog.calls, "it reconciles again")
    assert worker.running.failed() == []
