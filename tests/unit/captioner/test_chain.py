"""Which provider answers, when, and what a caller hears of the others. Minutes pass in milliseconds."""

from __future__ import annotations

import asyncio

import pytest

from services.captioner.chain import Chain, Errand, Told
from services.captioner.provider import (
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ParseMode,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    ThrottledError,
    Tokens,
    TransientError,
)
from services.captioner.records.known_answers import KnownAnswers
from services.captioner.records.port import NoRecords
from services.runtime.errors import Reason, ServiceError
from tests.unit.captioner.scripted_provider import (
    HANGS,
    MEASURED,
    ScriptedProvider,
    chain_of,
    described,
    hanging_picture,
    untouched_picture,
)
from tests.unit.captioner.warp import run_warped

NOW = 1_000.0


async def tell(chain: Chain, timeout_s: float = 60.0, wanted: tuple[str, ...] = ()) -> Told:
    deadline = asyncio.get_running_loop().time() + timeout_s
    async with asyncio.timeout_at(deadline):
        return await chain.describe(untouched_picture(), Ask(), Errand(deadline, wanted=wanted))


def test_the_first_provider_that_answers_wins() -> None:
    mistral, openai = (
        ScriptedProvider("mistral", described("A cat.")),
        ScriptedProvider("openai", described()),
    )

    told = run_warped(tell(chain_of(mistral, openai)))

    assert (told.provider, told.description.text, told.degraded_reason) == ("mistral", "A cat.", "")
    assert told.attempts == ()
    assert not openai.called_at


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (TransientError("HTTP 502"), 3),
        (SlowAnswerError("slow"), 2),
        (TransientError("broke off", may_be_billed=True), 2),
        (TransientError("stopped in the middle", tokens=Tokens(500, 40)), 2),
        (ThrottledError("HTTP 429", retry_after_s=19.0), 3),
        (ExhaustedError("no credit"), 1),
        (ConfigError("HTTP 401"), 1),
        (RefusedError("declined"), 1),
        (BadPictureError("HTTP 413"), 1),
        (AnswerError("nonsense"), 1),
    ],
)
def test_each_failure_is_repeated_as_often_as_it_makes_sense(error: ProviderError, calls: int) -> None:
    mistral, openai = ScriptedProvider("mistral", error), ScriptedProvider("openai", described())

    told = run_warped(tell(chain_of(mistral, openai), timeout_s=120))

    assert len(mistral.called_at) == calls
    assert told.provider == "openai"
    assert [(each.provider, each.message) for each in told.attempts] == [("mistral", error.message)]
    assert told.degraded_reason == ""


def test_the_local_describer_stands_in_and_says_why() -> None:
    mistral = ScriptedProvider("mistral", ConfigError("The key is not accepted."))
    openai = ScriptedProvider("openai", RefusedError("Declined."))

    told = run_warped(tell(chain_of(mistral, openai)))

    assert told.provider == "local"
    assert told.description.text == "A landscape picture with one face, mostly blue."
    assert told.degraded_reason == ("No model answered. mistral: The key is not accepted. openai: Declined.")
    assert [each.provider for each in told.attempts] == ["mistral", "openai"]


def test_without_any_model_the_reason_names_the_way_out() -> None:
    told = run_warped(tell(chain_of(order=["openai", "local"])))

    assert told.provider == "local"
    assert "set MISTRAL_API_KEY or OPENAI_API_KEY" in told.degraded_reason
    assert told.attempts == ()


def test_who_asks_for_the_local_describer_gets_what_was_asked_for() -> None:
    mistral = ScriptedProvider("mistral", described())

    told = run_warped(tell(chain_of(mistral), wanted=("local",)))

    assert (told.provider, told.degraded_reason) == ("local", "")
    assert not mistral.called_at


