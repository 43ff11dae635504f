"""Publishing: stored, or said not to be."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError, UnavailableError
from services.runtime.queue import jetstream_layout
from services.runtime.queue.jetstream_queue import open_queue
from services.runtime.queue.options import QueueOptions
from services.runtime.queue.port import Message, WorkQueue
from tests.contract.queue.work import drain, lane, messages, state
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


async def test_the_same_id_is_stored_once(queue: WorkQueue, other: WorkQueue) -> None:
    await queue.open_lane(lane())
    for _ in range(3):
        await queue.publish_many(lane(), messages(20), 5.0)
        await other.publish(lane(), messages(1)[0], 5.0)
    assert (await state(queue, lane())).pending == 20


async def test_messages_wait_for_a_lane_that_is_opened_later(queue: WorkQueue) -> None:
    await queue.publish_many(lane(), messages(3), 5.0)
    await queue.open_lane(lane())
    assert (await state(queue, lane())).pending == 3


@pytest.mark.parametrize("moment_s", [0.01, 0.05, 0.12])
async def test_no_acknowledged_message_is_lost_when_the_broker_is_killed(
    queue: WorkQueue, server: NatsServer, moment_s: float
) -> None:
    await queue.open_lane(lane())
    stored: list[str] = []

    async def publish(message: Message) -> None:
        await queue.publish(lane(), message, 30.0)
        stored.append(message.message_id)

    publishing = asyncio.gather(*(publish(message) for message in messages(1500)))
    await until(lambda: len(stored) > 20, "publishing is under way")
    await asyncio.wait([publishing], timeout=moment_s)
    acknowledged = len(stored)
    assert not publishing.done()
    server.kill()
    await server.start()
    await publishing
    assert acknowledged < 1500
    ids = await drain(queue, lane())
    assert sorted(ids) == sorted(message.message_id for message in messages(1500))


async def test_what_waits_when_the_broker_is_killed_is_sent_again_at_once(
    server: NatsServer, options: QueueOptions
) -> None:
    queue = open_queue(replace(options, attempt_s=25.0))  # not because a try took too long
    try:
        await queue.open_lane(lane())
        publishing = asyncio.create_task(queue.publish_many(lane(), messages(1500), 30.0))

        async def is_under_way() -> bool:
            return (await state(queue, lane())).pending > 50

        await until(is_under_way, "publishing is under way")
        assert not publishing.done()
        await server.restart()
        await asyncio.wait_for(publishing, 15.0)
        assert (await state(queue, lane())).pending == 1500
    finally:
        await queue.close()


async def test_a_stream_that_was_removed_under_a_connection_is_made_again(queue: WorkQueue) -> None:
    await queue.open_lane(lane())
    session = await queue._connection.session()  # type: ignore[attr-defined]  # an administrator's hand
    await session.api(f"STREAM.DELETE.{jetstream_layout.STREAM}")
    await queue.publish(lane(), messages(1)[0], 5.0)
    assert (await state(queue, lane())).pending == 1


@pytest.mark.parametrize("how", ["dead", "frozen"])
async def test_without_a_broker_publishing_fails_by_its_deadline(
    queue: WorkQueue, server: NatsServer, how: str
) -> None:
    await queue.open_lane(lane())
    (server.kill if how == "dead" else server.freeze)()
    big = [Message(bytes(200_000), f"b{n}") for n in range(300)]
    for many in (messages(1), big):
        start_s = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            await queue.publish_many(lane(), many, 0.7)
        assert 0.6 < time.monotonic() - start_s < 1.5
        assert caught.value.reason == Reason.QUEUE_UNAVAILABLE
        assert caught.value.retry_after_s
    start_s = time.monotonic()
    with pytest.raises(UnavailableError):
        await queue.ping(0.3)
    assert time.monotonic() - start_s < 0.8


async def test_waiting_for_a_slot_counts_against_the_deadline(
    server: NatsServer, options: QueueOptions
) -> None:
    queue = open_queue(replace(options, window=1))
    try:
        await queue.ping(5.0)
        server.freeze()
        first = asyncio.create_task(queue.publish(lane(), messages(1)[0], 5.0))
        await asyncio.sleep(0)
        start_s = time.monotonic()
        with pytest.raises(UnavailableError):
            await queue.publish(lane(), messages(1)[0], 0.3)
        assert time.monotonic() - start_s < 1.0
        server.thaw()
        await first
    finally:
        await queue.close()


async def test_a_frozen_broker_that_goes_on_gets_what_waited(queue: WorkQueue, server: NatsServer) -> None:
    await queue.open_lane(lane())
    server.freeze()
    publishing = asyncio.create_task(queue.publish_many(lane(), messages(50), 10.0))
    with pytest.raises(UnavailableError):
        await queue.ping(1.5)
    server.thaw()
    await publishing
    assert (await state(queue, lane())).pending == 50


async def test_a_broker_that_comes_later_is_found(server: NatsServer, options: QueueOptions) -> None:
    server.kill()
    queue = open_queue(options)
    try:
        with pytest.raises(UnavailableError):
            await queue.ping(0.3)
        await server.start()
        await queue.ping(3.0)
    finally:
        await queue.close()


async def test_a_wrong_token_is_logged_and_never_shown(
    server: NatsServer, options: QueueOptions, caplog: pytest.LogCaptureFixture
) -> None:
    right, server.token = server.token, "another"
    await server.restart()
    queue = open_queue(options)
    try:
        with pytest.raises(UnavailableError) as caught:
            await queue.ping(0.5)
        assert "Authorization Violation" in caplog.text
        assert "Authorization Violation" in repr(caught.value.__cause__)
        for text in (caplog.text, repr(caught.value.__cause__), str(caught.value)):
            assert right not in text
        assert "127.0.0.1" not in str(caught.value)
        server.token = right
        await server.restart()
        await queue.ping(3.0)
    finally:
        await queue.close()


async def test_a_cancelled_publish_leaves_nothing_behind(queue: WorkQueue, server: NatsServer) -> None:
    server.freeze()
    publishing = asyncio.create_task(queue.publish_many(lane(), messages(500), 30.0))
    await asyncio.wait([publishing], timeout=0.2)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(publishing, 2.0)
    server.thaw()
    await queue.publish_many(lane(), messages(500), 10.0)  # the slots are free again


@pytest.mark.parametrize("size_bytes", [262_145, 1_500_000])
async def test_a_message_that_is_too_large_is_refused(queue: WorkQueue, size_bytes: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await queue.publish(lane(), Message(bytes(size_bytes), "big"), 5.0)
    assert caught.value.reason == Reason.INVALID_FIELD
    await queue.ping(5.0)


async def test_a_full_queue_refuses_at_once(
    server: NatsServer, options: QueueOptions, tmp_path: object
) -> None:
    small = dict(jetstream_layout._stream_config(1), max_msgs=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jetstream_layout, "_stream_config", lambda _: small)
        queue = open_queue(options)
        try:
            await queue.publish_many(lane(), messages(10), 5.0)
            with pytest.raises(ResourceExhaustedError) as caught:
                await queue.publish_many(lane(), messages(10, "more"), 5.0)
            assert caught.value.reason == Reason.OVERLOADED
            assert caught.value.retry_after_s
        finally:
            await queue.close()
