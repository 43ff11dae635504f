"""One life of one connection to a NATS server: requests, answers, and the end of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.runtime.queue.options import QueueOptions

_LOG = logging.getLogger(__name__)
QUEUE_FULL = 10077
_STREAM_NOT_FOUND = 10059
_POLL_S = 0.25
_CLOSE_S = 1.0
_CANCEL_AGAIN_S = 0.1
_PENDING_BYTES = 16 * 1024 * 1024


class SessionLostError(Exception):
    """The connection ended while a call waited; a new session may serve it."""


# What a send may raise when the connection is going away.
LOST = (SessionLostError, OSError, nats.errors.Error)


class NoAnswererError(Exception):
    """Nobody serves the subject: no stream, no consumer, or the broker is still starting."""


class ApiError(Exception):
    """The broker refused. ``code`` is like an HTTP status, ``err_code`` is the broker's own number."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} (code {code}, err_code {err_code})")
        self.code = code
        self.err_code = err_code

    @property
    def is_passing(self) -> bool:
        """True when the same call may succeed in a moment: the broker starts, elects or was wiped."""
        return self.err_code == _STREAM_NOT_FOUND or (self.code == 503 and self.err_code != QUEUE_FULL)


class Session:
    """A connected client. ``epoch`` names the incarnation of the store: sequences of another mean nothing.

    The client's own reconnecting is off: it leaves requests of the old connection hanging, gives up on an
    authentication error for good, and sends what callers have long given up. A new session is simpler.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.epoch = ""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = client.new_inbox()
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = itertools.count()

    @property
    def is_live(self) -> bool:
        """False as soon as the connection is known to be gone."""
        return not self.lost.done() and self.client.is_connected

    async def request(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> Msg:
        """The answer to one message; the caller sets the deadline."""
        token = str(next(self._tokens))
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = answer
        try:
            await self.send(subject, body, reply=f"{self._inbox}.{token}", headers=headers)
            message = await answer
        finally:
            del self._waiting[token]
        if message.headers and message.headers.get("Status") == "503":
            raise NoAnswererError(subject)
        return message

    async def api(self, subject: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """One call of the broker's JSON API, ``subject`` without its ``$JS.API.``."""
        answer = await self.request(f"$JS.API.{subject}", json.dumps(body).encode() if body else b"")
        return read_answer(answer.data)

    async def send(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Sends without waiting for an answer."""
        if self.lost.done():
            raise SessionLostError(subject)
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        await self.client.publish(subject, body, reply=reply, headers=dict(headers) if headers else None)
        # The client swallows a cancellation that comes while it flushes; a deadline would be lost with it.
        if task and task.cancelling() > cancels:
            raise asyncio.CancelledError

    async def subscribe(self, subject: str, on_message: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Messages of ``subject`` go to ``on_message``, one after the other, until the session ends."""
        subscription = await self.client.subscribe(subject, cb=on_message)
        self._subscriptions.add(subscription)
        return subscription

    async def settle(self) -> None:
        """Returns when the broker knows every subscription made so far; the caller sets the deadline."""
        # A message to ourselves: the client's flush() may overtake a subscription that is not yet sent.
        token = str(next(self._tokens))
        echo = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            await self.send(f"{self._inbox}.{token}", b"")
            await echo
        finally:
            del self._waiting[token]

    def abort(self) -> None:
        """Ends what a client leaves behind that could not close in peace."""
        for subscription in list(self._subscriptions):
            subscription._stop_processing()  # noqa: SLF001  its public way needs a connection

    async def open(self) -> None:
        """Makes ready for answers."""
        await self.subscribe(f"{self._inbox}.*", self._on_answer)

    async def wait_lost(self) -> None:
        """Returns when the connection is gone."""
        # The client's callbacks do not come on every path, hence the look at its state.
        while self.is_live:
            await asyncio.wait([self.lost], timeout=_POLL_S)

    async def on_closed(self) -> None:
        """Called by the client."""
        self.lose()

    def lose(self) -> None:
        """Fails everything that waits for an answer."""
        if not self.lost.done():
            self.lost.set_result(None)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(SessionLostError())

    async def _on_answer(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer and not answer.done():
            answer.set_result(message)


def read_answer(data: bytes) -> dict[str, Any]:
    """The fields of a JSON answer; raises ``ApiError`` for a refusal."""
    answer: dict[str, Any] = json.loads(data)
    if error := answer.get("error"):
        raise ApiError(error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer


async def connect(options: QueueOptions) -> Session:
    """A new session; raises ``OSError`` (a timeout included) or ``nats.errors.Error``."""
    client = Client()
    session = Session(client)
    try:
        async with asyncio.timeout(options.connect_timeout_s):
            await client.connect(
                list(options.servers),
                token=options.token.get_secret_value() if options.token else None,
                name=options.client_name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=options.connect_timeout_s,
                ping_interval=options.ping_interval_s,
                pending_size=_PENDING_BYTES,
                flush_timeout=1.0,
                error_cb=_log_error,
                disconnected_cb=session.on_closed,
                closed_cb=session.on_closed,
            )
            await session.open()
    except BaseException:
        await disconnect(session)
        raise
    return session


async def disconnect(session: Session) -> None:
    """Ends the session within about a second, whatever state its socket is in."""
    session.lose()
    transport = getattr(session.client._transport, "_io_writer", None)  # noqa: SLF001  no public way to abort
    closing = asyncio.create_task(_close(session.client), name="queue disconnect")
    try:
        await asyncio.wait([closing], timeout=_CLOSE_S)
    finally:
        if transport is not None:
            transport.transport.abort()
        await end(closing)
        session.abort()
        await asyncio.sleep(0)


async def end(task: asyncio.Task[None]) -> None:
    """Cancels until the task is done: the client swallows a cancellation that comes while it flushes."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)


async def _close(client: Client) -> None:
    with contextlib.suppress(OSError, nats.errors.Error, AssertionError):
        await client.close()


async def _log_error(error: Exception) -> None:
    # Whoever waits hears of a broken connection by the session's end; anything else is a fault of ours.
    is_expected = isinstance(error, nats.errors.Error | OSError)
    _LOG.log(logging.DEBUG if is_expected else logging.ERROR, "NATS client: %s", error, exc_info=error)
