"""What a service may ask of a work queue.

A queue says "please do", never "what is so": a message may come twice, and a lost store loses messages.
Whoever publishes keeps the truth elsewhere and publishes again what is missing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

LaneClass = Literal["int", "std", "bulk"]

_LANE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of messages that is pulled, paused, counted and closed on its own.

    ``name`` is unique over all classes and has 1 to 64 characters of ``A-Z a-z 0-9 _ -``. ``weight`` (1 to
    1000) is the share of the pulls that the lane gets while others wait too. ``max_in_flight`` bounds the
    leases over all workers together.
    """

    class_: LaneClass
    name: str
    weight: int
    max_in_flight: int = 64
    ack_wait_s: float = 60.0
    max_deliveries: int = 10

    def __post_init__(self) -> None:
        if not _LANE_NAME.fullmatch(self.name):
            raise ValueError(f"A lane name has 1 to 64 of A-Z a-z 0-9 _ -; {self.name!r} does not.")
        if self.class_ not in {"int", "std", "bulk"} or not 1 <= self.weight <= 1000:
            raise ValueError(f"Lane {self.name}: the class is int, std or bulk and the weight 1 to 1000.")
        if self.max_in_flight < 1 or self.max_deliveries < 1 or self.ack_wait_s <= 0:
            raise ValueError(f"Lane {self.name}: max_in_flight, max_deliveries and ack_wait_s are positive.")


@dataclass(frozen=True, slots=True)
class Message:
    """A request to work. ``message_id`` names it: publishing an id again within 120 s stores nothing new.

    ``headers`` are opaque (request and trace ids). Payload and headers take at most 256 KiB together.
    """

    payload: bytes
    message_id: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.message_id:
            raise ValueError("A message needs an id; retries are recognised by it.")
        if any(name.lower().startswith("nats-") for name in self.headers):
            raise ValueError("Header names that begin with 'Nats-' belong to the broker.")


@dataclass(frozen=True, slots=True)
class LaneState:
    """Counts of one lane at one moment.

    ``pending`` messages were never delivered; ``in_flight`` are leased or wait for a retry; ``exhausted``
    used up ``max_deliveries`` and are kept, but never delivered again, until the lane is closed; the number
    may be too high for a moment while messages move.
    """

    pending: int
    in_flight: int
    exhausted: int
    paused: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One notice. A gap (empty topic) says that notices may be missing here: read the state anew."""

    topic: str
    payload: bytes

    @property
    def is_gap(self) -> bool:
        """True where the connection was away or the listener too slow."""
        return not self.topic


class Lease(Protocol):
    """One message in hand. It comes back to the lane when ``ack_wait_s`` pass without a heartbeat.

    The first of ``done``, ``retry`` and ``drop`` settles it and frees its slot; later ones do nothing. They
    return once the broker has confirmed, or raise ``UnavailableError`` after ``timeout_s``; then the message
    will be delivered again.
    """

    @property
    def lane(self) -> Lane: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def message_id(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def deliveries(self) -> int:
        """How often the message was delivered, this time included. A killed broker may count anew."""
        ...

    async def heartbeat(self) -> None:
        """Starts ``ack_wait_s`` anew. Never raises: a heartbeat that is lost costs a second delivery."""
        ...

    async def done(self, timeout_s: float = 10.0) -> None:
        """Removes the message."""
        ...

    async def retry(self, delay_s: float, timeout_s: float = 10.0) -> None:
        """Gives the message back; it is delivered again after ``delay_s``, counted as one more delivery."""
        ...

    async def drop(self, reason: str, timeout_s: float = 10.0) -> None:
        """Removes the message as hopeless; the broker's log of terminations keeps ``reason``."""
        ...


class Puller(Protocol):
    """An iterator of leases that never holds more than its slots, fair between its lanes by weight.

    Several tasks may iterate over the same puller.
    """

    def __aiter__(self) -> AsyncIterator[Lease]: ...
    async def __anext__(self) -> Lease: ...

    @property
    def in_hand(self) -> int:
        """Leases delivered and not settled."""
        ...

    def set_lanes(self, lanes: Iterable[Lane]) -> None:
        """Pulls from these lanes from now on. Leases in hand stay valid."""
        ...

    async def stop(self) -> None:
        """Stops pulling, gives back what nobody has taken yet, ends the iteration. Leases in hand go on."""
        ...


class WorkQueue(Protocol):
    """Durable lanes and lossy events. Every call ends by its ``timeout_s``.

    When the broker does not answer in time, calls raise ``UnavailableError(QUEUE_UNAVAILABLE)``.
    """

    async def open_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Creates or updates the lane. An open lane keeps its messages and stays paused if it was.

        Until this process closes it, the lane is created again should the broker lose its store.
        """
        ...

    async def close_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Removes the lane and all its messages; does nothing when there is none."""
        ...

    async def pause_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Stops deliveries; leases in hand may be settled. Survives a restart of the broker."""
        ...

    async def resume_lane(self, lane: Lane, timeout_s: float = 10.0) -> None:
        """Lets deliveries go on."""
        ...

    async def lanes(self, timeout_s: float = 10.0) -> list[Lane]:
        """Every open lane, whoever opened it."""
        ...

    async def lane_state(self, lane: Lane, timeout_s: float = 10.0) -> LaneState | None:
        """The lane's counts, or None when it is not open."""
        ...

    async def publish(self, lane: Lane, message: Message, timeout_s: float) -> None:
        """Returns when the broker has stored the message; tries again with the same id until then.

        After an ``UnavailableError`` the message may or may not be stored; publish it again with its id.
        Raises ``ResourceExhaustedError(OVERLOADED)`` when the queue is full and
        ``InvalidArgumentError(INVALID_FIELD)`` when the message is too large.
        """
        ...

    async def publish_many(self, lane: Lane, messages: Iterable[Message], timeout_s: float) -> None:
        """Like ``publish``, pipelined. On an error some of the messages may be stored."""
        ...

    def lease(self, lanes: Iterable[Lane], max_leases: int) -> AbstractAsyncContextManager[Puller]:
        """Pulls from ``lanes`` while the context is open; ``max_leases`` is the number of slots."""
        ...

    async def announce(self, topic: str, payload: bytes) -> None:
        """Tells whoever listens right now. Lossy on purpose: nothing is stored, retried or waited for.

        A topic is dotted words of ``A-Z a-z 0-9 _ -``; a payload has at most 64 KiB.
        """
        ...

    def listen(
        self, topic_pattern: str, timeout_s: float = 10.0
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Events announced while the context is open; ``*`` stands for one word, a final ``>`` for the rest.

        Listening survives a restart of the broker. Where events may be missing a gap event stands instead.
        """
        ...

    async def ping(self, timeout_s: float) -> None:
        """Returns when the broker answers and has its store; raises ``UnavailableError`` otherwise."""
        ...

    async def close(self) -> None:
        """Ends the connection. Pullers and listeners that are still open end too."""
        ...
