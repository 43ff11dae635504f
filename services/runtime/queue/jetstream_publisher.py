"""Publishes work so that it is stored, or says that it may not be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import nats.errors

from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError
from services.runtime.queue.jetstream_connection import Connection
from services.runtime.queue.jetstream_layout import MESSAGE_MAX_BYTES, work_subject
from services.runtime.queue.jetstream_session import QUEUE_FULL, ApiError, Session, read_answer
from services.runtime.queue.port import Lane, Message

_MESSAGE_TOO_LARGE = 10054


class Publisher:
    """Pipelined publishing: up to ``window`` messages wait for their answer at once.

    An unanswered message is sent again with the same id, on a new connection too, so that the broker stores
    it once.
    """

    def __init__(self, connection: Connection, window: int) -> None:
        self._connection = connection
        self._window = window
        self._slots = asyncio.Semaphore(window)

    async def publish(self, lane: Lane, message: Message, timeout_s: float) -> None:
        """Returns when the message is stored."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise self._connection.unavailable() from error
        try:
            await self._store(lane, message, deadline_s - loop.time())
        finally:
            self._slots.release()

    async def publish_many(self, lane: Lane, messages: Iterable[Message], timeout_s: float) -> None:
        """Returns when all are stored; the first error ends the rest."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        waiting = deque(messages)

        async def drain() -> None:
            while waiting:
                await self.publish(lane, waiting.popleft(), deadline_s - loop.time())

        tasks = [asyncio.create_task(drain()) for _ in range(min(self._window, len(waiting)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _store(self, lane: Lane, message: Message, timeout_s: float) -> None:
        headers = {**message.headers, "Nats-Msg-Id": message.message_id}
        subject = work_subject(lane)

        async def attempt(session: Session) -> None:
            answer = await session.request(subject, message.payload, headers)
            read_answer(answer.data)

        try:
            await self._connection.call(attempt, timeout_s)
        except nats.errors.MaxPayloadError as error:
            raise _too_large() from error
        except ApiError as error:
            raise _refusal(error) from error


def _too_large() -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_FIELD,
        f"A work message has at most {MESSAGE_MAX_BYTES} bytes, headers included. Send less in one message.",
        limit_bytes=MESSAGE_MAX_BYTES,
    )


def _refusal(error: ApiError) -> Exception:
    if error.err_code == _MESSAGE_TOO_LARGE:
        return _too_large()
    if error.err_code == QUEUE_FULL:
        return ResourceExhaustedError(
            Reason.OVERLOADED,
            "The work queue is full. Wait until the workers have taken some of it.",
            retry_after_s=5.0,
        )
    return error
