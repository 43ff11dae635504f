"""One message in hand."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping

from nats.aio.msg import Msg

from services.runtime.queue.jetstream_connection import Connection
from services.runtime.queue.jetstream_layout import STREAM, wake_subject
from services.runtime.queue.jetstream_session import LOST, ApiError, Session
from services.runtime.queue.port import Lane

_NO_SUCH_MESSAGE = 10057


class JetStreamLease:
    """A delivered message; see ``services.runtime.queue.port.Lease``."""

    __slots__ = ("_connection", "_lane", "_message", "_on_settled", "_session", "_settled")

    def __init__(
        self,
        connection: Connection,
        session: Session,
        lane: Lane,
        message: Msg,
        on_settled: Callable[[JetStreamLease], None],
    ) -> None:
        self._connection = connection
        self._lane = lane
        self._message = message
        self._session = session
        self._on_settled = on_settled
        self._settled = False

    @property
    def lane(self) -> Lane:
        """Where the message came from."""
        return self._lane

    @property
    def payload(self) -> bytes:
        """What was published."""
        return self._message.data

    @property
    def message_id(self) -> str:
        """The id it was published with."""
        return (self._message.headers or {}).get("Nats-Msg-Id", "")

    @property
    def headers(self) -> Mapping[str, str]:
        """What was published, without the broker's own."""
        headers = self._message.headers or {}
        return {name: value for name, value in headers.items() if not name.startswith("Nats-")}

    @property
    def deliveries(self) -> int:
        """How often the message was delivered, this time included."""
        return self._message.metadata.num_delivered

    @property
    def settled(self) -> bool:
        """True from the moment when the worker let go of it."""
        return self._settled

    def adopt(self, session: Session, again: Msg) -> None:
        """Takes the newer delivery of the same message, so that the work in hand counts for it."""
        self._session = session
        self._message = again

    @property
    def key(self) -> tuple[str, int]:
        """Names the stored message: its number means something in its incarnation of the store only."""
        return self._session.epoch, self._message.metadata.sequence.stream

    async def heartbeat(self) -> None:
        """Starts ``ack_wait_s`` anew."""
        session = self._connection.now
        if session and not self._settled:
            with contextlib.suppress(*LOST):
                await session.send(self._message.reply, b"+WPI")

    async def done(self, timeout_s: float = 10.0) -> None:
        """Removes the message."""
        await self._settle(b"+ACK", timeout_s, removes=True)

    async def retry(self, delay_s: float, timeout_s: float = 10.0) -> None:
        """Gives the message back for ``delay_s``."""
        if delay_s > 0:
            await self._settle(
                b"-NAK " + json.dumps({"delay": int(delay_s * 1e9)}).encode(), timeout_s, removes=False
            )
            return
        await self._settle(b"-NAK", timeout_s, removes=False)
        if session := self._connection.now:
            with contextlib.suppress(*LOST):
                await session.send(wake_subject(self._lane), b"")

    async def drop(self, reason: str, timeout_s: float = 10.0) -> None:
        """Removes the message as hopeless."""
        await self._settle(b"+TERM " + " ".join(reason.split()).encode(), timeout_s, removes=True)

    async def _settle(self, answer: bytes, timeout_s: float, *, removes: bool) -> None:
        if self._settled:
            return
        self._settled = True
        tries = 0

        async def attempt(session: Session) -> None:
            nonlocal tries
            tries += 1
            # In a store that is new the same sequence number is another message.
            if session.epoch != self._session.epoch:
                return
            if session is self._session and tries == 1:
                await session.request(self._message.reply, answer)
                return
            # A broker that was killed may have forgotten that it delivered, and confirms no such answer;
            # and when the lane was closed meanwhile, nobody does.
            await session.send(self._message.reply, answer)
            if removes:
                await _delete(session, self._message.metadata.sequence.stream)

        try:
            await self._connection.call(attempt, timeout_s)
        finally:
            self._on_settled(self)


async def _delete(session: Session, sequence: int) -> None:
    try:
        await session.api(f"STREAM.MSG.DELETE.{STREAM}", {"seq": sequence, "no_erase": True})
    except ApiError as error:
        if error.err_code != _NO_SUCH_MESSAGE:
            raise
