"""What becomes of one call: its retries, its keys, its money, and what operators see of it."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog

from services.captioner.lanes.breaker import State
from services.captioner.lanes.lane import Lane
from services.captioner.lanes.lanes import MIN_ATTEMPT_S
from services.captioner.lanes.link import Link
from services.captioner.lanes.rate_window import RateLimit
from services.captioner.lanes.retries import Retries
from services.captioner.provider import (
    Access,
    Answer,
    AnswerError,
    Ask,
    ConfigError,
    Description,
    ExhaustedError,
    FormRefusedError,
    Limits,
    Origin,
    PassedByError,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    ThrottledError,
    Tokens,
    TransientError,
)
from tests.unit.captioner.scripted_provider import (
    EXPECTED,
    HANGS,
    PRICE_MICROS,
    NotedPurse,
    ScriptedProvider,
    described,
    hanging_picture,
    link_of,
    new_outcomes,
    untouched_picture,
)
from tests.unit.captioner.warp import run_warped


async def ask(link: Link, timeout_s: float = 60.0, batch: str = "") -> Description:
    return await link.describe(untouched_picture(), Ask(), Origin(batch), now() + timeout_s)


def now() -> float:
    return asyncio.get_running_loop().time()


def keyed(*keys: str, concurrency: int = 8, rate: RateLimit | None = None) -> list[Lane]:
    return [Lane(Access(key=key), concurrency, rate) for key in keys]


def test_an_answer_carries_its_price() -> None:
    purse = NotedPurse()
    provider = ScriptedProvider("mistral", described(tokens=Tokens(900, 100)))

    description = run_warped(ask(link_of(provider, purse=purse), batch="batches/b1"))

    assert description.cost_micros == PRICE_MICROS
    assert purse.held == [("mistral", "model-1", EXPECTED, Origin("batches/b1"))]
    assert purse.endings == [("described", Tokens(900, 100))]


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (RefusedError("no", tokens=Tokens(900, 5)), ("wasted", Tokens(900, 5))),
        (AnswerError("cut off", may_be_billed=True), ("unsettled", None)),
        (ConfigError("401"), ("released", None)),
    ],
)
def test_money_that_was_set_aside_is_settled_after_a_failure(
    error: ProviderError, ending: tuple[str, Tokens | None]
) -> None:
    purse = NotedPurse()

    with pytest.raises(type(error)):
        run_warped(ask(link_of(ScriptedProvider("mistral", error), purse=purse)))

    assert purse.endings == [ending]


def test_each_call_has_money_of_its_own() -> None:
    purse = NotedPurse()
    slow = SlowAnswerError("slow", may_be_billed=True)
    provider = ScriptedProvider("mistral", slow, TransientError("502"), described())

    run_warped(ask(link_of(provider, purse=purse)))

    assert [how for how, _ in purse.endings] == ["unsettled", "released", "described"]


@pytest.mark.parametrize(
    ("timeout_s", "kind"), [(20.0, SlowAnswerError), (6.0, SlowAnswerError), (4.0, PassedByError)]
)
def test_a_call_that_took_too_long_may_be_billed(timeout_s: float, kind: type[ProviderError]) -> None:
    purse = NotedPurse()

    with pytest.raises(kind):
        run_warped(ask(link_of(ScriptedProvider("mistral", HANGS), purse=purse), timeout_s))

    assert purse.endings == [("unsettled", None)]


def test_a_caller_who_leaves_may_be_billed_and_frees_the_turn() -> None:
    async def scenario() -> None:
        leaver = asyncio.create_task(ask(link))
        await asyncio.sleep(3)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert (await ask(link)).text == "A dog."

    purse = NotedPurse()
    link = link_of(ScriptedProvider("mistral", HANGS, described()), *keyed("k1", concurrency=1), purse=purse)

    run_warped(scenario())

    assert [how for how, _ in purse.endings] == ["unsettled", "described"]


@pytest.mark.parametrize("refusal", [ExhaustedError("The budget is used up."), PassedByError("No catalog.")])
def test_without_money_nobody_is_asked_and_the_provider_is_not_blamed(refusal: ProviderError) -> None:
    async def scenario() -> None:
        for _ in range(10):
            with pytest.raises(type(refusal), match=refusal.message):
                await ask(link)
        status = link.status()
        assert (status.state, status.in_flight, status.lanes[0].requests_used) == (State.READY, 0, 0)
        purse.refusal = None
        await ask(link)

    purse = NotedPurse(refusal)
    provider = ScriptedProvider("mistral", described())
    link = link_of(provider, *keyed("k1", "k2", concurrency=1), purse=purse)

    run_warped(scenario())

    assert len(provider.called_at) == 1


def test_money_that_comes_too_late_is_not_waited_for() -> None:
    purse = NotedPurse(takes_s=2.0)
    provider = ScriptedProvider("mistral", described())
    link = link_of(provider, purse=purse)

    async def scenario() -> None:
        with pytest.raises(PassedByError, match="Too little time"):
            await ask(link, timeout_s=3.0)
        status = link.status()
        assert (status.in_flight, status.lanes[0].requests_used) == (0, 0)

    run_warped(scenario())

    assert not purse.endings
    assert not provider.called_at


def test_another_form_of_request_is_tried_at_once_but_not_forever() -> None:
    first = ScriptedProvider("mistral", *[FormRefusedError("422")] * 6, described(), takes_s=0.0)
    never = ScriptedProvider("openai", FormRefusedError("422"), takes_s=0.0)

    run_warped(ask(link_of(first)))
    with pytest.raises(FormRefusedError):
        run_warped(ask(link_of(never)))

    assert first.called_at == [first.called_at[0]] * 7
    assert len(never.called_at) == 7


def test_a_slow_answer_among_other_failures_is_repeated_once() -> None:
    provider = ScriptedProvider("mistral", SlowAnswerError("slow"), SlowAnswerError("slow"), described())

    with pytest.raises(SlowAnswerError):
        run_warped(ask(link_of(provider)))


def test_a_key_that_works_for_others_is_not_tried_forever() -> None:
    retries = Retries(lane_count=3)

    assert [retries.wait_s(ConfigError("400")) for _ in range(4)] == [0.0, 0.0, None, None]


def test_a_throttled_call_waits_as_long_as_the_deadline_permits() -> None:
    throttled = ThrottledError("HTTP 429", retry_after_s=10.0)
    provider = ScriptedProvider("mistral", *[throttled] * 4, described())

    description = run_warped(ask(link_of(provider), timeout_s=120))

    gaps = [after - before for before, after in zip(provider.called_at, provider.called_at[1:], strict=False)]
    assert description.text == "A dog."
    assert all(11.0 <= gap <= 11.5 for gap in gaps)


def test_a_wait_that_does_not_fit_the_deadline_is_not_begun() -> None:
    async def scenario() -> float:
        started = now()
        with pytest.raises(ThrottledError, match="HTTP 429"):
            await ask(link, timeout_s=30)
        with pytest.raises(PassedByError, match=r"the next call is possible in \d+ s"):
            await ask(link, timeout_s=30)
        return now() - started

    link = link_of(ScriptedProvider("mistral", ThrottledError("HTTP 429", retry_after_s=40.0)))

    assert run_warped(scenario()) == pytest.approx(1.0)


def test_a_wrong_key_makes_room_for_the_other_ones() -> None:
    async def scenario() -> None:
        for _ in range(4):
            await ask(link)

    provider = ScriptedProvider("mistral", ConfigError("401"), ExhaustedError("402"), described())
    link = link_of(provider, *keyed("k1", "k2", "k3"))

    run_warped(scenario())

    assert provider.keys == ["k1", "k2", "k3", "k3", "k3", "k3"]


@pytest.mark.parametrize("error", [ConfigError("401"), ExhaustedError("402")])
def test_each_key_is_tried_once_and_then_the_reason_is_told(error: ProviderError) -> None:
    async def scenario() -> None:
        with pytest.raises(type(error), match=error.message):
            await ask(link)
        with pytest.raises(PassedByError, match=f"Passed by at the moment: {error.message}"):
            await ask(link)

    provider = ScriptedProvider("mistral", error)
    link = link_of(provider, *keyed("k1", "k2"))

    run_warped(scenario())

    assert provider.keys == ["k1", "k2"]


def test_keys_take_turns() -> None:
    async def scenario() -> None:
        await asyncio.gather(*(ask(link) for _ in range(9)))

    provider = ScriptedProvider("mistral", described())
    link = link_of(provider, *keyed("k1", "k2", "k3", concurrency=2))

    run_warped(scenario())

    assert provider.keys[:6] == ["k1", "k2", "k3"] * 2
    assert provider.at_once == 6


def test_a_throttled_key_leaves_the_work_to_the_others() -> None:
    async def scenario() -> float:
        started = now()
        await asyncio.gather(*(ask(link) for _ in range(4)))
        return now() - started

    provider = ScriptedProvider("mistral", ThrottledError("429", retry_after_s=30.0), described())
    link = link_of(provider, *keyed("k1", "k2", concurrency=1))

    assert run_warped(scenario()) < 6
    assert provider.keys.count("k1") == 1


def test_time_for_the_picture_is_not_taken_for_the_providers() -> None:
    async def scenario() -> None:
        for _ in range(8):
            started = now()
            with pytest.raises(PassedByError, match="The picture was not ready in time"):
                await link.describe(hanging_picture(), Ask(), Origin(), started + 20)
            assert now() - started == pytest.approx(20 - MIN_ATTEMPT_S)
        with pytest.raises(PassedByError, match="The picture was not ready in time"):
            await link.probe(hanging_picture(), Ask(), now() + 20)
        assert link.status().state is State.READY

    provider = ScriptedProvider("mistral", described())
    link = link_of(provider, purse=(purse := NotedPurse()))

    run_warped(scenario())

    assert not provider.called_at
    assert not purse.held


def test_the_server_stands_for_the_addresses_and_not_for_the_keys() -> None:
    def server(*accesses: Access) -> str:
        return link_of(
            ScriptedProvider("compatible", described()), *(Lane(each, 1) for each in accesses)
        ).server

    one, two = "http://192.0.2.1/v1", "http://192.0.2.2/v1"

    servers = {server(Access(one)), server(Access(two)), server(Access(one), Access(two))}

    assert len(servers) == 3
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in servers)
    assert server(Access(one, "k1"), Access(one, "k2")) == server(Access(one, "k3"))
    assert server(Access(two), Access(one)) == server(Access(one), Access(two))


@pytest.mark.parametrize("retry_after_s", [0.001, None])
def test_throttles_in_a_row_are_answered_with_longer_and_longer_pauses(retry_after_s: float | None) -> None:
    async def scenario() -> None:
        await asyncio.gather(*(ask(link, timeout_s=300) for _ in range(8)), return_exceptions=True)

    throttled = ThrottledError("HTTP 429", retry_after_s=retry_after_s)
    provider = ScriptedProvider("openai", throttled, takes_s=0.05)
    link = link_of(provider)

    run_warped(scenario())

    # 0, 1, 2, 4 ... 60 s apart: eleven rounds at most.
    assert 8 <= len(provider.called_at) <= 8 * 11


def test_an_answer_between_throttles_lets_the_server_be_believed_again() -> None:
    async def scenario() -> None:
        for _ in range(6):
            await ask(link)

    throttled = ThrottledError("HTTP 429", retry_after_s=0.2)
    steps = [step for _ in range(6) for step in (throttled, described())]
    provider = ScriptedProvider("openai", *steps, takes_s=0.05)
    link = link_of(provider)

    run_warped(scenario())

    assert provider.called_at[-1] - provider.called_at[0] < 6 * 0.4


def test_calls_that_are_throttled_together_count_once() -> None:
    async def scenario() -> float:
        started = now()
        await asyncio.gather(*(ask(link) for _ in range(8)))
        return now() - started

    throttled = ThrottledError("HTTP 429", retry_after_s=2.0)
    link = link_of(ScriptedProvider("openai", *[throttled] * 8, described(), takes_s=0.05))

    assert run_warped(scenario()) < 2.5


def test_the_status_shows_limits_use_and_when_it_goes_on() -> None:
    async def scenario() -> None:
        await asyncio.gather(*(ask(link) for _ in range(2)))
        full, free = link.status().lanes
        assert (full.requests_limit, full.requests_used, full.tokens_limit, full.tokens_used) == (
            1,
            1,
            9_000,
            1_000,
        )
        assert full.resume_at == now() + 60.0
        assert (free.requests_limit, free.resume_at) == (1, now() + 60.0)
        assert (full.state, full.message, full.in_flight, full.concurrency) == (State.READY, "", 0, 8)
        assert link.rate_per_minute() == (2, 18_000)

    answer = Answer(described(), Limits(requests=1, requests_left=0, tokens=9_000, tokens_left=8_000))
    link = link_of(ScriptedProvider("mistral", answer), *keyed("k1", "k2"))
    assert link.rate_per_minute() == (None, None)

    run_warped(scenario())


def test_the_status_is_that_of_the_best_lane() -> None:
    async def scenario() -> None:
        before = time.time()
        with pytest.raises(ConfigError):
            await ask(link)
        status = link.status()
        assert (status.state, status.message) == (State.OPEN, "HTTP 401")
        assert status.since >= before
        assert [lane.state for lane in status.lanes] == [State.EXHAUSTED, State.OPEN]
        await asyncio.sleep(61)
        with pytest.raises(ThrottledError):
            await ask(link, timeout_s=20)
        assert (link.status().state, link.status().message) == (State.THROTTLED, "HTTP 429")
        await asyncio.sleep(32)
        assert (link.status().state, link.status().message) == (State.READY, "")

    throttled = ThrottledError("HTTP 429", retry_after_s=30.0)
    provider = ScriptedProvider("mistral", ExhaustedError("HTTP 402"), ConfigError("HTTP 401"), throttled)
    link = link_of(provider, *keyed("k1", "k2"))

    run_warped(scenario())


@pytest.mark.parametrize(
    ("error", "tokens"),
    [
        (RefusedError("no", tokens=Tokens(900, 5)), 905),
        (AnswerError("cut off", may_be_billed=True), EXPECTED.total),
        (AnswerError("HTTP 204"), 0),
    ],
)
def test_tokens_of_failed_calls_count_where_they_may_be_billed(error: ProviderError, tokens: int) -> None:
    async def scenario() -> None:
        with pytest.raises(type(error)):
            await ask(link)
        assert (link.status().lanes[0].requests_used, link.status().lanes[0].tokens_used) == (1, tokens)

    link = link_of(ScriptedProvider("mistral", error))

    run_warped(scenario())


def test_used_up_headers_pause_the_lane_without_a_refusal() -> None:
    async def scenario() -> float:
        await ask(link)
        paused = link.status()
        assert paused.state is State.THROTTLED
        await ask(link)
        return provider.called_at[1] - provider.called_at[0]

    limits = Limits(requests=500, requests_left=0, requests_reset_s=20.0)
    provider = ScriptedProvider("openai", Answer(described(), limits), described())
    link = link_of(provider)

    assert 21.0 <= run_warped(scenario()) <= 22.0


def test_an_adapting_lane_makes_do_with_fewer_calls_at_once() -> None:
    async def scenario() -> None:
        assert link.status().lanes[0].concurrency == 4
        with pytest.raises(TransientError):
            await ask(link)
        assert link.status().lanes[0].concurrency == 1
        for _ in range(1 + 2 + 3):
            await ask(link)
        assert link.status().lanes[0].concurrency == 4

    provider = ScriptedProvider("compatible", *[TransientError("503", retry_after_s=2.0)] * 3, described())
    link = link_of(provider, Lane(Access("http://127.0.0.1:1"), 4, adapts=True))

    run_warped(scenario())


def test_a_probe_passes_queue_and_breaker_and_mends_it() -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError):
            await ask(link)
        assert link.status().state is State.OPEN
        assert (await link.probe(untouched_picture(), Ask(), now() + 30)).cost_micros == PRICE_MICROS
        assert link.status().state is State.READY

    purse = NotedPurse()
    form = FormRefusedError("422")
    provider = ScriptedProvider("mistral", ConfigError("401"), form, described())
    link = link_of(provider, purse=purse)

    run_warped(scenario())

    assert [how for how, _ in purse.endings] == ["released", "released", "described"]


def test_a_probe_needs_money_too() -> None:
    link = link_of(ScriptedProvider("mistral", described()), purse=NotedPurse(ExhaustedError("Used up.")))

    async def scenario() -> None:
        with pytest.raises(ExhaustedError, match="Used up"):
            await link.probe(untouched_picture(), Ask(), now() + 30)
        assert link.status().in_flight == 0

    run_warped(scenario())


def test_outcomes_are_counted_call_by_call() -> None:
    outcomes = new_outcomes()
    provider = ScriptedProvider("mistral", TransientError("502"), described())

    run_warped(ask(link_of(provider, outcomes=outcomes)))

    counted = {
        sample.labels["outcome"]: sample.value
        for metric in outcomes.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"transient": 1.0, "answered": 1.0}


def test_changes_are_logged_once_and_without_the_key() -> None:
    async def scenario() -> None:
        for _ in range(4):
            with pytest.raises(ProviderError):
                await ask(link)
        await asyncio.sleep(61)
        await ask(link)

    provider = ScriptedProvider("mistral", *[ConfigError("HTTP 401")] * 2, described())
    link = link_of(provider, *keyed("secret-1", "secret-2"))

    with structlog.testing.capture_logs() as lines:
        run_warped(scenario())

    assert [(line["provider"], line["state"]) for line in lines] == [
        ("mistral key 1", "open"),
        ("mistral key 2", "open"),
        ("mistral key 1", "ready"),
    ]
    assert "secret" not in str(lines)
