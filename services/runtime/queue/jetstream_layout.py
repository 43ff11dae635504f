"""What exists on the broker: one stream, and one durable consumer a lane. Made again when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from services.runtime.queue.jetstream_session import ApiError, Session
from services.runtime.queue.port import Lane

STREAM = "WORK"
MESSAGE_MAX_BYTES = 262_144
_NS = 1_000_000_000
_OTHER_CONFIG = 10058
_FOR_EVER = "9999-12-31T23:59:59Z"
_AT_ONCE = 32


def work_subject(lane: Lane) -> str:
    """Where the lane's messages are stored."""
    return f"work.{lane.class_}.{lane.name}"


def wake_subject(lane: Lane) -> str:
    """Where the broker says that the lane got a message."""
    return f"wake.{lane.class_}.{lane.name}"


def consumer_name(lane: Lane) -> str:
    """The lane's durable consumer."""
    return f"w_{lane.name}"


class Layout:
    """Remembers the lanes that this process opened, so that a store that was lost gets them again."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self._epoch = ""
        self._open: dict[str, tuple[Lane, bool]] = {}
        self._lock = asyncio.Lock()

    async def prepare(self, session: Session) -> None:
        """Makes the stream where it is missing and, in a store that is new, the open lanes."""
        async with self._lock:
            session.epoch = (await self._ensure_stream(session))["created"]
            if session.epoch == self._epoch:
                return
            gate = asyncio.Semaphore(_AT_ONCE)

            async def create(lane: Lane, *, paused: bool) -> None:
                async with gate:
                    await self._create(session, lane, paused=paused)

            await asyncio.gather(*(create(lane, paused=paused) for lane, paused in self._open.values()))
            self._epoch = session.epoch

    async def open(self, session: Session, lane: Lane) -> None:
        """Creates or updates a lane. The broker keeps a pause over an update."""
        answer = await self._create(session, lane, paused=False)
        self._open[lane.name] = (lane, bool(answer.get("paused")))

    async def close(self, session: Session, lane: Lane) -> None:
        """Removes a lane with its messages."""
        self._open.pop(lane.name, None)
        try:
            await session.api(f"CONSUMER.DELETE.{STREAM}.{consumer_name(lane)}")
        except ApiError as error:
            if error.code != 404:
                raise
        await session.api(f"STREAM.PURGE.{STREAM}", {"filter": work_subject(lane)})

    async def pause(self, session: Session, lane: Lane, *, paused: bool) -> None:
        """Stops or restarts the deliveries of a lane."""
        until = _FOR_EVER if paused else "1970-01-01T00:00:00Z"
        await session.api(f"CONSUMER.PAUSE.{STREAM}.{consumer_name(lane)}", {"pause_until": until})
        if lane.name in self._open:
            self._open[lane.name] = (lane, paused)

    async def _ensure_stream(self, session: Session) -> dict[str, Any]:
        config = _stream_config(self._replicas)
        try:
            return await session.api(f"STREAM.CREATE.{STREAM}", config)
        except ApiError as error:
            if error.err_code != _OTHER_CONFIG:
                raise
            return await session.api(f"STREAM.UPDATE.{STREAM}", config)

    async def _create(self, session: Session, lane: Lane, *, paused: bool) -> dict[str, Any]:
        return await session.api(
            f"CONSUMER.CREATE.{STREAM}.{consumer_name(lane)}.{work_subject(lane)}",
            {"stream_name": STREAM, "config": _consumer_config(lane, paused=paused)},
        )


def lane_of(config: Mapping[str, Any]) -> Lane:
    """The lane that a consumer's configuration describes."""
    _, class_, name = config["filter_subject"].split(".")
    return Lane(
        class_=class_,
        name=name,
        weight=int(config["metadata"]["weight"]),
        max_in_flight=config["max_ack_pending"],
        ack_wait_s=config["ack_wait"] / _NS,
        max_deliveries=config["max_deliver"],
    )


def _stream_config(replicas: int) -> dict[str, object]:
    # Bounded by messages: a byte bound of this size makes blocks of 8 MB, which are re-read per message.
    # Scheduled messages would need `discard: old`, which loses work when the queue is full.
    return {
        "name": STREAM,
        "subjects": ["work.*.*"],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "max_msgs": 200_000,
        "max_bytes": -1,
        "max_msg_size": MESSAGE_MAX_BYTES,
        "duplicate_window": 120 * _NS,
        "allow_msg_ttl": True,
        "num_replicas": replicas,
        # Idle pullers hear of new work at once without a pull waiting on every lane, which would take slots.
        "republish": {
            "src": "work.*.*",
            "dest": "wake.{{wildcard(1)}}.{{wildcard(2)}}",
            "headers_only": True,
        },
    }


def _consumer_config(lane: Lane, *, paused: bool) -> dict[str, object]:
    config: dict[str, object] = {
        "name": consumer_name(lane),
        "durable_name": consumer_name(lane),
        "filter_subject": work_subject(lane),
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "ack_wait": int(lane.ack_wait_s * _NS),
        "max_deliver": lane.max_deliveries,
        "max_ack_pending": lane.max_in_flight,
        "metadata": {"weight": str(lane.weight)},
    }
    return config | ({"pause_until": _FOR_EVER} if paused else {})
