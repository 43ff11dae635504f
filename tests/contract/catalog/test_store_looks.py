"""What every store says of looks, of pairs and of repeated bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.model import Look, LookPair
from tests.contract.catalog.adapters import Clock, digest_of
from tests.contract.catalog.look_stores import GREY, LookCatalog, open_look_catalog

HIGHEST = 2**64 - 1


@pytest.fixture(params=["sqlite", "mongo"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[LookCatalog]:
    async with open_look_catalog(request.param, tmp_path, clock) as opened:
        yield opened


async def numbers_after(catalog: LookCatalog, after: int) -> list[int]:
    return [row.number for row in await catalog.looks.read_looks(after, 100)]


async def test_looks_come_in_the_order_of_their_changes(catalog: LookCatalog) -> None:
    sea = await catalog.add("sea", HIGHEST, 2**63, bytes(range(48)))
    bare = await catalog.add("bare")
    hill = await catalog.add("hill", 0, 1, b"")
    first, second = await catalog.looks.read_looks(0, 100)
    assert (first.number, second.number) == (sea, hill)
    assert first.look == Look(HIGHEST, 2**63, bytes(range(48)))
    assert second.look == Look(0, 1, b"")
    assert await catalog.looks.look_of(sea) == first
    assert await catalog.looks.look_of(bare) is None
    assert await catalog.looks.read_looks(0, 1) == [first]
    await catalog.analyze("sea", sea, Look(5, 5, GREY), version="2")
    (again,) = await catalog.looks.read_looks(second.sequence, 100)
    assert (again.number, again.look.phash) == (sea, 5)


async def test_hidden_images_have_no_look_until_they_come_back(catalog: LookCatalog) -> None:
    sea = await catalog.add("sea", 1)
    hill = await catalog.add("hill", 2)
    newest = (await catalog.looks.read_looks(0, 100))[-1].sequence
    await catalog.images.hide_image(sea)
    assert await catalog.looks.look_of(sea) is None
    await catalog.images.restore_image(sea)
    assert await numbers_after(catalog, newest) == [sea]
    await catalog.images.delete_image(hill)
    assert await catalog.looks.look_of(hill) is None


async def test_pairs_come_by_their_numbers_and_may_be_written_again(catalog: LookCatalog) -> None:
    pairs = [LookPair(300, 2, 4), LookPair(2, 1, 0), LookPair(300, 299, 14), LookPair(70_000, 1, 9)]
    await catalog.looks.write_pairs(pairs[:2], 5)
    await catalog.looks.write_pairs(pairs, 9)
    ordered = sorted(pairs, key=lambda pair: (pair.number, pair.earlier))
    assert await catalog.looks.read_pairs((0, 0), 10) == ordered
    assert await catalog.looks.read_pairs((300, 2), 10) == ordered[2:]
    assert await catalog.looks.read_pairs((0, 0), 2) == ordered[:2]


async def test_the_mark_never_goes_back(catalog: LookCatalog) -> None:
    assert await catalog.looks.compared_through() == 0
    await catalog.looks.write_pairs([], 9)
    await catalog.looks.write_pairs([LookPair(2, 1, 0)], 5)
    assert await catalog.looks.compared_through() == 9


async def test_bytes_are_repeated_while_two_images_have_them(catalog: LookCatalog) -> None:
    sea = [await catalog.add("sea") for _ in range(3)]
    hill = [await catalog.add("hill") for _ in range(2)]
    await catalog.add("once")
    expected = sorted([(digest_of("sea"), sea), (digest_of("hill"), hill)])
    assert await catalog.looks.list_repeated(10, "") == expected
    assert await catalog.looks.list_repeated(1, "") == expected[:1]
    assert await catalog.looks.list_repeated(10, expected[0][0]) == expected[1:]
    await catalog.images.hide_image(sea[1])
    await catalog.images.delete_image(hill[0])
    assert await catalog.looks.list_repeated(10, "") == [(digest_of("sea"), [sea[0], sea[2]])]
    await catalog.images.hide_image(sea[0])
    assert await catalog.looks.list_repeated(10, "") == []
    await catalog.images.restore_image(sea[1])
    assert await catalog.looks.list_repeated(10, "") == [(digest_of("sea"), sea[1:])]
