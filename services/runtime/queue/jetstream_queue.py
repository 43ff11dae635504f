"""The work queue port over NATS JetStream.

Durability: a publish or a settlement returns after the server has written it; killing any process loses
nothing of that. Whether it outlives a power cut is the server's setting: with ``sync_interval: always``
(our embedded configuration) it does, with the server's default up to two minutes may be lost. Deduplication
remembers ids for 120 s, after a killed server only of messages that are still stored.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import TypeVar

from services.runtime.errors import FailedPreconditionError, Reason
from services.runtime.queue import jetstream_events
from services.runtime.queue.jetstream_connection import Connection
from services.runtime.queue.jetstream_layout import (
    STREAM,
    Layout,
    consumer_name,
    lane_of,
    wake_subject,
    work_subject,
)
from services.runtime.queue.jetstream_publisher import Publisher
from services.runtime.queue.jetstream_puller import JetStreamPuller
from services.runtime.queue.jetstream_session import LOST, ApiError, Session
from services.runtime.queue.options import QueueOptions
from services.runtime.queue.port import Event, Lane, LaneState, Message, Puller

_T = TypeVar("_T")


def open_queue(options: QueueOptions) -> JetStreamQueue:
    """A queue that begins to connect and goes on for ever; ``ping`` tells when it works."""
    return JetStreamQueue(options)


class JetStreamQueue:
    """See ``services.runtime.queue.port.WorkQueue``."""

    def __init__(self, options: QueueOptions) -> None:
        self._layout = Layout(options.replicas)
        self._connection = Connection(options, self._layout.prepare)
        self._publisher = Publisher(self._connection, options.window)
        self._connection.start()

    async def open_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Creates or updates the lane."""
        await self._connection.call(lambda session: self._layout.open(session, lane), timeout_s)

    async def close_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Removes the lane and all its messages."""
        await self._connection.call(lambda session: self._layout.close(session, lane), timeout_s)

    async def pause_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Stops deliveries."""
        await self._pause(lane, timeout_s, paused=True)

    async def resume_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Lets deliveries go on."""
        await self._pause(lane, timeout_s, paused=False)
        if session := self._connection.now:
            with contextlib.suppress(*LOST):
                await session.send(wake_subject(lane), b"")

    async def lanes(self, timeout_s: float = 10.0) -> list[Lane]:
        """Every open lane."""

        async def attempt(session: Session) -> list[Lane]:
            found: list[Lane] = []
            total = 1
            while len(found) < total:
                page = await session.api(f"CONSUMER.LIST.{STREAM}", {"offset": len(found)})
                total = page["total"] if page["consumers"] else 0
                found += [lane_of(consumer["config"]) for consumer in page["consumers"]]
            return found

        return await self._connection.call(attempt, timeout_s)

    async def lane_state(self, lane: Lane, timeout_s: float = 10.0) -> LaneState | None:
        """The lane's counts, or None."""

        async def attempt(session: Session) -> LaneState:
            # Counted before and after: what is settled or published meanwhile is not exhausted.
            before = await _stored(session, lane)
            info = await session.api(f"CONSUMER.INFO.{STREAM}.{consumer_name(lane)}")
            stored = min(before, await _stored(session, lane))
            pending, in_flight = info["num_pending"], info["num_ack_pending"]
            return LaneState(
                pending, in_flight, max(stored - pending - in_flight, 0), bool(info.get("paused"))
            )

        return await _or_none(self._connection.call(attempt, timeout_s))

    async def publish(self, lane: Lane, message: Message, timeout_s: float) -> None:
        """Returns when the message is stored."""
        await self._publisher.publish(lane, message, timeout_s)

    async def publish_many(self, lane: Lane, messages: Iterable[Message], timeout_s: float) -> None:
        """Returns when all are stored."""
        await self._publisher.publish_many(lane, messages, timeout_s)

    @contextlib.asynccontextmanager
    async def lease(self, lanes: Iterable[Lane], max_leases: int) -> AsyncIterator[Puller]:
        """Pulls while the context is open."""
        puller = JetStreamPuller(self._connection, lanes, max_leases)
        try:
            yield puller
        finally:
            await puller.stop()

    async def announce(self, topic: str, payload: bytes) -> None:
        """Tells whoever listens right now."""
        await jetstream_events.announce(self._connection, topic, payload)

    @contextlib.asynccontextmanager
    async def listen(
        self, topic_pattern: str, timeout_s: float = 10.0
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Events announced while the context is open."""
        listener = jetstream_events.Listener(self._connection, topic_pattern)
        try:
            await listener.wait_listening(timeout_s)
            yield listener
        finally:
            await listener.close()

    async def ping(self, timeout_s: float) -> None:
        """Returns when the broker answers and has its stream."""
        await self._connection.call(lambda session: session.api(f"STREAM.INFO.{STREAM}"), timeout_s)

    async def close(self) -> None:
        """Ends the connection."""
        await self._connection.close()

    async def _pause(self, lane: Lane, timeout_s: float, *, paused: bool) -> None:
        async def attempt(session: Session) -> bool:
            await self._layout.pause(session, lane, paused=paused)
            return True

        if await _or_none(self._connection.call(attempt, timeout_s)) is None:
            raise FailedPreconditionError(
                Reason.WRONG_STATE, f"Lane {lane.name} is not open; open it before it is paused or resumed."
            )


async def _or_none(call: Awaitable[_T]) -> _T | None:
    try:
        return await call
    except ApiError as error:
        if error.code == 404:
            return None
        raise


async def _stored(session: Session, lane: Lane) -> int:
    info = await session.api(f"STREAM.INFO.{STREAM}", {"subjects_filter": work_subject(lane)})
    subjects: dict[str, int] = info["state"].get("subjects") or {}
    return subjects.get(work_subject(lane), 0)