def test_who_names_a_provider_without_a_key_is_told_so() -> None:
    told = run_warped(tell(chain_of(order=["openai", "local"]), wanted=("openai", "local")))

    assert [(each.provider, each.message) for each in told.attempts] == [
        ("openai", "Not configured: set OPENAI_API_KEY.")
    ]


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ([RefusedError("no")], Reason.PROVIDER_REFUSED),
        ([RefusedError("no"), RefusedError("no")], Reason.PROVIDER_REFUSED),
        ([ConfigError("401")], Reason.PROVIDER_NOT_CONFIGURED),
        ([ExhaustedError("402")], Reason.BUDGET_EXHAUSTED),
        ([BadPictureError("413")], Reason.IMAGE_UNDECODABLE),
        ([TransientError("502")], Reason.PROVIDER_UNAVAILABLE),
        ([ConfigError("401"), RefusedError("no")], Reason.PROVIDER_UNAVAILABLE),
        ([], Reason.PROVIDER_NOT_CONFIGURED),
    ],
)
def test_without_a_local_describer_the_failure_is_the_answer(
    errors: list[ProviderError], reason: Reason.ValueType
) -> None:
    names = ("mistral", "openai")
    providers = [ScriptedProvider(name, error) for name, error in zip(names, errors, strict=False)]
    chain = chain_of(*providers, order=names[: len(errors)] or names[1:], local=False)

    with pytest.raises(ServiceError) as failed:
        run_warped(tell(chain))

    assert failed.value.reason == reason


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ServiceError) as failed:
        run_warped(tell(chain_of(), wanted=("mistal",)))

    assert failed.value.reason == Reason.PROVIDER_NOT_CONFIGURED
    assert failed.value.metadata == {"provider": "mistal"}


def test_a_provider_that_hangs_leaves_time_for_the_next_one() -> None:
    async def scenario() -> tuple[Told, float]:
        told = await tell(chain_of(hangs, openai), timeout_s=60)
        return told, asyncio.get_running_loop().time() - NOW

    hangs, openai = ScriptedProvider("mistral", HANGS), ScriptedProvider("openai", described(), takes_s=5)

    told, elapsed_s = run_warped(scenario())

    assert told.provider == "openai"
    assert hangs.cancelled == len(hangs.called_at) == 1
    assert elapsed_s < 36


@pytest.mark.parametrize(("timeout_s", "elapsed_s"), [(9.0, 5.25), (15.0, 8.25), (60.0, 30.75)])
def test_in_a_hurry_too_the_second_provider_is_asked(timeout_s: float, elapsed_s: float) -> None:
    async def scenario() -> tuple[Told, float]:
        told = await tell(chain_of(hangs, openai), timeout_s)
        return told, asyncio.get_running_loop().time() - NOW

    hangs, openai = ScriptedProvider("mistral", HANGS), ScriptedProvider("openai", described())

    told, took_s = run_warped(scenario())

    assert told.provider == "openai"
    assert took_s == pytest.approx(elapsed_s, abs=0.01)


def test_a_hurried_burst_opens_the_breaker_of_a_provider_that_hangs() -> None:
    async def scenario() -> int:
        await asyncio.gather(*(tell(chain, timeout_s=15) for _ in range(5)))
        assert (await tell(chain, timeout_s=15)).provider == "openai"
        return len(hangs.called_at)

    hangs, openai = ScriptedProvider("mistral", HANGS), ScriptedProvider("openai", described())
    chain = chain_of(hangs, openai)

    assert run_warped(scenario()) == 5


@pytest.mark.parametrize("known", [None, KnownAnswers(NoRecords())], ids=["upload", "digest"])
def test_a_picture_that_does_not_come_leaves_time_for_words_from_its_measurements(
    known: KnownAnswers | None,
) -> None:
    async def scenario() -> Told:
        async with asyncio.timeout_at(NOW + 20):
            return await chain.describe(hanging_picture(), Ask(), Errand(NOW + 20))

    mistral, openai = ScriptedProvider("mistral", described()), ScriptedProvider("openai", described())
    chain = chain_of(mistral, openai, known=known)

    told = run_warped(scenario())

    assert told.provider == "local"
    assert told.description.text == "A landscape picture with one face, mostly blue."
    assert {each.message for each in told.attempts} == {"The picture was not ready in time."}
    assert not mistral.called_at


