"""Many images at once against a fake Mistral with a rate limit, on a clock that jumps."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from services.captioner.chain import Errand
from services.captioner.provider import Ask
from services.runtime.errors import ServiceError
from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_mistral import FakeMistral
from tests.servers.providers.vendor_plan import Plan
from tests.servers.providers.virtual_vendor import prepared_picture, virtual_chain
from tests.unit.captioner.warp import run_warped

IMAGES = 300
DEADLINE_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Burst:
    """How it went. ``throttled_at`` are the seconds from the start at which the vendor said 429."""

    total_s: float
    ideal_s: float
    failed: int
    throttled_at: tuple[float, ...]
    billed: dict[str, int]

    @property
    def ratio(self) -> float:
        """Of the time to the shortest that the limit allows."""
        return self.total_s / self.ideal_s


def burst(plan: Plan, images: int = IMAGES) -> Burst:
    """All images asked for in the same moment, of a chain of Mistral alone."""
    return run_warped(_burst(plan, images))


async def _burst(plan: Plan, images: int) -> Burst:
    account = FakeAccount(FakeMistral(), plan)
    chain = virtual_chain("mistral", {"mistral": account}, captioner_max_waiting=images)
    started = asyncio.get_running_loop().time()
    errand = Errand(started + DEADLINE_S)
    calls = (chain.describe(prepared_picture(number), Ask(), errand) for number in range(images))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    total_s = asyncio.get_running_loop().time() - started
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    if unexpected := [error for error in failed if not isinstance(error, ServiceError)]:
        raise unexpected[0]
    throttled = tuple(when - started for when, status in account.calls if status == 429)
    return Burst(total_s, _ideal_s(plan, images), len(failed), throttled, dict(account.billed))


def _ideal_s(plan: Plan, images: int) -> float:
    """The first minute's calls at once, as many again each minute, and the time of the last answer."""
    assert plan.requests
    return 60.0 * (math.ceil(images / plan.requests) - 1) + plan.latency_s
