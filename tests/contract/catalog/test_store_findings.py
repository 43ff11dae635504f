"""Facets, lists and search keep step with every change, and what people said stays, on every store."""

from __future__ import annotations

import pytest

from services.catalog.conditions import EVERYTHING, Condition, Term, TermField
from services.catalog.model import ImageChange, ImageQuery, PageOrder, SearchWords
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.adapters import analysis, caption, insights, new_image, outcome, write_outcome

PROCESSED, FAILED = ImageState.PROCESSED, ImageState.FAILED
BOAT = caption("A boat at sea", tags=["Boat", "sea"], provider="mistral")


async def counts(store: CatalogStore, field: TermField, batch: str = "") -> dict[str, int]:
    return dict((await store.list_facets(field, batch, 100, None)).counts)


async def listed(store: CatalogStore, condition: Condition) -> list[int]:
    page = await store.list_images(ImageQuery(condition), PageOrder(100), with_results=False)
    return [image.number for image in page.images]


async def found(store: CatalogStore, word: str) -> list[int]:
    page = await store.search_images(SearchWords(words=(word,)), EVERYTHING, 100, None)
    return [hit.image.number for hit in page.hits]


async def described(store: CatalogStore, batch: str = "") -> None:
    """Makes an image with the caption of a boat."""
    image, _ = await store.create_image(new_image(batch=batch), "")
    found_it = analysis(analyzer="caption", result=BOAT)
    await write_outcome(store, outcome(image.uuid, found_it, state=PROCESSED))


def said(**corrections: object) -> ImageChange:
    message = catalog_pb2.Corrections(**corrections)  # type: ignore[arg-type]  # the caller knows the fields
    return ImageChange(corrections=message.SerializeToString())


async def test_what_people_said_survives_a_new_analysis(store: CatalogStore) -> None:
    await described(store)
    change = said(caption="My uncle's yacht", added_tags=["Yacht"], removed_tags=["boat"], title="Summer")
    changed = await store.change_image(1, change, None)
    assert changed.corrections == change.corrections
    newer = analysis(analyzer="caption", version="2", result=caption("Boats", tags=["boat", "harbour"]))
    await write_outcome(store, outcome(1, newer, state=PROCESSED))
    image = await store.get_image(1, with_results=True)
    assert (image.corrections, image.caption) == (change.corrections, newer.result)
    assert await counts(store, "tag") == {"yacht": 1, "harbour": 1}
    assert [await found(store, word) for word in ("uncle", "summer", "yacht")] == [[1]] * 3
    assert [await found(store, word) for word in ("boats", "boat")] == [[], []]


async def test_corrections_and_labels_change_apart(store: CatalogStore) -> None:
    await described(store)
    await store.change_image(1, ImageChange(labels={"a": "1"}), None)
    await store.change_image(1, said(removed_tags=["SEA "]), None)
    image = await store.change_image(1, ImageChange(labels={"a": "2"}), None)
    assert image.corrections
    assert await counts(store, "label") == {"a=2": 1}
    assert await counts(store, "tag") == {"boat": 1}
    await store.change_image(1, said(), None)
    assert await counts(store, "tag") == {"boat": 1, "sea": 1}
    assert (await store.get_image(1, with_results=False)).image.labels == {"a": "2"}


async def test_a_correction_on_an_old_revision_changes_nothing(store: CatalogStore) -> None:
    await described(store)
    image = await store.get_image(1, with_results=False)
    await store.change_image(1, said(title="New"), image.revision)
    with pytest.raises(Exception, match="changed since it was read"):
        await store.change_image(1, said(title="Late"), image.revision)
    assert [await found(store, word) for word in ("new", "late")] == [[1], []]


@pytest.mark.parametrize("batch", ["", "batches/1"])
async def test_values_are_counted_while_images_can_be_seen(store: CatalogStore, batch: str) -> None:
    for _ in range(3):
        await described(store, batch)

    async def assert_seen(*numbers: int) -> None:
        expected = {"boat": len(numbers), "sea": len(numbers)} if numbers else {}
        for scope in {"", batch}:
            assert await counts(store, "tag", scope) == expected
            assert await counts(store, "format", scope) == ({"1": len(numbers)} if numbers else {})
        assert await listed(store, Term("provider", "mistral")) == list(numbers)
        assert await found(store, "boat") == list(numbers)

    await assert_seen(3, 2, 1)
    await store.hide_image(2)
    await assert_seen(3, 1)
    await store.delete_image(3)
    await assert_seen(1)
    await store.restore_image(2)
    await assert_seen(2, 1)
    await store.hide_image(1)
    await store.purge_hidden(2**62, 10)
    await assert_seen(2)
    await store.delete_image(2)
    await assert_seen()


async def test_a_hidden_image_that_is_analysed_is_found_once_restored(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await store.hide_image(1)
    result = insights("Ahoi", scene={"type": 2}, faces={"faces": [{"confidence": 0.5}]})
    await write_outcome(store, outcome(1, analysis(result=result), state=PROCESSED))
    assert await counts(store, "state") == {}
    assert await found(store, "ahoi") == []
    await store.restore_image(1)
    assert await counts(store, "state") == {"3": 1}
    assert (await counts(store, "scene"), await counts(store, "faces")) == ({"2": 1}, {"1": 1})
    assert await found(store, "ahoi") == [1]


async def test_the_state_moves_in_facets_and_lists(store: CatalogStore) -> None:
    for content in ("a", "b", "c"):
        await store.create_image(new_image(content, batch="batches/1"), "")
    await store.start_images([1, 2])
    assert await counts(store, "state", "batches/1") == {"1": 1, "2": 2}
    await store.write_outcomes([outcome(1, state=FAILED), outcome(2, analysis("b"), state=PROCESSED)])
    assert await counts(store, "state", "batches/1") == {"1": 1, "3": 1, "4": 1}
    assert [await listed(store, Term("state", str(state))) for state in range(1, 6)] == [
        [3],
        [],
        [2],
        [1],
        [],
    ]
    # Starting again what is at its end moves nothing.
    await store.start_images([1, 2])
    assert await counts(store, "state") == {"1": 1, "3": 1, "4": 1}


async def test_an_analysis_of_other_settings_takes_the_place_of_the_shown_one(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    one = insights("one", dominant_colors=[{"color": {"red": 255}}])
    await write_outcome(store, outcome(1, analysis(settings="a", result=one), state=PROCESSED))
    assert await counts(store, "analysis") == {"caption none": 1, "insights 1 a": 1}
    await write_outcome(store, outcome(1, analysis(settings="b", result=insights("two"))))
    assert await counts(store, "analysis") == {"caption none": 1, "insights 1 b": 1}
    assert [await found(store, word) for word in ("one", "two")] == [[], [1]]
