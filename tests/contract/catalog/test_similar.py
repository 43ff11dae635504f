"""Similar images, in both stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.looks.similar import Measure, SimilarPage, SimilarQuery, find_similar
from services.catalog.model import Look, Position
from services.runtime.errors import FailedPreconditionError, NotFoundError, Reason
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.look_stores import GREY, LookCatalog, open_look_catalog


@pytest.fixture(params=["sqlite", "mongo"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[LookCatalog]:
    async with open_look_catalog(request.param, tmp_path, clock) as opened:
        yield opened


async def ask(
    catalog: LookCatalog,
    number: int,
    measure: Measure = "look",
    max_distance: int = 8,
    size: int = 50,
    after: Position | None = None,
) -> SimilarPage:
    query = SimilarQuery(number, measure, max_distance, size, after, b"")
    return await find_similar(catalog.images, catalog.looks, catalog.index, query)


def shown(page: SimilarPage) -> list[tuple[int, int, float]]:
    return [(found.image.number, found.distance, found.color_distance) for found in page.images]


def light(level: int) -> bytes:
    return bytes((level, 128, 128)) * 16


async def test_the_nearest_by_look_come_first_with_both_distances(catalog: LookCatalog) -> None:
    asked = await catalog.add("asked", 0)
    far = await catalog.add("far", 0b111)
    near = await catalog.add("near", 0b1, signature=light(123))
    same = await catalog.add("same", 0)
    await catalog.add("other", 2**64 - 1)
    await catalog.add("bare")
    page = await ask(catalog, asked)
    assert shown(page) == [(same, 0, 0.0), (near, 1, 1.0), (far, 3, 0.0)]
    assert page.next is None
    assert shown(await ask(catalog, asked, max_distance=1)) == [(same, 0, 0.0), (near, 1, 1.0)]


async def test_the_nearest_by_colour_may_look_different(catalog: LookCatalog) -> None:
    asked = await catalog.add("asked", 0, signature=light(100))
    lighter = await catalog.add("lighter", 2**64 - 1, signature=light(112))
    alike = await catalog.add("alike", 0b1, signature=light(99))
    await catalog.add("white", 0, signature=light(255))
    await catalog.add("unsigned", 0, signature=b"")
    assert shown(await ask(catalog, asked, "color")) == [(alike, 1, 16 / 48), (lighter, 64, 4.0)]
    assert shown(await ask(catalog, asked, "color", 1)) == [(alike, 1, 16 / 48)]


async def test_pages_go_on_through_images_of_one_distance(catalog: LookCatalog) -> None:
    asked = await catalog.add("asked", 0)
    others = [await catalog.add(f"copy {number}", 0b1) for number in range(5)]
    numbers: list[int] = []
    page = await ask(catalog, asked, size=2)
    while page.next:
        numbers += [found.image.number for found in page.images]
        page = await ask(catalog, asked, size=2, after=page.next)
    assert numbers + [found.image.number for found in page.images] == others


async def test_what_is_gone_is_left_out_and_made_good(catalog: LookCatalog) -> None:
    asked = await catalog.add("asked", 0)
    others = [await catalog.add(f"copy {number}", 0b1) for number in range(4)]
    await ask(catalog, asked)
    await catalog.images.hide_image(others[0])
    await catalog.images.delete_image(others[1])
    page = await ask(catalog, asked, size=2)
    assert [found.image.number for found in page.images] == others[2:]
    assert catalog.index.count == 3
    await catalog.images.restore_image(others[0])
    assert len((await ask(catalog, asked)).images) == 3


async def test_a_new_analysis_counts_at_once(catalog: LookCatalog) -> None:
    asked = await catalog.add("asked", 0)
    other = await catalog.add("other", 2**64 - 1)
    assert shown(await ask(catalog, asked)) == []
    await catalog.analyze("other", other, Look(0b11, 0, GREY), version="2")
    assert shown(await ask(catalog, asked)) == [(other, 2, 0.0)]


async def test_an_image_without_a_look_is_refused(catalog: LookCatalog) -> None:
    bare = await catalog.add("bare")
    unsigned = await catalog.add("unsigned", 0, signature=b"")
    for number, measure in ((bare, "look"), (bare, "color"), (unsigned, "color")):
        with pytest.raises(FailedPreconditionError, match="analyse it again") as refusal:
            await ask(catalog, number, measure)  # type: ignore[arg-type]  # both are measures
        assert refusal.value.reason == Reason.WRONG_STATE
    assert shown(await ask(catalog, unsigned)) == []
    with pytest.raises(NotFoundError):
        await ask(catalog, 999)
