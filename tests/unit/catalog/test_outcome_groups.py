"""Outcomes that wait together are written together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.catalog.model import Outcome
from services.catalog.names import ImageKey
from services.catalog.outcome_groups import MAX_GROUP, OutcomeGroups
from services.runtime.errors import NotFoundError, Reason, ResourceExhaustedError, ServiceError


def outcome(number: int) -> Outcome:
    return Outcome(number, ())


class Store:
    """Holds writes back until it is opened; knows no images below 1, and chokes on number 13."""

    def __init__(self) -> None:
        self.groups: list[list[ImageKey | None]] = []
        self.opened = asyncio.Event()
        self.fault: Exception | None = None

    async def write(self, outcomes: Sequence[Outcome]) -> list[ServiceError | None]:
        numbers = [outcome.image for outcome in outcomes]
        self.groups.append(numbers)
        await self.opened.wait()
        if self.fault is not None:
            raise self.fault
        if 13 in numbers:
            raise ZeroDivisionError
        unknown = NotFoundError(Reason.IMAGE_NOT_FOUND, "Unknown.")
        return [None if isinstance(number, int) and number > 0 else unknown for number in numbers]


@pytest.fixture
def store() -> Store:
    return Store()


async def started(groups: OutcomeGroups, *numbers: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(groups.write(outcome(number))) for number in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_comes_during_a_write_is_the_next_group(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    first = await started(groups, 1)
    second = await started(groups, 2)
    rest = await started(groups, *range(100, 100 + MAX_GROUP + 1))
    assert store.groups == [[1], [2]]
    store.opened.set()
    await asyncio.gather(*first, *second, *rest)
    assert sorted(map(len, store.groups)) == [1, 1, 1, MAX_GROUP]
    assert sorted(number for group in store.groups for number in group) == [1, 2, *range(100, 601)]  # type: ignore[type-var]
    await groups.write(outcome(7))
    assert store.groups[-1] == [7]


async def test_each_is_told_its_own_refusal(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    tasks = [*await started(groups, 1), *await started(groups, 2)]
    tasks += await started(groups, -1, 3, -2)
    store.opened.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 2 + [
        NotFoundError,
        type(None),
        NotFoundError,
    ]


async def test_an_item_that_the_store_chokes_on_disturbs_no_other(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    tasks = [*await started(groups, 1), *await started(groups, 2)]
    tasks += await started(groups, 12, 13, 14)
    store.opened.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [ZeroDivisionError, type(None)]


async def test_a_store_that_is_full_is_asked_once_a_group(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    store.fault = ResourceExhaustedError(Reason.OVERLOADED, "Full.")
    tasks = [*await started(groups, 1), *await started(groups, 2)]
    tasks += await started(groups, 3, 4, 5)
    store.opened.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers == [store.fault] * 5
    assert store.groups == [[1], [2], [3, 4, 5]]


async def test_who_leaves_takes_nobody_along(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    tasks = [*await started(groups, 1), *await started(groups, 2)]
    tasks += await started(groups, 3, 4, 5)
    for left in (tasks[0], tasks[2]):
        left.cancel()
    store.opened.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        type(None),
        asyncio.CancelledError,
        type(None),
        type(None),
    ]
    assert store.groups[-1] == [4, 5]


async def test_what_comes_as_both_groups_end_is_written(store: Store) -> None:
    groups = OutcomeGroups(store.write)
    tasks = [*await started(groups, 1), *await started(groups, 2)]
    store.opened.set()
    # Its turn comes right behind the two groups, before anything that their end sets off.
    tasks.append(asyncio.create_task(groups.write(outcome(3))))
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert store.groups == [[1], [2], [3]]
