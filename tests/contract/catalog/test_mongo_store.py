"""What is MongoDB's own in the store: its bounds, and conditions that are more than the walk for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.colors import cell_of, cells_near, is_near
from services.catalog.conditions import AnyOf, ColorNear, Condition, NameContains, Not, Term
from services.catalog.model import ImageQuery, PageOrder
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason
from sightmill.v1 import analyzer_pb2
from tests.contract.catalog.adapters import Clock, analysis, new_image, outcome
from tests.contract.catalog.mongo_adapter import open_mongo_store

WANTED, OTHER = (200, 40, 40), (150, 20, 40)


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[CatalogStore]:
    async with open_mongo_store(tmp_path, clock) as opened:
        yield opened


async def numbers(store: CatalogStore, condition: Condition) -> list[int]:
    page = await store.list_images(ImageQuery(condition), PageOrder(10), with_results=False)
    return [image.number for image in page.images]


async def test_a_color_of_a_near_cell_is_not_near_by_that(store: CatalogStore) -> None:
    assert cell_of(OTHER) in cells_near(WANTED)
    assert not is_near(WANTED, [OTHER])
    for content, color in (("a", WANTED), ("b", OTHER)):
        image, _ = await store.create_image(new_image(content), "")
        found = analyzer_pb2.Insights(analyzer_version="1")
        dominant = found.dominant_colors.add().color
        dominant.red, dominant.green, dominant.blue = color
        result = analysis(content, result=found.SerializeToString())
        assert await store.write_outcomes([outcome(image.number, result, state=ImageState.PROCESSED)]) == [
            None
        ]
    near = ColorNear(*WANTED)
    assert await numbers(store, near) == [1]
    assert await numbers(store, AnyOf((near, Term("tag", "none")))) == [1]
    assert await numbers(store, Not(near)) == [2]


async def test_a_result_that_no_document_can_hold_is_refused_alone(store: CatalogStore) -> None:
    for content in "ab":
        await store.create_image(new_image(content), "")
    large = analysis("a", result=bytes(16 * 1024 * 1024))
    small = analysis("b", result=analyzer_pb2.Insights(analyzer_version="1").SerializeToString())
    refusal, stored = await store.write_outcomes([outcome(1, large), outcome(2, small)])
    assert refusal is not None
    assert refusal.reason == Reason.INVALID_FIELD
    assert stored is None
    assert (await store.read_stats()).analysis_count == 1


async def test_names_are_taken_as_they_are(store: CatalogStore) -> None:
    for name in ("a.b\0c.jpg", "axb c.jpg"):
        await store.create_image(new_image(name=name), "")
    assert await numbers(store, NameContains("a.b\0C")) == [1]
    assert await numbers(store, NameContains("b C")) == [2]
