"""Counts of values: from counters that follow every change, on every store."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from services.catalog.conditions import TermField
from services.catalog.model import ImageChange
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.adapters import new_image
from tests.contract.catalog.pictures import Picture, caption, some_pictures, store_picture

COUNT = 30
FIELDS: tuple[TermField, ...] = get_args(TermField)
MAX_PAGES = 1_000

Kept = dict[int, Picture]


@pytest.fixture
async def kept(store: CatalogStore) -> Kept:
    """Pictures in the store, by number."""
    pictures = some_pictures(COUNT)
    return {await store_picture(store, content, picture): picture for content, picture in pictures.items()}


async def counts(
    store: CatalogStore, field: TermField, batch: str = "", size: int = 3
) -> list[tuple[str, int]]:
    """All values of a field, page by page."""
    found: list[tuple[str, int]] = []
    after: tuple[int, str] | None = None
    for _ in range(MAX_PAGES):
        page = await store.list_facets(field, batch, size, after)
        assert len(page.counts) <= size
        found += page.counts
        if page.next is None:
            return found
        assert len(page.counts) == size
        after = page.next
    raise AssertionError("the pages do not end")


def expected(kept: Kept, field: TermField, batch: str = "") -> list[tuple[str, int]]:
    counted = Counter(
        value
        for picture in kept.values()
        if picture.image.batch == batch or not batch
        for value in {value for name, value in picture.findings().terms if name == field}
    )
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))


async def check(store: CatalogStore, kept: Kept) -> None:
    for field in FIELDS:
        for batch in ("", "batches/1"):
            assert await counts(store, field, batch) == expected(kept, field, batch), (field, batch)


async def test_all_values_are_counted_most_frequent_first(store: CatalogStore, kept: Kept) -> None:
    await check(store, kept)
    assert all(expected(kept, field) for field in FIELDS), "each field must have values here"


@pytest.mark.parametrize("size", [1, 2, 5, 100])
async def test_pages_of_any_size_have_each_value_once(store: CatalogStore, kept: Kept, size: int) -> None:
    for field in ("tag", "label", "batch", "faces"):
        assert await counts(store, field, size=size) == expected(kept, field)


async def test_counts_follow_what_happens_to_images(store: CatalogStore, kept: Kept) -> None:
    for number in (1, 2, 3):
        await store.hide_image(number)
    for number in (4, 5):
        await store.delete_image(number)
    gone = {number: kept.pop(number) for number in (1, 2, 3, 4, 5)}
    await check(store, kept)
    await store.restore_image(2)
    kept[2] = gone[2]
    await check(store, kept)


async def test_counts_follow_labels_and_corrections(store: CatalogStore) -> None:
    described = Picture(new_image(labels={"a": "1"}), None, caption("", ("sea", "sky")), ImageState.PROCESSED)
    number = await store_picture(store, "sea", described)
    said = catalog_pb2.Corrections(added_tags=["Boat"], removed_tags=["sky"])
    await store.change_image(number, ImageChange({"b": "2"}, said.SerializeToString()), None)
    assert await counts(store, "tag") == [("boat", 1), ("sea", 1)]
    assert await counts(store, "label") == [("b=2", 1)]


async def test_a_batch_that_is_not_there_has_no_values(store: CatalogStore, kept: Kept) -> None:
    assert await counts(store, "tag", "batches/none") == []
    for number, picture in kept.items():
        if picture.image.batch == "batches/2":
            await store.hide_image(number)
    assert await counts(store, "tag", "batches/2") == []


async def test_values_of_the_same_count_come_in_the_order_of_their_bytes(store: CatalogStore) -> None:
    tags = ("\u00e4", "a", "z", "\u6d77", "b c", "\U0001f600", "%", "a'b")
    await store_picture(store, "sea", Picture(new_image(), None, caption("", tags), ImageState.PROCESSED))
    for size in (1, 3):
        found = await counts(store, "tag", size=size)
        assert found == [(tag, 1) for tag in sorted(tags)]
