"""Opening, closing, pausing and counting of lanes."""

from __future__ import annotations

import pytest

from services.runtime.errors import FailedPreconditionError, Reason
from services.runtime.queue.port import Lane, LaneState, WorkQueue
from tests.contract.queue.work import comes_nothing, lane, messages, state, take
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


async def test_opening_twice_changes_the_weight_and_keeps_the_messages(queue: WorkQueue) -> None:
    await queue.open_lane(lane(weight=3))
    await queue.publish_many(lane(), messages(3), 5.0)
    await queue.open_lane(lane(weight=9))
    assert await queue.lanes() == [lane(weight=9)]
    assert await state(queue, lane()) == LaneState(pending=3, in_flight=0, exhausted=0, paused=False)


async def test_closing_removes_the_messages_and_may_be_repeated(queue: WorkQueue) -> None:
    await queue.open_lane(lane())
    await queue.publish_many(lane(), messages(3), 5.0)
    await queue.close_lane(lane())
    await queue.close_lane(lane())
    assert await queue.lane_state(lane()) is None
    await queue.open_lane(lane())
    assert (await state(queue, lane())).pending == 0


async def test_all_lanes_are_listed_over_several_pages(queue: WorkQueue, other: WorkQueue) -> None:
    opened = {lane(f"batch-{n}") for n in range(300)}
    for one in opened:
        await queue.open_lane(one)
    assert set(await other.lanes()) == opened


async def test_a_paused_lane_delivers_nothing_until_it_is_resumed(queue: WorkQueue, other: WorkQueue) -> None:
    await queue.open_lane(lane())
    await queue.pause_lane(lane())
    await queue.publish_many(lane(), messages(2), 5.0)
    async with other.lease([lane()], 4) as puller:
        assert await comes_nothing(puller, 1.2)
        assert (await state(queue, lane())).paused
        await queue.open_lane(lane())  # opening is no resuming
        assert (await state(queue, lane())).paused
        await queue.resume_lane(lane())
        lease = await take(puller, 0.5)
        assert lease.message_id == "m0"
        await queue.pause_lane(lane())
        await lease.done()  # work in hand may be finished
    left = await state(queue, lane())
    assert left.pending + left.in_flight == 1


async def test_a_pause_survives_a_killed_broker(queue: WorkQueue, server: NatsServer) -> None:
    await queue.open_lane(lane())
    await queue.publish_many(lane(), messages(1), 5.0)
    await queue.pause_lane(lane())
    await server.restart()
    assert (await state(queue, lane())).paused


async def test_a_lane_that_is_not_open_is_neither_paused_nor_resumed_in_silence(queue: WorkQueue) -> None:
    for call in (queue.pause_lane, queue.resume_lane):
        with pytest.raises(FailedPreconditionError) as caught:
            await call(lane())
        assert caught.value.reason == Reason.WRONG_STATE


async def test_a_lost_store_gets_its_stream_and_open_lanes_again(
    queue: WorkQueue, server: NatsServer
) -> None:
    for name in "abc":
        await queue.open_lane(lane(name))
    await queue.pause_lane(lane("b"))
    await queue.close_lane(lane("c"))
    await server.wipe()
    await queue.publish(lane("a"), messages(1)[0], 10.0)
    assert {one.name for one in await queue.lanes()} == {"a", "b"}
    assert (await state(queue, lane("b"))).paused
    assert (await state(queue, lane("a"))).pending == 1


async def test_what_used_up_its_deliveries_is_counted_and_blocks_nothing(queue: WorkQueue) -> None:
    one = lane(max_deliveries=2, max_in_flight=1)
    await queue.open_lane(one)
    await queue.publish_many(one, messages(2), 5.0)
    async with queue.lease([one], 1) as puller:
        for expected in (1, 2):
            lease = await take(puller)
            assert (lease.message_id, lease.deliveries) == ("m0", expected)
            await lease.retry(0.0)
        lease = await take(puller)
        assert lease.message_id == "m1"
        await lease.done()

    async def is_counted() -> bool:
        return await state(queue, one) == LaneState(0, 0, exhausted=1, paused=False)

    await until(is_counted, "the exhausted message is counted")


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "ä", "x" * 65])
def test_a_name_that_could_mean_another_lane_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lane name"):
        Lane("std", name, 3)
