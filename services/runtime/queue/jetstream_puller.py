"""Pulls leases from many lanes, by weight, and never more than there are free slots.

A pull waits at the broker for 20 ms only: long enough to be answered, too short to keep a slot from a lane
that has work. Lanes that had nothing are left alone until the broker announces a message for them, and are
looked at once a second besides (less often when they are many), because returned messages are not announced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.runtime.errors import UnavailableError
from services.runtime.queue.fair_share import FairShare
from services.runtime.queue.jetstream_connection import Connection
from services.runtime.queue.jetstream_layout import STREAM, consumer_name, work_subject
from services.runtime.queue.jetstream_lease import JetStreamLease
from services.runtime.queue.jetstream_session import LOST, Session, end
from services.runtime.queue.port import Lane, Lease

_PULL_EXPIRES_S = 0.02
_PULL_STALE_S = 1.0
_FIRST_QUIET_S = 0.02
_LONGEST_QUIET_S = 1.0
_QUIET_PER_LANE_S = 0.02
_LOOK_GAP_S = 0.1
_STOP_WAIT_S = 0.5
_STOP_S = 2.0
_RETRY_S = 0.05


@dataclass(slots=True)
class _Pull:
    number: int
    turns: int
    wakes: int
    stale_at: float


@dataclass(slots=True)
class _Source:
    """A lane and what is asked of it."""

    lane: Lane
    pulls: deque[_Pull] = field(default_factory=deque)
    quiet_until: float = 0.0
    quiet_s: float = _FIRST_QUIET_S
    wakes: int = 0

    @property
    def asked(self) -> int:
        return sum(pull.turns for pull in self.pulls)

    @property
    def is_sure(self) -> bool:
        """False while the lane was empty when last asked and nothing was heard of it since."""
        return self.quiet_s == _FIRST_QUIET_S

    def wake(self) -> None:
        self.quiet_until = 0.0
        self.quiet_s = _FIRST_QUIET_S
        self.wakes += 1

    def rest(self, now: float, longest_s: float) -> None:
        self.quiet_until = now + self.quiet_s
        self.quiet_s = min(self.quiet_s * 2, longest_s)

    def count_delivery(self) -> None:
        self.quiet_s = _FIRST_QUIET_S
        for pull in self.pulls:
            if pull.turns:
                pull.turns -= 1
                break
        while self.pulls and not self.pulls[0].turns:
            self.pulls.popleft()


class JetStreamPuller:
    """See ``services.runtime.queue.port.Puller``."""

    def __init__(self, connection: Connection, lanes: Iterable[Lane], max_leases: int) -> None:
        if max_leases < 1:
            raise ValueError(f"max_leases is at least 1, not {max_leases}.")
        self._connection = connection
        self._max_leases = max_leases
        self._sources: dict[str, _Source] = {}
        self._share = FairShare()
        self._held: dict[tuple[str, int], JetStreamLease] = {}
        self._ready: asyncio.Queue[JetStreamLease | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._stopping = False
        self._pull_number = 0
        self._look_at = 0.0
        self._serving = False
        self._loop = asyncio.get_running_loop()
        self.set_lanes(lanes)
        self._task = asyncio.create_task(self._run(), name="queue puller")

    def __aiter__(self) -> AsyncIterator[Lease]:
        return self

    async def __anext__(self) -> Lease:
        if not self._stopping:
            if lease := await self._ready.get():
                return lease
            self._ready.put_nowait(None)  # for the other tasks that iterate
        if self._task.done() and not self._task.cancelled() and (error := self._task.exception()):
            raise error
        raise StopAsyncIteration

    @property
    def in_hand(self) -> int:
        """Leases delivered and not settled."""
        return len(self._held)

    def set_lanes(self, lanes: Iterable[Lane]) -> None:
        """Pulls from these lanes from now on."""
        wanted = {work_subject(lane): lane for lane in lanes}
        for subject in self._sources.keys() - wanted.keys():
            del self._sources[subject]
            self._share.remove(subject)
        for subject, lane in wanted.items():
            self._sources.setdefault(subject, _Source(lane)).lane = lane
            self._share.set(subject, lane.weight)
        self._changed.set()

    async def stop(self) -> None:
        """Stops pulling and gives back what nobody has taken."""
        self._stopping = True
        self._changed.set()
        try:
            if self._serving:
                await asyncio.wait([self._task], timeout=_STOP_S)
        finally:
            await end(self._task)

    async def _run(self) -> None:
        try:
            while not self._stopping:
                session = await self._connection.session()
                with contextlib.suppress(*LOST):
                    await self._serve(session)
                await asyncio.sleep(_RETRY_S)
        except UnavailableError:
            return  # the connection was closed: the iteration ends
        finally:
            self._ready.put_nowait(None)

    async def _serve(self, session: Session) -> None:
        inbox = session.client.new_inbox()
        session.lost.add_done_callback(self._on_lost)
        for source in self._sources.values():
            source.pulls.clear()
            source.wake()
        self._serving = True
        subscriptions: list[Subscription] = []
        try:
            for subject, receive in ((f"{inbox}.>", self._on_message), ("wake.*.*", self._on_wake)):
                subscriptions.append(await session.subscribe(subject, receive))
            await self._pull_until_stopped(session, inbox)
        finally:
            self._serving = False
            session.lost.remove_done_callback(self._on_lost)
            for subscription in subscriptions:
                with contextlib.suppress(*LOST):
                    await subscription.unsubscribe()

    async def _pull_until_stopped(self, session: Session, inbox: str) -> None:
        while not session.lost.done() and not self._stopping:
            self._changed.clear()
            await self._pull(session, inbox)
            await self._wait_changed(self._next_look_s())
        if self._stopping:
            await self._give_back_unstarted()
            end = self._loop.time() + _STOP_WAIT_S
            # A message that comes into an inbox that is gone would be away for the whole ack_wait_s.
            while self._asked() and not session.lost.done() and self._loop.time() < end:
                self._changed.clear()
                await self._wait_changed(end - self._loop.time())

    async def _wait_changed(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    async def _pull(self, session: Session, inbox: str) -> None:
        now = self._loop.time()
        self._forget_stale(now)
        for subject, turns in self._plan(now).items():
            source = self._sources[subject]
            self._pull_number += 1
            source.pulls.append(_Pull(self._pull_number, turns, source.wakes, now + _PULL_STALE_S))
            ask = {"batch": turns, "expires": int(_PULL_EXPIRES_S * 1e9)}
            await session.send(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer_name(source.lane)}",
                json.dumps(ask).encode(),
                reply=f"{inbox}.{subject}.{self._pull_number}",
            )

    def _plan(self, now: float) -> Counter[str]:
        plan: Counter[str] = Counter()
        due = {subject for subject, source in self._sources.items() if source.quiet_until <= now}
        sure = {subject for subject in due if self._sources[subject].is_sure}
        looks = {subject for subject in due - sure if not self._sources[subject].pulls}
        for _ in range(self._max_leases - len(self._held) - self._asked()):
            # Work that is known goes before a look at lanes that were empty, save for a look now and then.
            if looks and (not sure or now >= self._look_at):
                self._look_at = now + _LOOK_GAP_S
                chosen = self._share.take(looks)
                looks.discard(chosen)
            elif sure:
                chosen = self._share.take(sure)
            else:
                break
            plan[chosen] += 1
        return plan

    def _next_look_s(self) -> float:
        now = self._loop.time()
        waits = [source.quiet_until - now for source in self._sources.values() if source.quiet_until > now]
        return min([*waits, _LONGEST_QUIET_S])

    def _asked(self) -> int:
        return sum(source.asked for source in self._sources.values())

    def _forget_stale(self, now: float) -> None:
        for subject, source in self._sources.items():
            while source.pulls and source.pulls[0].stale_at <= now:
                self._share.give_back(subject, source.pulls.popleft().turns)

    async def _on_message(self, message: Msg) -> None:
        if message.reply:
            await self._on_delivery(message)
        else:
            self._on_status(message)
        self._changed.set()

    def _on_lost(self, _: asyncio.Future[None]) -> None:
        self._changed.set()

    async def _on_wake(self, message: Msg) -> None:
        source = self._sources.get(f"work{message.subject.removeprefix('wake')}")
        if source:
            was_quiet = source.quiet_until > 0.0
            source.wake()
            if was_quiet:
                self._changed.set()

    def _on_status(self, message: Msg) -> None:
        *_, work, class_, name, number = message.subject.split(".")
        subject = f"{work}.{class_}.{name}"
        source = self._sources.get(subject)
        for pull in list(source.pulls) if source else ():
            if source and pull.number == int(number):
                source.pulls.remove(pull)
                self._share.give_back(subject, pull.turns)
                if pull.wakes == source.wakes:
                    source.rest(
                        self._loop.time(), max(_LONGEST_QUIET_S, _QUIET_PER_LANE_S * len(self._sources))
                    )

    async def _on_delivery(self, message: Msg) -> None:
        session, source = self._connection.now, self._sources.get(message.subject)
        if session is None:
            return
        if source is None:
            await session.send(message.reply, b"-NAK")
            return
        source.count_delivery()
        lease = JetStreamLease(self._connection, session, source.lane, message, self._free)
        held = self._held.get(lease.key)
        if held and not held.settled:
            held.adopt(session, message)
        elif self._stopping or len(self._held) - bool(held) >= self._max_leases:
            await session.send(message.reply, b"-NAK")
        else:
            self._held[lease.key] = lease
            self._ready.put_nowait(lease)

    def _free(self, lease: JetStreamLease) -> None:
        if self._held.get(lease.key) is lease:
            del self._held[lease.key]
            self._changed.set()

    async def _give_back_unstarted(self) -> None:
        unstarted: list[JetStreamLease] = []
        while not self._ready.empty():
            if lease := self._ready.get_nowait():
                unstarted.append(lease)
        await asyncio.gather(*(_give_back(lease) for lease in unstarted))


async def _give_back(lease: JetStreamLease) -> None:
    with contextlib.suppress(UnavailableError):
        await lease.retry(0.0, timeout_s=_STOP_WAIT_S)
