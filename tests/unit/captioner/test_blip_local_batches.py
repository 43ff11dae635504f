"""How calls share the steps of a model; the model here says at once what it was shown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest

from services.captioner.blip.blip_local_batches import STEPS_HELD, BlipLocalBatches, open_batches
from services.captioner.blip.blip_local_model import Pixels, StepAbandonedError, Wording
from services.captioner.provider import BadPictureError, TransientError
from tests.servers.waiting import until

PLAIN = Wording("", 16)


class SayingModel:
    """Names the pictures; a step waits for ``gate``. ``fails`` gives the error of a step by its numbers."""

    def __init__(self, fails: Callable[[Sequence[int]], Exception | None] = lambda _: None) -> None:
        self.steps: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.decoded = 0
        self._fails = fails

    def pixels(self, jpeg: bytes) -> Pixels:
        if not jpeg.isdigit():
            raise BadPictureError("The picture does not decode.")
        self.decoded += 1
        return np.array([int(jpeg)], np.uint8)

    def caption(self, pictures: Sequence[Pixels], wording: Wording, is_over: Callable[[], bool]) -> list[str]:
        numbers = [int(picture[0]) for picture in pictures]
        self.steps.append(numbers)
        self.began.set()
        while not self.gate.wait(0.001):
            if is_over():
                raise StepAbandonedError
        if error := self._fails(numbers):
            raise error
        return [f"{wording.prompt}{number}" for number in numbers]


@asynccontextmanager
async def opened(model: SayingModel, max_batch: int = 8) -> AsyncIterator[BlipLocalBatches]:
    with ThreadPoolExecutor(1) as worker:
        async with open_batches(model, max_batch, worker) as batches:
            yield batches


async def busy(model: SayingModel, batches: BlipLocalBatches) -> asyncio.Task[str]:
    """A call whose step runs until the gate opens."""
    model.gate.clear()
    model.began.clear()
    first = asyncio.create_task(batches.caption(b"99", PLAIN))
    await until(model.began.is_set, "a step")
    return first


def many(
    batches: BlipLocalBatches, numbers: Sequence[int], wording: Wording = PLAIN
) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batches.caption(b"%d" % number, wording)) for number in numbers]


async def test_calls_that_wait_together_share_steps_and_each_gets_its_own_caption() -> None:
    model = SayingModel()
    async with opened(model) as batches:
        first = await busy(model, batches)
        calls = many(batches, range(20))
        await until(lambda: model.decoded == 21, "pictures decoded")
        model.gate.set()

        assert await asyncio.gather(first, *calls) == ["99", *(str(number) for number in range(20))]
    assert [len(step) for step in model.steps] == [1, 8, 8, 4]


async def test_different_wordings_never_share_a_step_and_nobody_is_overtaken_for_long() -> None:
    model = SayingModel()
    async with opened(model) as batches:
        first = await busy(model, batches)
        plain, worded = many(batches, [1]), many(batches, [2, 3], Wording("a photo of ", 16))
        await until(lambda: model.decoded == 4, "pictures decoded")
        plain += many(batches, [4])
        await until(lambda: model.decoded == 5, "pictures decoded")
        model.gate.set()
        captions = await asyncio.gather(first, *plain, *worded)

    assert captions == ["99", "1", "4", "a photo of 2", "a photo of 3"]
    assert [sorted(step) for step in model.steps[1:]] == [[1, 4], [2, 3]]


async def test_a_picture_that_does_not_decode_fails_alone() -> None:
    async with opened(SayingModel()) as batches:
        broken = asyncio.create_task(batches.caption(b"no picture", PLAIN))
        others = many(batches, range(3))

        assert await asyncio.gather(*others) == ["0", "1", "2"]
        with pytest.raises(BadPictureError):
            await broken


async def test_a_picture_on_which_the_model_fails_fails_alone() -> None:
    model = SayingModel(lambda numbers: RuntimeError("private words") if 5 in numbers else None)
    async with opened(model) as batches:
        first = await busy(model, batches)
        calls = many(batches, range(8))
        await until(lambda: model.decoded == 9, "pictures decoded")
        model.gate.set()
        outcomes = await asyncio.gather(first, *calls, return_exceptions=True)

    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["99", *"0123467"]
    failed = outcomes[6]
    assert isinstance(failed, TransientError)
    assert "private" not in failed.message


async def test_a_step_that_does_not_fit_is_halved_and_later_ones_start_smaller() -> None:
    model = SayingModel(lambda numbers: MemoryError() if len(numbers) > 3 else None)
    async with opened(model) as batches:
        for _ in range(2):
            first = await busy(model, batches)
            calls = many(batches, range(8))
            await until(lambda: len(model.steps) >= 1 and model.decoded % 9 == 0, "pictures decoded")
            model.gate.set()
            assert await asyncio.gather(first, *calls) == ["99", *"01234567"]

    tried = [len(step) for step in model.steps]
    assert tried == [1, 8, 4, 2, 2, 4, 2, 2, 1, 2, 2, 2, 2]


async def test_one_picture_that_does_not_fit_is_an_error_of_that_call() -> None:
    async with opened(SayingModel(lambda _: MemoryError())) as batches:
        with pytest.raises(TransientError, match="memory"):
            await batches.caption(b"1", PLAIN)


async def test_a_caller_that_left_before_its_step_is_never_described() -> None:
    model = SayingModel()
    async with opened(model) as batches:
        first = await busy(model, batches)
        calls = many(batches, range(4))
        await until(lambda: model.decoded == 5, "pictures decoded")
        calls[1].cancel()
        await asyncio.wait([calls[1]])
        model.gate.set()
        await asyncio.gather(first, calls[0], *calls[2:])

    assert model.steps == [[99], [0, 2, 3]]


async def test_a_step_stops_when_its_last_caller_leaves_and_the_next_one_begins() -> None:
    model = SayingModel()
    async with opened(model) as batches:
        first = await busy(model, batches)
        first.cancel()
        await asyncio.wait([first])
        model.began.clear()
        after = asyncio.create_task(batches.caption(b"1", PLAIN))
        await until(model.began.is_set, "a step")
        model.gate.set()

        assert await after == "1"


async def test_no_more_pictures_are_decoded_than_a_few_steps_need() -> None:
    model = SayingModel()
    async with opened(model, max_batch=2) as batches:
        first = await busy(model, batches)
        calls = many(batches, range(40))
        await until(lambda: model.decoded == 2 * STEPS_HELD, "pictures decoded")
        for _ in range(50):
            await asyncio.sleep(0)
        assert model.decoded == 2 * STEPS_HELD
        model.gate.set()

        assert await asyncio.gather(first, *calls) == ["99", *(str(number) for number in range(40))]


async def test_closing_while_busy_answers_everybody_and_ends_the_thread() -> None:
    model = SayingModel()
    async with opened(model, max_batch=2) as batches:
        calls = [await busy(model, batches), *many(batches, range(12))]
        await until(lambda: model.decoded == 2 * STEPS_HELD, "pictures decoded")
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(outcome, TransientError) for outcome in outcomes)
    with pytest.raises(TransientError, match="stopped"):
        await batches.caption(b"1", PLAIN)