def test_the_last_half_second_belongs_to_the_local_describer() -> None:
    async def scenario() -> tuple[Told, float]:
        told = await tell(chain_of(hangs), timeout_s=5)
        return told, asyncio.get_running_loop().time() - NOW

    hangs = ScriptedProvider("mistral", HANGS)

    told, elapsed_s = run_warped(scenario())

    assert told.provider == "local"
    assert "No answer within the 4.5 s" in told.degraded_reason
    assert elapsed_s == pytest.approx(4.5, abs=0.1)


def test_no_attempt_starts_without_time_for_an_answer() -> None:
    mistral = ScriptedProvider("mistral", described())

    told = run_warped(tell(chain_of(mistral), timeout_s=1.9))

    assert told.provider == "local"
    assert not mistral.called_at


def test_a_retry_waits_as_long_as_the_provider_says() -> None:
    error = TransientError("HTTP 503", retry_after_s=7.0)
    mistral = ScriptedProvider("mistral", error, described())

    run_warped(tell(chain_of(mistral)))

    first, second = mistral.called_at
    assert second - first == pytest.approx(8.0, abs=0.1)


def test_a_retry_that_does_not_fit_the_deadline_is_left_out() -> None:
    mistral = ScriptedProvider("mistral", TransientError("HTTP 503", retry_after_s=30.0), described())

    told = run_warped(tell(chain_of(mistral), timeout_s=20))

    assert told.provider == "local"
    assert len(mistral.called_at) == 1


def test_a_throttle_holds_everybody_back() -> None:
    async def scenario() -> list[Told]:
        return await asyncio.gather(*(tell(chain) for _ in range(5)))

    throttled = ThrottledError("HTTP 429", retry_after_s=20.0)
    mistral = ScriptedProvider("mistral", throttled, described())
    chain = chain_of(mistral, concurrency=1)

    answers = run_warped(scenario())

    assert [told.provider for told in answers] == ["mistral"] * 5
    assert min(mistral.called_at[1:]) - mistral.called_at[0] >= 20
    assert len(mistral.called_at) == 6


def test_a_wrong_key_is_tried_once_a_minute_and_not_for_each_image() -> None:
    async def scenario() -> None:
        for _ in range(10):
            await tell(chain)
        await asyncio.sleep(61)
        told = await tell(chain)
        assert told.provider == "mistral"

    mistral = ScriptedProvider("mistral", ConfigError("The key is not accepted."), described())
    chain = chain_of(mistral)

    run_warped(scenario())

    assert len(mistral.called_at) == 2


def test_five_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    async def scenario() -> None:
        for _ in range(8):
            assert (await tell(chain)).provider == "local"
        assert len(mistral.called_at) == 5
        await asyncio.sleep(16)
        probed = await asyncio.gather(*(tell(chain) for _ in range(4)))
        assert sorted(told.provider for told in probed) == ["local", "local", "local", "mistral"]
        assert (await tell(chain)).provider == "mistral"

    mistral = ScriptedProvider("mistral", *[AnswerError("nonsense")] * 5, described())
    chain = chain_of(mistral)

    run_warped(scenario())


def test_an_answer_makes_up_for_failures_before_it() -> None:
    async def scenario() -> list[str]:
        return [(await tell(chain)).provider for _ in range(10)]

    failures: list[Exception] = [AnswerError("nonsense")] * 4
    mistral = ScriptedProvider("mistral", *failures, described(), *failures, described())
    chain = chain_of(mistral)

    assert run_warped(scenario()) == ["local"] * 4 + ["mistral"] + ["local"] * 4 + ["mistral"]


