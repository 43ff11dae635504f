"""What is known is not asked for again, and costs nothing."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from services.captioner.money.spending import Outcome
from services.captioner.provider import (
    Ask,
    Description,
    Origin,
    ParseMode,
    PassedByError,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    Tokens,
    TransientError,
)
from services.captioner.records.known_answers import KnownAnswer, KnownAnswers, answer_key
from tests.servers.caption_ledger import CaptionLedger, LedgerRecords
from tests.servers.caption_source import DIGEST, Named, Source, described, picture
from tests.unit.captioner.warp import run_warped

BATCH = Origin("batches/b")


class World:
    def __init__(self, ending: Description | Exception | None = None, provider: str = "mistral") -> None:
        self.ledger = CaptionLedger()
        self.records = LedgerRecords(self.ledger)
        self.known = KnownAnswers(self.records)
        self.source = Source(Named(provider), ending)

    async def describe(
        self, within_s: float = 60, skip_cache: bool = False, origin: Origin = BATCH
    ) -> KnownAnswer:
        deadline = asyncio.get_running_loop().time() + within_s
        return await self.known.describe(self.source, picture(), Ask(), origin, deadline, skip_cache)

    def start(self, within_s: float = 60, origin: Origin = BATCH) -> asyncio.Task[KnownAnswer]:
        return asyncio.create_task(self.describe(within_s, origin=origin))


def test_the_second_time_the_answer_is_known() -> None:
    async def work() -> None:
        world = World()
        first, second = await world.describe(), await world.describe()
        assert first == KnownAnswer(described(), cached=False)
        free = dataclasses.replace(described(), tokens=Tokens(), cost_micros=0)
        assert second == KnownAnswer(free, cached=True)
        assert world.source.asked == 1
        assert [(each.batch, each.micros, each.outcome) for each in world.ledger.settled.values()] == [
            ("batches/b", 0, Outcome.CACHED)
        ]

    run_warped(work())


def test_another_captioner_knows_it_too() -> None:
    async def work() -> None:
        world = World()
        await world.describe()
        world.known = KnownAnswers(world.records)
        assert (await world.describe()).cached
        assert world.source.asked == 1

    run_warped(work())


def test_at_the_same_time_one_call_serves_all() -> None:
    async def work() -> None:
        world = World()
        answers = await asyncio.gather(*(world.describe() for _ in range(300)))
        assert world.source.asked == 1
        assert [answer.cached for answer in answers] == [False] + [True] * 299
        assert sum(answer.description.tokens.total for answer in answers) == 940
        assert sum(answer.description.cost_micros or 0 for answer in answers) == 159
        assert world.ledger.count(Outcome.CACHED) == 299

    run_warped(work())


def test_everything_that_decides_the_answer_is_part_of_the_key() -> None:
    provider, ask = Named(), Ask()
    others = [
        answer_key("0" * 64, provider, "s", ask),
        answer_key(DIGEST, Named("openai"), "s", ask),
        answer_key(DIGEST, Named(model="model-2"), "s", ask),
        answer_key(DIGEST, provider, "another", ask),
        answer_key(DIGEST, provider, "s", Ask(language="de")),
        answer_key(DIGEST, provider, "s", Ask(prompt="Describe the light.")),
        answer_key(DIGEST, provider, "s", Ask(detail="low")),
        answer_key(DIGEST, provider, "s", Ask(max_output_tokens=401)),
    ]
    key = answer_key(DIGEST, provider, "s", ask)
    assert len({key, *others}) == 9
    assert len(key) == 32
    assert answer_key(DIGEST, Named(), "s", Ask()) == key


def test_another_server_is_asked_itself() -> None:
    async def work() -> None:
        world = World()
        await world.describe()
        world.source.server = "8899aabbccddeeff"
        assert not (await world.describe()).cached
        world.source.server = "0011223344556677"
        assert (await world.describe()).cached

    run_warped(work())


def test_a_person_does_not_stand_in_the_line_of_a_batch() -> None:
    async def work() -> None:
        world = World()
        world.source.takes_s = 50.0
        batch = world.start()
        await asyncio.sleep(1)
        world.source.takes_s = 2.0
        person = await world.describe(within_s=5, origin=Origin())
        assert not person.cached
        assert not batch.done()
        # What the person was told is known to batches and people from now on.
        for origin in (BATCH, Origin("batches/c"), Origin()):
            batch.cancel()
            assert (await world.describe(origin=origin)).cached
        assert world.source.asked == 2

    run_warped(work())


def test_batches_share_a_call_among_each_other() -> None:
    async def work() -> None:
        world = World()
        answers = await asyncio.gather(*(world.start(origin=Origin(f"batches/{name}")) for name in "abc"))
        assert world.source.asked == 1
        assert sum(answer.cached for answer in answers) == 2

    run_warped(work())


@pytest.mark.parametrize("error", [SlowAnswerError("Slow."), TransientError("Broke.", may_be_billed=True)])
def test_what_may_be_billed_is_not_asked_for_again_by_each_who_waits(error: ProviderError) -> None:
    async def work() -> None:
        world = World(error)
        tasks = [world.start(within_s=30 * (number + 1)) for number in range(4)]
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in errors] == [type(error)] * 4
        assert world.source.asked == 1

    run_warped(work())


def test_nobody_inherits_the_short_deadline_of_somebody_else() -> None:
    async def work() -> None:
        world = World(PassedByError("No answer within the 3 s that the call allowed.", may_be_billed=True))
        hurried, patient = world.start(within_s=3), world.start(within_s=60)
        await asyncio.sleep(0)
        await asyncio.gather(hurried, patient, return_exceptions=True)
        assert world.source.asked == 2

    run_warped(work())


def test_skip_cache_asks_again_and_replaces() -> None:
    async def work() -> None:
        world = World()
        await world.describe()
        world.source.ending = described("A cat.")
        again = await world.describe(skip_cache=True)
        assert (again.description.text, again.cached) == ("A cat.", False)
        known = await world.describe()
        assert (known.description.text, known.cached) == ("A cat.", True)
        assert world.source.asked == 2

    run_warped(work())


@pytest.mark.parametrize(
    ("provider", "mode", "kept"),
    [
        ("mistral", ParseMode.PROSE, False),
        ("openai", ParseMode.PROSE, False),
        ("compatible", ParseMode.PROSE, False),
        ("mistral", ParseMode.SECTIONS, True),
        ("compatible", ParseMode.REPAIRED, True),
        ("endpoint", ParseMode.PROSE, True),
        ("blip", ParseMode.PROSE, True),
        ("blip-local", ParseMode.PROSE, True),
    ],
)
def test_which_answers_are_kept(provider: str, mode: ParseMode, kept: bool) -> None:
    async def work() -> None:
        world = World(described(mode=mode), provider)
        await world.describe()
        answer = await world.describe()
        assert answer.cached is kept
        assert answer.description.parse_mode is mode

    run_warped(work())


def test_errors_are_shared_but_never_kept() -> None:
    async def work() -> None:
        world = World(RefusedError("No."))
        errors = await asyncio.gather(world.start(), world.start(), return_exceptions=True)
        assert [type(error) for error in errors] == [RefusedError, RefusedError]
        assert world.source.asked == 1
        world.source.ending = described()
        assert not (await world.describe()).cached

    run_warped(work())


def test_records_that_are_away_fail_nobody() -> None:
    async def work() -> None:
        world = World()
        world.records.is_away = True
        assert not (await world.describe()).cached
        assert not (await world.describe()).cached

    run_warped(work())


def test_nobody_inherits_a_short_deadline() -> None:
    async def work() -> None:
        world = World()
        hurried, patient = world.start(within_s=2), world.start(within_s=60)
        with pytest.raises(PassedByError):
            await hurried
        assert await patient == KnownAnswer(described(), cached=False)

    run_warped(work())


def test_nobody_waits_longer_than_the_own_deadline() -> None:
    async def work() -> None:
        world = World()
        patient = world.start(within_s=60)
        await asyncio.sleep(1)
        with pytest.raises(PassedByError, match="more time"):
            await world.describe(within_s=2)
        assert asyncio.get_running_loop().time() == pytest.approx(1_003)
        assert not (await patient).cached

    run_warped(work())


def test_cancellation_reaches_the_call_when_the_last_one_goes() -> None:
    async def work() -> None:
        world = World()
        tasks = [world.start() for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.sleep(1)
        assert not tasks[2].done()
        tasks[2].cancel()
        await asyncio.sleep(1)
        assert world.source.cancelled == 1
        assert not world.ledger.captions

    run_warped(work())
