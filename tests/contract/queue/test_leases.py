"""What a worker does with a message in hand."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.runtime.queue.port import LaneState, Lease, Message, WorkQueue
from tests.contract.queue.work import SLACK_S, comes_nothing, lane, messages, state, take
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


async def test_messages_come_in_order_with_their_headers_and_go_when_done(queue: WorkQueue) -> None:
    await queue.open_lane(lane())
    for n in range(5):
        await queue.publish(lane(), Message(b"\x00\xff", f"id{n}", {"x-request-id": f"r{n} ü"}), 5.0)
    async with queue.lease([lane()], 1) as puller:
        for n in range(5):
            lease = await take(puller)
            assert (lease.message_id, lease.payload, lease.deliveries) == (f"id{n}", b"\x00\xff", 1)
            assert lease.headers == {"x-request-id": f"r{n} ü"}
            assert lease.lane == lane()
            await lease.done()
            await lease.done()
    assert await state(queue, lane()) == LaneState(0, 0, 0, paused=False)


async def test_a_lease_without_heartbeat_comes_again_and_one_with_does_not(
    queue: WorkQueue, other: WorkQueue
) -> None:
    one = lane(ack_wait_s=0.6)
    await queue.open_lane(one)
    await queue.publish(one, messages(1)[0], 5.0)
    async with queue.lease([one], 1) as mine, other.lease([one], 1) as theirs:
        lease: Lease
        lease, waiting = await _first(mine.__anext__(), theirs.__anext__())
        for _ in range(8):
            await lease.heartbeat()
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done, "The lease was given to another in spite of its heartbeats."
        again = await asyncio.wait_for(waiting, 0.6 + SLACK_S)
        assert (again.message_id, again.deliveries) == ("m0", 2)
        await again.done()


async def _first(*iterators: object) -> tuple[Lease, asyncio.Task[Lease]]:
    tasks = [asyncio.ensure_future(one) for one in iterators]  # type: ignore[call-overload]
    done, rest = await asyncio.wait(tasks, timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result(), rest.pop()


async def test_a_slow_worker_keeps_its_own_lease_and_does_not_work_twice(queue: WorkQueue) -> None:
    one = lane(ack_wait_s=0.3)
    await queue.open_lane(one)
    await queue.publish(one, messages(1)[0], 5.0)
    async with queue.lease([one], 4) as puller:
        lease = await take(puller)
        assert await comes_nothing(puller, 1.5)
        assert puller.in_hand == 1
        assert lease.deliveries > 1
        await lease.done()
    assert await state(queue, one) == LaneState(0, 0, 0, paused=False)


async def test_retry_waits_its_delay_and_counts(queue: WorkQueue) -> None:
    await queue.open_lane(lane())
    await queue.publish(lane(), messages(1)[0], 5.0)
    async with queue.lease([lane()], 2) as puller:
        first = await take(puller)
        start_s = time.monotonic()
        await first.retry(0.8)
        second = await take(puller)
        assert 0.8 <= time.monotonic() - start_s < 0.8 + SLACK_S
        assert (second.message_id, second.deliveries) == ("m0", 2)
        await second.retry(0.0)
        third = await take(puller, SLACK_S)
        assert third.deliveries == 3
        await third.done()


async def test_a_dropped_message_never_comes_again(queue: WorkQueue) -> None:
    await queue.open_lane(lane())
    await queue.publish_many(lane(), messages(2), 5.0)
    async with queue.lease([lane()], 1) as puller:
        await (await take(puller)).drop("does not\nparse")
        lease = await take(puller)
        assert lease.message_id == "m1"
        await lease.done()
        assert await comes_nothing(puller, 1.2)
    assert await state(queue, lane()) == LaneState(0, 0, 0, paused=False)


async def test_work_that_ends_after_its_lane_was_closed_is_settled_in_peace(
    queue: WorkQueue, other: WorkQueue
) -> None:
    await queue.open_lane(lane())
    await queue.publish(lane(), messages(1)[0], 5.0)
    async with other.lease([lane()], 1) as puller:
        lease = await take(puller)
        await queue.close_lane(lane())
        await lease.heartbeat()
        await lease.done(timeout_s=2.0)
        assert puller.in_hand == 0


async def test_work_that_ends_after_the_store_was_lost_removes_no_other_message(
    queue: WorkQueue, server: NatsServer
) -> None:
    await queue.open_lane(lane())
    await queue.publish(lane(), messages(1, "old")[0], 5.0)
    async with queue.lease([lane()], 2) as puller:
        old = await take(puller)
        await server.wipe()
        await queue.publish(lane(), messages(1, "new")[0], 10.0)
        new = await take(puller)
        await old.done()
        assert (await state(queue, lane())).in_flight == 1
        await new.done()
    assert (await state(queue, lane())).in_flight == 0


async def test_settling_while_the_broker_is_away_is_done_when_it_is_back(
    queue: WorkQueue, server: NatsServer
) -> None:
    await queue.open_lane(lane())
    await queue.publish(lane(), messages(1)[0], 5.0)
    async with queue.lease([lane()], 1) as puller:
        lease = await take(puller)
        server.kill()
        settling = asyncio.create_task(lease.done(10.0))
        await server.start()
        await settling

    async def is_gone() -> bool:
        return await state(queue, lane()) == LaneState(0, 0, 0, paused=False)

    await until(is_gone, "the message is gone")


@pytest.mark.parametrize("name", ["Nats-Msg-Id", "nats-schedule"])
def test_the_brokers_own_headers_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="broker"):
        Message(b"", "id", {name: "x"})