def test_a_provider_that_hangs_is_left_alone_after_five_images() -> None:
    async def scenario() -> None:
        for _ in range(5):
            await tell(chain, timeout_s=25)
        called = len(mistral.called_at)
        assert "Passed by at the moment: No answer" in (await tell(chain)).degraded_reason
        assert len(mistral.called_at) == called

    mistral = ScriptedProvider("mistral", HANGS)
    chain = chain_of(mistral)

    run_warped(scenario())


def test_callers_in_a_hurry_do_not_condemn_a_provider() -> None:
    async def scenario() -> None:
        for _ in range(8):
            await tell(chain, timeout_s=3)
        assert (await tell(chain, timeout_s=30)).provider == "mistral"

    mistral = ScriptedProvider("mistral", described(), takes_s=4)
    chain = chain_of(mistral)

    run_warped(scenario())


def test_a_cancelled_probe_lets_the_next_one_through() -> None:
    async def scenario() -> None:
        await tell(chain)
        await asyncio.sleep(61)
        probe = asyncio.create_task(tell(chain))
        await asyncio.sleep(0.5)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert (await tell(chain)).provider == "mistral"

    mistral = ScriptedProvider("mistral", ConfigError("HTTP 404"), described())
    chain = chain_of(mistral)

    run_warped(scenario())

    assert mistral.cancelled == 1


def test_refusals_and_bad_pictures_say_nothing_about_the_provider() -> None:
    async def scenario() -> None:
        for _ in range(12):
            await tell(chain)

    mistral = ScriptedProvider("mistral", RefusedError("no"))
    chain = chain_of(mistral)

    run_warped(scenario())

    assert len(mistral.called_at) == 12


def test_places_are_bounded_and_who_waits_too_long_goes_elsewhere() -> None:
    async def scenario() -> list[Told]:
        return await asyncio.gather(*(tell(chain, timeout_s=30) for _ in range(20)))

    mistral = ScriptedProvider("mistral", described(), takes_s=10)
    chain = chain_of(mistral, concurrency=3)

    answers = run_warped(scenario())

    assert mistral.at_once == 3
    assert [told.provider for told in answers].count("mistral") == 6
    waited = [told for told in answers if "Too many calls wait" in told.degraded_reason]
    assert len(waited) == 11
    assert {told.provider for told in waited} == {"local"}


def test_a_caller_who_leaves_takes_the_call_along() -> None:
    async def scenario() -> None:
        call = asyncio.create_task(tell(chain))
        await asyncio.sleep(3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert chain.links["mistral"].status().in_flight == 0

    mistral = ScriptedProvider("mistral", HANGS)
    chain = chain_of(mistral)

    run_warped(scenario())

    assert mistral.cancelled == 1


def test_prose_gets_its_tags_from_the_measurements() -> None:
    told = run_warped(tell(chain_of(ScriptedProvider("blip", described("a dog", ParseMode.PROSE)))))

    assert told.description.text == "a dog"
    assert told.description.tags == ("person", "face", "blue", "landscape")
    assert told.description.objects == ("person", "face")


def test_the_digest_changes_with_everything_that_decides_an_answer() -> None:
    plain = chain_of(ScriptedProvider("mistral", described()))
    asks = [
        Ask(),
        Ask(language="de"),
        Ask(prompt="List colours."),
        Ask(detail="low"),
        Ask(max_output_tokens=99),
    ]

    digests = [plain.settings_digest(ask, ()) for ask in asks]
    digests.append(chain_of().settings_digest(Ask(), ()))
    moved = chain_of(ScriptedProvider("mistral", described()), base_url="http://192.0.2.1")
    digests.append(moved.settings_digest(Ask(), ()))

    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in digests)
    assert moved.settings_digest(Ask(), ("local",)) == plain.settings_digest(Ask(), ("local",))
    assert plain.settings_digest(Ask(), ()) == plain.settings_digest(Ask(), ("mistral", "local"))


def test_given_measurements_nobody_reads_the_image() -> None:
    async def scenario() -> Told:
        return await chain_of().describe(untouched_picture(MEASURED), Ask(), Errand(NOW + 60))

    assert run_warped(scenario()).provider == "local"
