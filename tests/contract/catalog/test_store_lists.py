"""Lists of images: order, pages, conditions, on every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.catalog.model import ImageQuery, PageOrder, Span
from services.catalog.states import ImageState
from services.catalog.store import MAX_ANSWER_BYTES, CatalogStore
from tests.contract.catalog.adapters import START_US, Clock, analysis, digest_of, new_image, outcome

PENDING, PROCESSING, PROCESSED, FAILED, STORED = ImageState
COUNT = 24


@pytest.fixture
async def filled(store: CatalogStore, clock: Clock) -> CatalogStore:
    """Images 1 to 24; four at a time share their microsecond, START_US + 1, + 2, ..."""
    clock.step_us = 0
    for index in range(COUNT):
        clock.now_us = START_US + 1 + index // 4
        labels = {"parity": str(index % 2), **({"third": "yes"} if index % 3 == 0 else {})}
        new = new_image(f"content {index % 5}", labels=labels, format_=1 + index % 3, width=100 + index)
        await store.create_image(new, "")
    await store.start_images([3, 4])
    for number in (5, 6, 7):
        await store.write_outcome(outcome(number, state=PROCESSED))
    await store.write_outcome(outcome(8, state=FAILED, error=b"\x08\x03"))
    return store


async def numbers(
    store: CatalogStore, query: ImageQuery, *, newest_first: bool = True, size: int = 5
) -> list[int]:
    """All numbers of a query, page by page, and that no page is too long or empty without need."""
    found: list[int] = []
    order = PageOrder(size, None, newest_first)
    while True:
        page = await store.list_images(query, order, with_results=False)
        assert page.total == COUNT
        found += [image.number for image in page.images]
        if page.next is None:
            return found
        assert len(page.images) == size
        order = PageOrder(size, page.next, newest_first)


@pytest.mark.parametrize("size", [1, 3, 4, 12, 24, 100])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_every_image_is_on_one_page(filled: CatalogStore, newest_first: bool, size: int) -> None:
    expected = list(range(1, COUNT + 1))
    found = await numbers(filled, ImageQuery(), newest_first=newest_first, size=size)
    assert found == (expected[::-1] if newest_first else expected)


QUERIES: dict[str, tuple[ImageQuery, Callable[[int], bool]]] = {
    "one state": (ImageQuery(states=frozenset({PROCESSED})), lambda n: n in {5, 6, 7}),
    "two states": (ImageQuery(states=frozenset({PENDING, PROCESSING})), lambda n: n not in {5, 6, 7, 8}),
    "all states": (ImageQuery(states=frozenset(ImageState)), lambda _: True),
    "no such state": (ImageQuery(states=frozenset({STORED})), lambda _: False),
    "formats": (ImageQuery(formats=frozenset({1, 3})), lambda n: (n - 1) % 3 != 1),
    "from a time": (ImageQuery(created_from_us=START_US + 3), lambda n: n > 8),
    "until a time": (ImageQuery(created_until_us=START_US + 3), lambda n: n <= 8),
    "within times": (
        ImageQuery(created_from_us=START_US + 2, created_until_us=START_US + 4),
        lambda n: 4 < n <= 12,
    ),
    "no time at all": (
        ImageQuery(created_from_us=START_US + 4, created_until_us=START_US + 2),
        lambda _: False,
    ),
    "width": (ImageQuery(width=Span(105, 110)), lambda n: 105 <= 99 + n <= 110),
    "width at least": (ImageQuery(width=Span(min=110)), lambda n: 99 + n >= 110),
    "height at most": (ImageQuery(height=Span(max=479)), lambda _: False),
    "size": (ImageQuery(size_bytes=Span(1_000, 1_000)), lambda _: True),
    "bytes": (ImageQuery(sha256=digest_of("content 2")), lambda n: (n - 1) % 5 == 2),
    "unknown bytes": (ImageQuery(sha256=digest_of("none")), lambda _: False),
    "a label": (ImageQuery(labels=(("parity", "1"),)), lambda n: n % 2 == 0),
    "two labels": (
        ImageQuery(labels=(("parity", "0"), ("third", "yes"))),
        lambda n: (n - 1) % 6 == 0,
    ),
    "the reconciler's": (
        ImageQuery(states=frozenset({PENDING, PROCESSING}), created_until_us=START_US + 4),
        lambda n: n <= 12 and n not in {5, 6, 7, 8},
    ),
    "everything together": (
        ImageQuery(
            states=frozenset({PENDING}),
            formats=frozenset({1, 2}),
            created_from_us=START_US + 2,
            created_until_us=START_US + 6,
            width=Span(max=115),
            sha256=digest_of("content 0"),
            labels=(("parity", "0"),),
        ),
        lambda n: n == 11,
    ),
}


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("name", list(QUERIES))
async def test_all_conditions_hold(filled: CatalogStore, name: str, newest_first: bool) -> None:
    query, holds = QUERIES[name]
    expected = [number for number in range(1, COUNT + 1) if holds(number)]
    for size in (2, 50):
        found = await numbers(filled, query, newest_first=newest_first, size=size)
        assert found == (expected[::-1] if newest_first else expected)


async def test_a_page_goes_on_where_the_last_one_ended_whatever_happened_between(
    filled: CatalogStore, clock: Clock
) -> None:
    first = await filled.list_images(ImageQuery(), PageOrder(6), with_results=False)
    assert [image.number for image in first.images] == [24, 23, 22, 21, 20, 19]
    await filled.delete_image(19)
    await filled.hide_image(18)
    clock.now_us += 1
    await filled.create_image(new_image("late"), "")
    second = await filled.list_images(ImageQuery(), PageOrder(6, first.next), with_results=False)
    assert [image.number for image in second.images] == [17, 16, 15, 14, 13, 12]


async def test_a_page_ends_early_rather_than_grow_too_large(store: CatalogStore) -> None:
    count = 5
    for index in range(count):
        await store.create_image(new_image(f"{index}"), "")
        large = analysis(f"{index}", result=bytes(MAX_ANSWER_BYTES // 3 + 1))
        await store.write_outcome(outcome(index + 1, large))
    first = await store.list_images(ImageQuery(), PageOrder(50), with_results=True)
    assert [image.number for image in first.images] == [5, 4, 3]
    second = await store.list_images(ImageQuery(), PageOrder(50, first.next), with_results=True)
    assert [image.number for image in second.images] == [2, 1]
    assert second.next is None
    basic = await store.list_images(ImageQuery(), PageOrder(50), with_results=False)
    assert len(basic.images) == count


async def test_a_list_with_results_shows_what_each_image_shows(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    await store.create_image(new_image("sky"), "")
    await store.write_outcome(
        outcome(1, analysis("sea", result=b"i"), analysis("sea", "caption", result=b"c"))
    )
    page = await store.list_images(ImageQuery(), PageOrder(50), with_results=True)
    assert [(image.insights, image.caption) for image in page.images] == [(None, None), (b"i", b"c")]
    alone = [await store.get_image(number, with_results=True) for number in (2, 1)]
    assert list(page.images) == alone
