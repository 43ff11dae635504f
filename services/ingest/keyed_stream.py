"""Many callers over one bidirectional stream: each sends a keyed item and awaits the answer with that key.

The stream is opened with the first item and again after a break. A break fails every item in flight; who
called decides whether to send it again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import grpc

from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import DeadlineError, Reason, ServiceError, UnavailableError


class Keyed(Protocol):
    """A message with a key."""

    @property
    def key(self) -> str: ...


Request = TypeVar("Request", bound=Keyed)
Response = TypeVar("Response", bound=Keyed)
_numbers = itertools.count()


class StreamBrokenError(UnavailableError):
    """The stream broke while the item was in flight: perhaps because of the item."""


def item_key() -> str:
    """A key that no other item of this process has; tells the other side's log which request it is for."""
    return f"{next(_numbers)}-{current_request_id()}"[:128]


@dataclass(slots=True)
class _Session(Generic[Request, Response]):
    # Bounded by the callers, each of whom waits for its own answer; None ends the stream.
    outgoing: asyncio.Queue[Request | None] = field(default_factory=asyncio.Queue)
    pending: dict[str, asyncio.Future[Response]] = field(default_factory=dict)
    reader: asyncio.Task[None] | None = None
    connected: bool = False
    broken: bool = False


class KeyedStream(Generic[Request, Response]):
    """``open_call`` is the method of a stub: it takes the stream of requests and gives the call."""

    def __init__(self, open_call: Callable[[AsyncIterator[Request]], Any]) -> None:
        self._open_call = open_call
        self._session: _Session[Request, Response] | None = None

    async def call(self, request: Request, timeout_s: float) -> Response:
        """Sends one item and returns its answer.

        Raises StreamBrokenError when the stream breaks first, UnavailableError when it cannot be opened,
        DeadlineError when the time is up.
        """
        session = self._current()
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        session.pending[request.key] = answer
        session.outgoing.put_nowait(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise DeadlineError(Reason.DEADLINE, f"No answer within {timeout_s:g} seconds.") from None
        finally:
            session.pending.pop(request.key, None)

    async def close(self) -> None:
        """Ends the stream; items in flight fail."""
        session, self._session = self._session, None
        if session and session.reader:
            session.reader.cancel()
            with suppress(asyncio.CancelledError):
                await session.reader

    def _current(self) -> _Session[Request, Response]:
        if self._session is None or self._session.broken:
            session: _Session[Request, Response] = _Session()
            # A context of its own: the stream belongs to no single request.
            session.reader = asyncio.create_task(self._read(session), context=Context())
            self._session = session
        return self._session

    async def _read(self, session: _Session[Request, Response]) -> None:
        fault: Exception | None = None
        call: Any = None
        try:
            call = self._open_call(_drain(session.outgoing))
            # The servers of the suite send headers as soon as a stream of both directions is open.
            await call.wait_for_connection()
            session.connected = True
            async for answer in call:
                waiting = session.pending.get(answer.key)
                if waiting and not waiting.done():
                    waiting.set_result(answer)
        except Exception as error:  # noqa: BLE001  every break is the callers' to judge
            fault = error
        finally:
            session.broken = True
            if call:
                call.cancel()
            # gRPC leaves the iterator of a broken call waiting for its next item, for ever.
            session.outgoing.put_nowait(None)
            for waiting in session.pending.values():
                if not waiting.done():
                    waiting.set_exception(_judge(fault, session.connected))


def _judge(fault: Exception | None, connected: bool) -> ServiceError:
    error = statuses.translate(fault) if fault else None
    if error and not isinstance(error, UnavailableError) and not _was_cut(fault):
        return error
    kind = StreamBrokenError if connected else UnavailableError
    message = error.message if isinstance(error, UnavailableError) else "The stream ended before the answer."
    return kind(Reason.SERVICE_UNAVAILABLE, message, retry_after_s=0.5)


def _was_cut(fault: Exception | None) -> bool:
    """True where gRPC itself says INTERNAL: the connection went while an item was being written."""
    if not isinstance(fault, grpc.aio.AioRpcError) or fault.code() is not grpc.StatusCode.INTERNAL:
        return False
    return statuses.DETAILS_KEY not in dict(fault.trailing_metadata() or ())


async def _drain(outgoing: asyncio.Queue[Request | None]) -> AsyncIterator[Request]:
    while (request := await outgoing.get()) is not None:
        yield request
