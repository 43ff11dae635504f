"""What takes seconds to hours at a vendor, on a clock that jumps: real providers, lanes and chain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.captioner.chain import Chain, Errand, Told
from services.captioner.lanes.breaker import State
from services.captioner.provider import Ask
from tests.servers.providers import vendor_faults
from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_compatible import (
    GEMINI_MODEL,
    OLLAMA_MODEL,
    FakeGemini,
    FakeOllama,
    out_of_rate,
)
from tests.servers.providers.fake_mistral import FakeMistral, rate_limited
from tests.servers.providers.fake_openai import FakeOpenAI
from tests.servers.providers.vendor_faults import instead
from tests.servers.providers.vendor_plan import Plan
from tests.servers.providers.virtual_burst import burst
from tests.servers.providers.virtual_vendor import prepared_picture, virtual_chain
from tests.unit.captioner.warp import run_warped


@pytest.mark.parametrize(
    "plan",
    [
        Plan(requests=60, latency_s=1.0),
        Plan(requests=60, latency_s=1.0, window="clock"),
        Plan(requests=23, latency_s=4.0),
        Plan(requests=60, latency_s=1.0, tells_retry_after=True),
    ],
    ids=["60 a minute", "60 by the clock", "23 a minute", "with Retry-After"],
)
def test_three_hundred_at_once_are_described_within_the_rate(plan: Plan) -> None:
    told = burst(plan)

    assert told.failed == 0
    assert told.throttled_at == ()
    assert told.ratio <= 1.3
    assert len(told.billed) == 300
    assert set(told.billed.values()) == {1}


@pytest.mark.parametrize("tells_retry_after", [False, True])
def test_a_limit_that_no_header_tells_is_found_out(tells_retry_after: bool) -> None:
    """Now and then the guess is tried upwards, which costs a few refusals and no image."""
    plan = Plan(requests=60, latency_s=1.0, tells_limits=False, tells_retry_after=tells_retry_after)

    told = burst(plan)

    assert told.failed == 0
    assert len(told.throttled_at) <= 16
    assert told.ratio <= 1.3
    assert set(told.billed.values()) == {1}


def test_tokens_bind_before_requests_do() -> None:
    plan = Plan(requests=600, tokens=50_000, latency_s=1.0)
    account = FakeAccount(FakeMistral(), plan)

    async def run() -> tuple[Sequence[Told], float]:
        chain = virtual_chain("mistral", {"mistral": account})
        started = now()
        calls = (ask(chain, number, 1_200.0, width=1024, height=768) for number in range(120))
        return await asyncio.gather(*calls), now() - started

    told, total_s = run_warped(run())
    tokens = sum(each.description.tokens.total for each in told)

    assert {each.provider for each in told} == {"mistral"}
    assert account.statuses == {200: 120}
    ideal_s = 60.0 * (-(-tokens // 50_000) - 1) + 1.0
    assert ideal_s > 100
    assert total_s <= 1.3 * ideal_s


def test_a_bare_429_is_waited_out() -> None:
    mistral = FakeAccount(FakeMistral(), Plan(tells_limits=False))
    mistral.faults.append(instead(rate_limited()))
    state, told, took_s = one({"mistral": mistral}, deadline_s=60.0)

    assert told.provider == "mistral"
    assert 5.0 <= took_s <= 8.0
    assert state is State.READY


def test_who_has_no_time_to_wait_is_told_by_the_next() -> None:
    mistral, openai = FakeAccount(FakeMistral(), Plan(requests=1)), FakeAccount(FakeOpenAI())

    async def run() -> tuple[Told, Told, float]:
        chain = virtual_chain("mistral,openai,local", {"mistral": mistral, "openai": openai})
        first = await ask(chain, 1, 20.0)
        started = now()
        return first, await ask(chain, 2, 20.0), now() - started

    first, second, took_s = run_warped(run())

    assert (first.provider, second.provider) == ("mistral", "openai")
    assert "rate limit" in second.attempts[0].message.lower()
    assert mistral.statuses == {200: 1}
    assert took_s < 3.0


def test_an_answer_that_never_comes_is_asked_for_once_more_at_most() -> None:
    mistral, openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    mistral.faults.extend([vendor_faults.slow(600.0)] * 3)
    _, told, took_s = one({"mistral": mistral, "openai": openai}, deadline_s=600.0)

    assert told.provider == "openai"
    assert "No answer" in told.attempts[0].message
    assert len(mistral.calls) == 2
    assert took_s <= 130.0


def test_geminis_wait_in_the_body_is_kept() -> None:
    gemini = FakeAccount(FakeGemini())
    gemini.faults.append(instead(out_of_rate("GenerateRequestsPerMinute", 34.0)))
    _, told, took_s = one({"compatible": gemini}, deadline_s=120.0, model=GEMINI_MODEL)

    assert told.provider == "compatible"
    assert 34.0 <= took_s <= 38.0


def test_geminis_quota_of_the_day_is_not_waited_for() -> None:
    gemini = FakeAccount(FakeGemini())
    gemini.faults.append(instead(out_of_rate("GenerateRequestsPerDay", 34.0)))
    state, told, took_s = one({"compatible": gemini}, deadline_s=120.0, model=GEMINI_MODEL)

    assert told.provider == "local"
    assert took_s < 1.0
    assert state is State.EXHAUSTED


def test_a_busy_ollama_gets_less_to_do_and_answers_everything() -> None:
    ollama = FakeAccount(FakeOllama(), Plan(slots=1, queue=2, latency_s=4.0))

    async def run() -> Sequence[Told]:
        model = {"captioner_compatible_model": OLLAMA_MODEL, "captioner_local_concurrency": 8}
        chain = virtual_chain("compatible,local", {"compatible": ollama}, **model)
        return await asyncio.gather(*(ask(chain, number, 900.0) for number in range(40)))

    told = run_warped(run())

    assert {each.provider for each in told} == {"compatible"}
    assert ollama.statuses[503] <= 30
    assert set(ollama.billed.values()) == {1}


def test_a_provider_that_fails_is_left_alone_until_a_probe_succeeds() -> None:
    mistral, openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    mistral.faults.extend([vendor_faults.bad_gateway()] * 5)

    async def run() -> list[tuple[State, int, str]]:
        chain = virtual_chain("mistral,openai", {"mistral": mistral, "openai": openai})
        seen = []
        for number, wait_s in enumerate((0.0, 0.0, 0.0, 20.0)):
            await asyncio.sleep(wait_s)
            told = await ask(chain, number, 60.0)
            seen.append((chain.links["mistral"].status().state, len(mistral.calls), told.provider))
        return seen

    assert run_warped(run()) == [
        (State.READY, 3, "openai"),
        (State.OPEN, 5, "openai"),
        (State.OPEN, 5, "openai"),
        (State.READY, 6, "mistral"),
    ]


def test_openais_limits_hold_with_its_own_way_of_counting() -> None:
    """It charges what may come, and counts refused requests as well."""
    openai = FakeAccount(FakeOpenAI(), Plan(requests=30, latency_s=2.0, tells_retry_after=True))

    async def run() -> tuple[Sequence[Told], float]:
        chain = virtual_chain("openai", {"openai": openai})
        started = now()
        told = await asyncio.gather(*(ask(chain, number, 900.0) for number in range(90)))
        return told, now() - started

    told, total_s = run_warped(run())

    assert len(told) == 90
    assert openai.statuses[429] == 0
    assert total_s <= 1.3 * 180.0


def one(accounts: dict[str, FakeAccount], deadline_s: float, model: str = "") -> tuple[State, Told, float]:
    """One picture through the accounts' chain: the first one's state after it, the answer, the seconds."""

    async def run() -> tuple[State, Told, float]:
        order = ",".join([*accounts, "local"])
        chain = virtual_chain(order, accounts, captioner_compatible_model=model)
        started = now()
        told = await ask(chain, 1, deadline_s)
        return next(iter(chain.links.values())).status().state, told, now() - started

    return run_warped(run())


async def ask(chain: Chain, number: int, deadline_s: float, width: int = 320, height: int = 240) -> Told:
    picture = prepared_picture(number, width, height)
    return await chain.describe(picture, Ask(), Errand(now() + deadline_s))


def now() -> float:
    return asyncio.get_running_loop().time()
