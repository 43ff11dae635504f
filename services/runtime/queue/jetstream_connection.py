"""Keeps one session to the broker alive and runs calls on it until their deadline."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors

from services.runtime.errors import Reason, UnavailableError
from services.runtime.queue.jetstream_session import (
    ApiError,
    NoAnswererError,
    Session,
    SessionLostError,
    connect,
    disconnect,
    end,
)
from services.runtime.queue.options import QueueOptions

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0
_PREPARE_S = 30.0

# A try that ends so may succeed when it is made again. OSError includes TimeoutError.
_PASSING = (SessionLostError, NoAnswererError, OSError, nats.errors.ConnectionClosedError,
            nats.errors.OutboundBufferLimitError)  # fmt: skip


class Connection:
    """Connects, connects again for ever, and hands the current session out.

    ``prepare`` runs on each session before anybody gets it, and again when the broker misses what it made.
    """

    def __init__(self, options: QueueOptions, prepare: Callable[[Session], Awaitable[None]]) -> None:
        self._options = options
        self._prepare = prepare
        self._current: Session | None = None
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to connect; does not wait for it."""
        self._task = asyncio.create_task(self._keep_connected(), name="queue connection")

    async def close(self) -> None:
        """Ends the session; whoever waits for one gets ``UnavailableError``."""
        self._closed = True
        if self._task:
            await end(self._task)
        async with self._changed:
            self._changed.notify_all()

    @property
    def now(self) -> Session | None:
        """The session, or None while there is none."""
        return self._current if self._current and self._current.is_live else None

    async def session(self) -> Session:
        """The session, as soon as there is one; the caller sets the deadline."""
        async with self._changed:
            while not (session := self.now):
                if self._closed:
                    raise self.unavailable() from self._failure
                await self._changed.wait()
        return session

    async def call(self, attempt: Callable[[Session], Awaitable[_T]], timeout_s: float) -> _T:
        """The result of ``attempt``, tried until it works or the deadline passes.

        Raises ``UnavailableError`` after ``timeout_s``; other errors of ``attempt`` come through at once.
        """
        wait_s = _FIRST_WAIT_S
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    session = await self.session()
                    try:
                        async with asyncio.timeout(self._options.attempt_s):
                            return await attempt(session)
                    except _PASSING as error:
                        await self._recover(session, error)
                    except ApiError as error:
                        if not error.is_passing:
                            raise
                        await self._recover(session, error)
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        except TimeoutError as error:
            raise self.unavailable() from self._failure or error

    def unavailable(self) -> UnavailableError:
        """What to raise for a caller who waited in vain; what went wrong is in the log and in the cause."""
        return UnavailableError(
            Reason.QUEUE_UNAVAILABLE, "The work queue does not answer. Try again later.", retry_after_s=2.0
        )

    async def _recover(self, session: Session, error: Exception) -> None:
        if session.lost.done():
            return
        self._failure = error
        if isinstance(error, NoAnswererError | ApiError):
            try:
                await self._prepare(session)
            except (*_PASSING, ApiError) as failure:
                self._failure = failure

    async def _keep_connected(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                session = await connect(self._options)
            except (OSError, nats.errors.Error) as error:
                self._note_failure(error)
            else:
                await self._serve(session)
                if self._current is session:
                    wait_s = _FIRST_WAIT_S
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _serve(self, session: Session) -> None:
        try:
            async with asyncio.timeout(_PREPARE_S):
                await self._prepare(session)
            async with self._changed:
                self._current = session
                self._changed.notify_all()
            _LOG.info("The work queue is connected.")
            await session.wait_lost()
            self._note_failure(SessionLostError("the connection was lost"))
        except (*_PASSING, ApiError) as error:
            self._note_failure(error)
        finally:
            await disconnect(session)

    def _note_failure(self, error: Exception) -> None:
        if repr(error) != repr(self._failure):
            _LOG.warning("The work queue is not connected: %r", error)
        self._failure = error
