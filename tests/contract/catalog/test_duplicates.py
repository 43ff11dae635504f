"""Groups of duplicates, in both stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.catalog.looks import duplicate_groups
from services.catalog.looks.duplicate_groups import DuplicatesPage, DuplicatesQuery
from services.catalog.model import Look, LookPair
from services.runtime.errors import Reason, UnavailableError
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.look_stores import GREY, LookCatalog, open_look_catalog

DARK = bytes((20, 128, 128)) * 16


@pytest.fixture(params=["sqlite", "mongo"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[LookCatalog]:
    async with open_look_catalog(request.param, tmp_path, clock) as opened:
        yield opened


def bits(count: int) -> int:
    return (1 << count) - 1


async def ask(
    catalog: LookCatalog, max_distance: int = 10, size: int = 50, below: int | None = None
) -> DuplicatesPage:
    """As a process that has just started answers."""
    fresh = LookCatalog.of(catalog.images, catalog.looks)
    return await fresh.groups.list_groups(DuplicatesQuery(max_distance, size, below, b""))


def shown(page: DuplicatesPage) -> list[list[int]]:
    return [[image.number for image in group.images] for group in page.groups]


async def test_the_same_bytes_are_a_group_without_any_sweep(catalog: LookCatalog) -> None:
    sea = [await catalog.add("sea") for _ in range(2)]
    hill = [await catalog.add("hill") for _ in range(3)]
    sea.append(await catalog.add("sea"))
    await catalog.add("once")
    for max_distance in (0, 10):
        page = await ask(catalog, max_distance)
        assert shown(page) == [sea, hill]
        assert [group.keeper.number for group in page.groups] == [sea[0], hill[0]]
        assert page.groups[0].reason == "All have the same bytes; this one is the oldest."


async def test_near_ones_are_connected_through_each_other(catalog: LookCatalog) -> None:
    first = await catalog.add("first", bits(0))
    await catalog.add("other", bits(40) << 20, bits(40))
    second = await catalog.add("second", bits(8))
    third = await catalog.add("third", bits(16))
    twin = await catalog.add("third")
    assert shown(await ask(catalog, 10)) == [[third, twin]]
    await catalog.sweep_all()
    assert shown(await ask(catalog, 10)) == [[first, second, third, twin]]
    assert shown(await ask(catalog, 8)) == [[first, second, third, twin]]
    assert shown(await ask(catalog, 7)) == [[third, twin]]
    assert shown(await ask(catalog, 0)) == [[third, twin]]


async def test_beyond_ten_bits_the_colours_must_be_alike(catalog: LookCatalog) -> None:
    alike = [await catalog.add("one", 0, bits(60)), await catalog.add("two", bits(13), 0)]
    await catalog.add("three", bits(13) << 40, bits(60) << 4, DARK)
    await catalog.sweep_all()
    assert shown(await ask(catalog, 14)) == [alike]
    assert shown(await ask(catalog, 13)) == [alike]
    assert shown(await ask(catalog, 12)) == []


async def test_the_keeper_is_the_largest_then_the_sharpest(catalog: LookCatalog) -> None:
    small = await catalog.add("small", 0, quality=99.0, width=320)
    blurred = await catalog.add("blurred", 1, quality=40.5, size_bytes=9_000)
    sharp = await catalog.add("sharp", 2, quality=71.25)
    await catalog.sweep_all()
    (group,) = (await ask(catalog)).groups
    assert [image.number for image in group.images] == [small, blurred, sharp]
    assert group.keeper.number == sharp
    assert group.reason == "640 x 480 pixels and a quality of 71.25; the next has 40.5."


async def test_pages_come_with_the_newest_first(catalog: LookCatalog) -> None:
    pairs = [[await catalog.add(f"{turn}"), await catalog.add(f"{turn}")] for turn in range(5)]
    found: list[list[int]] = []
    page = await ask(catalog, 0, size=2)
    while page.next is not None:
        assert len(page.groups) == 2
        found += shown(page)
        page = await ask(catalog, 0, size=2, below=page.next)
    assert found + shown(page) == pairs[::-1]


async def test_what_is_gone_leaves_its_group(catalog: LookCatalog) -> None:
    one, two, three = [await catalog.add(str(number), number) for number in (1, 2, 3)]
    pair = [await catalog.add("pair"), await catalog.add("pair")]
    await catalog.sweep_all()
    running = catalog.groups
    query = DuplicatesQuery(10, 50, None, b"")
    assert shown(await running.list_groups(query)) == [pair, [one, two, three]]
    await catalog.images.hide_image(two)
    await catalog.images.delete_image(pair[0])
    for page in (await running.list_groups(query), await ask(catalog)):
        assert shown(page) == [[one, three]]
        assert (page.compared, page.comparable) == (2, 2)
    await catalog.images.restore_image(two)
    await catalog.sweep_all()
    assert shown(await ask(catalog)) == [[one, two, three]]


async def test_a_pair_that_a_new_analysis_parted_is_no_group(catalog: LookCatalog) -> None:
    one = await catalog.add("one", 0, bits(60))
    two = await catalog.add("two", 1, bits(60))
    await catalog.sweep_all()
    await catalog.analyze("one", one, Look(bits(40) << 20, 0, DARK), version="2")
    assert shown(await ask(catalog)) == []
    await catalog.sweep_all()
    assert shown(await ask(catalog)) == []
    await catalog.analyze("one", one, Look(0, bits(60), GREY), version="3")
    await catalog.sweep_all()
    assert shown(await ask(catalog)) == [[one, two]]


async def test_it_says_how_far_the_search_is(catalog: LookCatalog) -> None:
    for number in range(5):
        await catalog.add(str(number), number)
    await catalog.add("bare")
    await catalog.sweep.compare_next(2)
    page = await ask(catalog)
    assert (page.compared, page.comparable) == (2, 5)
    await catalog.sweep_all()
    page = await ask(catalog)
    assert (page.compared, page.comparable) == (5, 5)


async def test_a_sweep_that_dies_at_the_write_repeats_it_harmlessly(catalog: LookCatalog) -> None:
    numbers = [await catalog.add(str(number), number) for number in range(6)]
    write = catalog.looks.write_pairs

    async def write_and_die(pairs: Sequence[LookPair], compared_through: int) -> None:
        # The worst moment: the pairs are there, the mark is not.
        await write(pairs, 0)
        raise UnavailableError(Reason.STORE_UNAVAILABLE, "Died here.")

    catalog.looks.write_pairs = write_and_die  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await catalog.sweep.compare_next(4)
    catalog.looks.write_pairs = write  # type: ignore[method-assign]
    assert await catalog.looks.compared_through() == 0
    again = LookCatalog.of(catalog.images, catalog.looks)
    await again.sweep_all()
    assert shown(await ask(catalog)) == [numbers]
    pairs = await catalog.looks.read_pairs((0, 0), 100)
    assert len(pairs) == len({(pair.number, pair.earlier) for pair in pairs}) == 15


async def test_two_sweeps_at_once_find_the_same(catalog: LookCatalog) -> None:
    numbers = [await catalog.add(str(number), number) for number in range(8)]
    other = LookCatalog.of(catalog.images, catalog.looks)
    while await catalog.sweep.compare_next(3) + await other.sweep.compare_next(2):
        pass
    for process in (catalog, other):
        page = await process.groups.list_groups(DuplicatesQuery(10, 50, None, b""))
        assert shown(page) == [numbers]
        assert (page.compared, page.comparable) == (8, 8)


async def test_what_is_found_later_appears_in_a_running_process(catalog: LookCatalog) -> None:
    query = DuplicatesQuery(10, 50, None, b"")
    assert shown(await catalog.groups.list_groups(query)) == []
    numbers = [await catalog.add(str(number), number) for number in range(2)]
    await catalog.sweep_all()
    async with asyncio.timeout(20):
        while shown(await catalog.groups.list_groups(query)) != [numbers]:
            pass


async def test_a_page_of_large_groups_ends_early(
    catalog: LookCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, smaller in (("MOST_MEMBERS", 10), ("_PAGE", 10), ("_MOST_IMAGES", 20)):
        monkeypatch.setattr(duplicate_groups, name, smaller)
    numbers = [
        [await catalog.add(str(turn)) for _ in range(count)] for turn, count in enumerate((9, 9, 9, 12))
    ]
    page = await ask(catalog, 0)
    assert shown(page) == [numbers[3][-10:], numbers[2], numbers[1]]
    page = await ask(catalog, 0, below=page.next)
    assert shown(page) == numbers[:1]
    assert page.next is None
