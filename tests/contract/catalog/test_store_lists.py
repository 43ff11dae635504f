"""Lists of images: order, pages, conditions, on every store."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.catalog.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    Condition,
    Not,
    SameBytes,
    Term,
    Within,
)
from services.catalog.model import ImageQuery, OrderKey, PageOrder, Position
from services.catalog.states import ImageState
from services.catalog.store import MAX_ANSWER_BYTES, CatalogStore
from tests.contract.catalog.adapters import START_US, Clock, digest_of, new_image
from tests.contract.catalog.condition_model import CONDITIONS, ImageFacts, evaluate, facts_of
from tests.contract.catalog.pictures import Picture, caption, insights, some_pictures, store_picture

COUNT = 48
MAX_PAGES = 2_000
KEYS: tuple[OrderKey, ...] = ("create_time_us", "size_bytes", "quality")


@dataclass(frozen=True, slots=True)
class Filled:
    store: CatalogStore
    images: dict[int, ImageFacts]

    def expected(self, condition: Condition, order: PageOrder) -> list[int]:
        met = [number for number, facts in self.images.items() if evaluate(condition, facts)]
        return sorted(met, key=lambda n: (self.images[n].numbers[order.key], n), reverse=order.descending)


@pytest.fixture
async def filled(store: CatalogStore, clock: Clock) -> Filled:
    """Images of every kind; four at a time share their microsecond, START_US + 1, + 2, ..."""
    clock.step_us = 0
    images: dict[int, ImageFacts] = {}
    for index, (content, picture) in enumerate(some_pictures(COUNT).items()):
        clock.now_us = START_US + 1 + index // 4
        number = await store_picture(store, content, picture)
        images[number] = facts_of(picture.image, clock.now_us, picture.findings())
    bytes_10 = some_pictures(COUNT)["content 10"].image
    for again in range(4):
        shared, _ = await store.create_image(replace(bytes_10, width=1 + again), "")
        picture = Picture(shared.image, state=ImageState.STORED)
        images[shared.number] = facts_of(shared.image, clock.now_us, picture.findings())
    return Filled(store, images)


async def numbers(store: CatalogStore, query: ImageQuery, order: PageOrder) -> list[int]:
    """All numbers of a query, page by page."""
    found: list[int] = []
    for _ in range(MAX_PAGES):
        page = await store.list_images(query, order, with_results=False)
        assert len(page.images) <= order.size
        found += [image.number for image in page.images]
        if page.next is None:
            return found
        order = replace(order, after=page.next)
    raise AssertionError("the pages do not end")


async def check(filled: Filled, condition: Condition, order: PageOrder) -> None:
    found = await numbers(filled.store, ImageQuery(condition), order)
    assert found == filled.expected(condition, order)


@pytest.mark.parametrize("key", KEYS)
async def test_every_image_is_on_one_page(filled: Filled, key: OrderKey) -> None:
    for size in (1, 3, 4, 100):
        for descending in (True, False):
            await check(filled, EVERYTHING, PageOrder(size, None, descending, key))


@pytest.mark.parametrize("key", KEYS)
async def test_all_conditions_hold(filled: Filled, key: OrderKey) -> None:
    for name, condition in CONDITIONS.items():
        for order in (PageOrder(3, None, True, key), PageOrder(50, None, False, key)):
            found = await numbers(filled.store, ImageQuery(condition), order)
            assert found == filled.expected(condition, order), name


def test_the_conditions_tell_images_apart() -> None:
    """Guards the tests here: most conditions must hold for some images, and fail for some."""
    facts = [
        facts_of(p.image, START_US + 1 + i // 4, p.findings())
        for i, p in enumerate(some_pictures(COUNT).values())
    ]
    telling = [
        name
        for name, condition in CONDITIONS.items()
        if len({evaluate(condition, image) for image in facts}) == len((True, False))
    ]
    assert len(telling) > len(CONDITIONS) * 2 // 3, telling


TREES = st.recursive(
    st.sampled_from(list(CONDITIONS.values())),
    lambda parts: st.one_of(
        parts.map(Not),
        st.lists(parts, max_size=4).map(lambda some: All(tuple(some))),
        st.lists(parts, max_size=4).map(lambda some: AnyOf(tuple(some))),
    ),
    max_leaves=8,
)


@given(TREES, st.sampled_from(KEYS), st.booleans(), st.integers(1, 9))
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    # The store is only read.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_any_condition_gives_what_plain_python_says(
    filled: Filled, condition: Condition, key: OrderKey, descending: bool, size: int
) -> None:
    await check(filled, condition, PageOrder(size, None, descending, key))


async def test_a_long_chain_of_conditions_is_judged(filled: Filled) -> None:
    many = AnyOf(tuple(Within("width", width, width) for width in range(400, 2_400)))
    await check(filled, many, PageOrder(50))


@pytest.mark.parametrize(
    "condition", [EVERYTHING, Term("state", "5"), AnyOf((Term("state", "5"), Term("tag", "a")))]
)
@pytest.mark.parametrize("key", KEYS)
async def test_a_page_goes_on_where_the_last_one_ended_whatever_happened_between(
    store: CatalogStore, clock: Clock, key: OrderKey, condition: Condition
) -> None:
    for index in range(12):
        await store.create_image(new_image(f"{index}", ImageState.STORED, size_bytes=100 + index), "")
    query = ImageQuery(condition)
    first = await store.list_images(query, PageOrder(4, None, True, key), with_results=False)
    assert [image.number for image in first.images] == [12, 11, 10, 9]
    await store.delete_image(9)
    await store.hide_image(8)
    await store.create_image(new_image("late", ImageState.STORED, size_bytes=200), "")
    second = await store.list_images(query, PageOrder(4, first.next, True, key), with_results=False)
    assert [image.number for image in second.images] == [7, 6, 5, 4]
    await store.restore_image(8)
    back = await store.list_images(query, PageOrder(4, second.next, True, key), with_results=False)
    assert [image.number for image in back.images] == [3, 2, 1]
    assert back.next is None


async def test_a_page_ends_early_rather_than_grow_too_large(store: CatalogStore) -> None:
    long_text = "x" * (MAX_ANSWER_BYTES // 3 + 1)
    count = 5
    for index in range(count):
        picture = Picture(new_image(f"{index}"), insights(text=long_text), state=ImageState.PROCESSED)
        await store_picture(store, f"{index}", picture)
    first = await store.list_images(ImageQuery(), PageOrder(50), with_results=True)
    assert [image.number for image in first.images] == [5, 4, 3]
    second = await store.list_images(ImageQuery(), PageOrder(50, first.next), with_results=True)
    assert [image.number for image in second.images] == [2, 1]
    assert second.next is None
    basic = await store.list_images(ImageQuery(), PageOrder(50), with_results=False)
    assert len(basic.images) == count


async def test_a_list_with_results_shows_what_each_image_shows(store: CatalogStore) -> None:
    found, described = insights(camera="Alpha"), caption("A boat.")
    await store_picture(store, "sea", Picture(new_image("sea"), found, described, ImageState.PROCESSED))
    await store_picture(store, "sky", Picture(new_image("sky")))
    page = await store.list_images(ImageQuery(), PageOrder(50), with_results=True)
    assert [(image.insights, image.caption) for image in page.images] == [(None, None), (found, described)]
    assert list(page.images) == [await store.get_image(number, with_results=True) for number in (2, 1)]


async def test_the_total_counts_all_visible_images(filled: Filled) -> None:
    await filled.store.hide_image(1)
    page = await filled.store.list_images(ImageQuery(Term("tag", "none")), PageOrder(5), with_results=False)
    assert page.total == len(filled.images) - 1


HIDDEN_CONDITIONS: tuple[Condition, ...] = (
    EVERYTHING,
    Term("state", "5"),
    Not(Term("format", "1")),
    Within("width", 200, 400),
    Within("create_time_us", START_US + 3, START_US + 6),
    All((SameBytes(digest_of("content 10")), Within("size_bytes", 1))),
)


async def test_hidden_images_are_listed_among_the_others(filled: Filled) -> None:
    for number in (2, 3, 11, COUNT + 2):
        await filled.store.hide_image(number)
    for condition, descending in itertools.product(HIDDEN_CONDITIONS, (True, False)):
        order = PageOrder(5, None, descending)
        found = await numbers(filled.store, ImageQuery(condition, with_hidden=True), order)
        assert found == filled.expected(condition, order)
    page = await filled.store.list_images(ImageQuery(with_hidden=True), PageOrder(100), with_results=True)
    hidden = [image.number for image in page.images if image.delete_time_us is not None]
    assert hidden == [COUNT + 2, 11, 3, 2]


async def test_hidden_images_are_in_no_other_list(filled: Filled) -> None:
    for number in (2, 3, 11, COUNT + 2):
        await filled.store.hide_image(number)
        del filled.images[number]
    for condition in CONDITIONS.values():
        await check(filled, condition, PageOrder(50))


async def test_images_by_number_come_as_they_were_asked_for(filled: Filled) -> None:
    await filled.store.hide_image(3)
    await filled.store.delete_image(4)
    found = await filled.store.get_images([7, 3, 1, 4, 999, 2])
    assert [image.number for image in found] == [7, 1, 2]
    assert found[1] == await filled.store.get_image(1, with_results=False)
    assert await filled.store.get_images([]) == []


async def test_a_page_can_begin_anywhere(filled: Filled) -> None:
    places: tuple[Position, ...] = ((0, 0), (2**63 - 1, 2**63 - 1), (-1, -1), (START_US + 3, 0), (1_500, 7))
    for key, after in itertools.product(KEYS, places):
        order = PageOrder(100, after, True, key)
        page = await filled.store.list_images(ImageQuery(), order, with_results=False)
        expected = [
            number
            for number in filled.expected(EVERYTHING, order)
            if (filled.images[number].numbers[key], number) < after
        ]
        assert [image.number for image in page.images] == expected
