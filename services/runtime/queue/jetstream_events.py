"""Lossy events over core NATS."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator

from nats.aio.msg import Msg

from services.runtime.errors import UnavailableError
from services.runtime.queue.jetstream_connection import Connection
from services.runtime.queue.jetstream_session import LOST, Session, end
from services.runtime.queue.port import Event

_TOPIC = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(r"(([A-Za-z0-9_-]+|\*)\.)*([A-Za-z0-9_-]+|\*|>)")
_PREFIX = "event."
_PAYLOAD_MAX_BYTES = 65_536
_SETTLE_S = 2.0
_RETRY_S = 0.05
_GAP = Event("", b"")


async def announce(connection: Connection, topic: str, payload: bytes) -> None:
    """Sends an event if there is a connection right now."""
    if not _TOPIC.fullmatch(topic) or len(payload) > _PAYLOAD_MAX_BYTES:
        raise ValueError(f"Event {topic!r}: words of A-Z a-z 0-9 _ - with dots, at most 64 KiB.")
    if session := connection.now:
        with contextlib.suppress(*LOST):
            await session.send(f"{_PREFIX}{topic}", payload)


class Listener:
    """Iterates over events; a slow one loses the oldest, and is told so by a gap."""

    def __init__(self, connection: Connection, topic_pattern: str, buffer: int = 1024) -> None:
        if not _PATTERN.fullmatch(topic_pattern):
            raise ValueError(f"{topic_pattern!r} is no pattern: words or * with dots, > at the end only.")
        self._connection = connection
        self._subject = f"{_PREFIX}{topic_pattern}"
        self._events: deque[Event] = deque()
        self._buffer = buffer
        self._arrived = asyncio.Event()
        self._listening = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="queue listener")

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._task.done():
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()

    async def wait_listening(self, timeout_s: float) -> None:
        """Returns when nothing that is announced from now on is missed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._listening.wait()
        except TimeoutError as error:
            raise self._connection.unavailable() from error

    async def close(self) -> None:
        """Ends the iteration."""
        await end(self._task)

    async def _run(self) -> None:
        try:
            while True:
                session = await self._connection.session()
                with contextlib.suppress(*LOST):
                    await self._serve(session)
                await asyncio.sleep(_RETRY_S)
        except UnavailableError:
            return  # the connection was closed: the iteration ends
        finally:
            self._listening.set()
            self._arrived.set()

    async def _serve(self, session: Session) -> None:
        subscription = await session.subscribe(self._subject, self._on_message)
        try:
            async with asyncio.timeout(_SETTLE_S):
                await session.settle()
            if self._listening.is_set():
                self._put(_GAP)
            self._listening.set()
            await asyncio.wait([session.lost])
        finally:
            with contextlib.suppress(*LOST):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        self._put(Event(message.subject.removeprefix(_PREFIX), message.data))

    def _put(self, event: Event) -> None:
        if len(self._events) >= self._buffer:
            # The gap takes the place of the oldest two, so that the buffer keeps its bound.
            self._events.popleft()
            self._events[0] = _GAP
        self._events.append(event)
        self._arrived.set()
