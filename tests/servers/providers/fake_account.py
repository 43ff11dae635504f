"""An account at a fake vendor: decides about each request and counts what it bills. Knows no sockets."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict, deque
from collections.abc import Callable

from tests.servers.providers.vendor_call import Call, Refused, Reply, json_reply
from tests.servers.providers.vendor_plan import Order, Plan, Standing, Vendor
from tests.servers.providers.vendor_window import UsedInAMinute

Fault = Callable[[Reply], Reply]


class FakeAccount:
    """``billed`` counts the answers charged for by picture; ``statuses`` the replies.

    Each of ``faults`` replaces the honest reply of one request; ``exchanges`` are the last ones.
    """

    def __init__(self, vendor: Vendor, plan: Plan | None = None) -> None:
        self.vendor = vendor
        self.plan = plan or Plan()
        self.billed: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.calls: list[tuple[float, int]] = []
        self.exchanges: deque[tuple[Call, Reply]] = deque(maxlen=64)
        self.faults: deque[Fault] = deque()
        self._used: defaultdict[str, UsedInAMinute] = defaultdict(lambda: UsedInAMinute(self.plan.window))
        self._ends: deque[float] = deque()

    def decide(self, now: float, call: Call) -> Reply:
        """The reply to a request that arrives at ``now`` seconds; it is due ``after_s`` later."""
        try:
            reply = self._answer(now, call)
        except Refused as no:
            reply = no.reply
        if self.faults:
            reply = self.faults.popleft()(reply)
        self.statuses[reply.status] += 1
        self.calls.append((now, reply.status))
        self.exchanges.append((call, reply))
        return reply

    def settle(self, reply: Reply) -> None:
        """Bills a reply that is due, whether or not somebody still waits for it."""
        if reply.bills:
            self.billed[reply.bills] += 1

    def _answer(self, now: float, call: Call) -> Reply:
        order = self.vendor.read(call, self.plan)
        standing = self._admit(now, call.key, order)
        after_s = self._after_s(now)
        headers = self.vendor.limits(standing) if self.plan.tells_limits else {}
        body = self.vendor.answer(order, len(self.calls) + 1)
        reply = json_reply(200, body, headers, bills=order.seen.digest)
        return dataclasses.replace(reply, after_s=after_s)

    def _admit(self, now: float, key: str, order: Order) -> Standing:
        used, plan = self._used[key], self.plan
        requests, tokens = used.count(now)
        full = None
        if plan.requests is not None and requests + 1 > plan.requests:
            full = "requests"
        elif plan.tokens is not None and tokens + order.charge > plan.tokens:
            full = "tokens"
        if full is None or self.vendor.counts_refused:
            used.add(now, 0 if full else order.charge)
        cost = 0 if full else order.input_tokens + order.output_tokens
        standing = Standing(plan, *used.count(now), cost, used.free_in_s(now))
        if full:
            raise Refused(self.vendor.throttled(full, standing))
        return standing

    def _after_s(self, now: float) -> float:
        """Latency, and the wait for a slot; raises Refused when too many wait already."""
        slots, latency_s = self.plan.slots, self.plan.latency_s
        if slots is None:
            return latency_s
        while self._ends and self._ends[0] <= now:
            self._ends.popleft()
        if len(self._ends) >= slots + self.plan.queue:
            raise Refused(self.vendor.busy())
        # All answers take equally long, so the slot that is free first is that of the answer `slots` before.
        begin = self._ends[-slots] if len(self._ends) >= slots else now
        self._ends.append(begin + latency_s)
        return begin + latency_s - now
