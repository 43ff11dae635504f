"""Creating, finding, changing and deleting images, on every store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from services.catalog.conditions import SameBytes, Term
from services.catalog.model import ImageChange, ImageQuery, PageOrder
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2
from tests.contract.catalog.adapters import Clock, OpenStore, analysis, new_image, outcome, write_outcome


async def refused(call: Awaitable[object], reason: errors_pb2.ErrorReason.ValueType) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        await call
    assert refusal.value.reason == reason, refusal.value
    return refusal.value


async def test_an_image_comes_back_as_it_was_stored(store: CatalogStore, clock: Clock) -> None:
    new = replace(
        new_image(labels={"album": 'a "quoted" \u00e4\u2028', "x": ""}),
        process_options=b"\x08\x01",
        batch="batches/7",
        display_name="\u6d77 'sea'; --.jpg",
    )
    created, is_new = await store.create_image(new, "")
    assert is_new
    assert created.image == new
    assert created.number == 1
    assert created.uuid.version == 7
    assert created.create_time_us == created.update_time_us == clock.now_us
    assert created.process_time_us is None
    assert created.delete_time_us is None
    assert await store.get_image(created.uuid, with_results=False) == created
    assert await store.get_image(1, with_results=True) == created


async def test_names_and_numbers_ascend_in_the_order_of_creation(store: CatalogStore, clock: Clock) -> None:
    clock.step_us = 0
    made = [(await store.create_image(new_image(f"{index}"), ""))[0] for index in range(20)]
    assert [image.number for image in made] == list(range(1, 21))
    assert [image.uuid for image in made] == sorted(image.uuid for image in made)
    assert all(image.uuid.int >> 80 == image.create_time_us // 1_000 for image in made)


async def test_numbers_are_never_used_twice(open_store: OpenStore, tmp_path: Path, clock: Clock) -> None:
    async with open_store(tmp_path, clock) as store:
        for content in "abc":
            await store.create_image(new_image(content), "")
        for number in (3, 2):
            await store.delete_image(number)
    async with open_store(tmp_path, clock) as store:
        again, _ = await store.create_image(new_image("d"), "")
        assert again.number == 4


async def test_a_repeated_request_gives_the_first_image(store: CatalogStore) -> None:
    first, created = await store.create_image(new_image(labels={"a": "1"}), "r-1")
    again, created_again = await store.create_image(new_image(labels={"a": "2"}), "r-1")
    assert (created, created_again) == (True, False)
    assert again == first
    other, _ = await store.create_image(new_image(), "r-2")
    assert other.number == 2
    assert (await store.read_stats()).image_count == 2


async def test_requests_at_the_same_time_make_one_image(store: CatalogStore) -> None:
    answers = await asyncio.gather(*(store.create_image(new_image(), "r-1") for _ in range(32)))
    assert sum(created for _, created in answers) == 1
    assert {image.number for image, _ in answers} == {1}


async def test_a_request_id_with_other_bytes_is_refused(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "r-1")
    await refused(store.create_image(new_image("sky"), "r-1"), Reason.REQUEST_ID_REUSED)
    assert (await store.read_stats()).image_count == 1


async def test_a_request_id_is_free_again_after_deletion_for_good(store: CatalogStore) -> None:
    first, _ = await store.create_image(new_image(), "r-1")
    await store.hide_image(first.uuid)
    hidden, created = await store.create_image(new_image(), "r-1")
    assert not created
    assert hidden.delete_time_us is not None
    await store.delete_image(first.uuid)
    second, created = await store.create_image(new_image("sky"), "r-1")
    assert created
    assert second.number == 2


@pytest.mark.parametrize("change", [{"blob_key": "elsewhere"}, {"size_bytes": 7}])
async def test_equal_bytes_have_one_key_and_one_size(store: CatalogStore, change: dict[str, object]) -> None:
    await store.create_image(new_image(), "")
    other = replace(new_image(), **change)  # type: ignore[arg-type]  # the parametrisation knows the types
    await refused(store.create_image(other, ""), Reason.INVALID_FIELD)
    assert (await store.read_stats()).image_count == 1


@pytest.mark.parametrize("key", [uuid.UUID(int=7), 7])
async def test_an_unknown_image_is_not_found(store: CatalogStore, key: uuid.UUID | int) -> None:
    calls: list[Awaitable[object]] = [
        store.get_image(key, with_results=True),
        store.change_image(key, ImageChange(labels={}), None),
        store.delete_image(key),
        store.hide_image(key),
        store.restore_image(key),
        store.list_analyses(key, PageOrder(10)),
        write_outcome(store, outcome(key, state=ImageState.PROCESSED)),
    ]
    for call in calls:
        await refused(call, Reason.IMAGE_NOT_FOUND)
    assert await store.start_images([key]) == []


async def test_a_hidden_image_is_nowhere_until_it_is_restored(store: CatalogStore) -> None:
    image, _ = await store.create_image(new_image(labels={"album": "sea"}), "")
    await store.hide_image(image.uuid)
    for call in (
        store.get_image(image.uuid, with_results=False),
        store.hide_image(image.uuid),
        store.change_image(image.uuid, ImageChange(labels={}), None),
        store.list_analyses(image.number, PageOrder(10)),
    ):
        await refused(call, Reason.IMAGE_NOT_FOUND)
    for query in (
        ImageQuery(),
        ImageQuery(SameBytes(image.image.sha256)),
        ImageQuery(Term("label", "album=sea")),
        ImageQuery(Term("state", "1")),
    ):
        page = await store.list_images(query, PageOrder(10), with_results=False)
        assert (page.images, page.total) == ((), 0)
    assert await store.start_images([image.uuid]) == []

    restored = await store.restore_image(image.uuid)
    assert restored.image == image.image
    assert restored.delete_time_us is None
    assert await store.get_image(image.number, with_results=False) == restored
    assert (await store.read_stats()).states == {ImageState.PENDING: 1}
    refusal = await refused(store.restore_image(image.uuid), Reason.WRONG_STATE)
    assert refusal.metadata["state"] == "not deleted"


async def test_labels_are_replaced_and_found(store: CatalogStore, clock: Clock) -> None:
    image, _ = await store.create_image(new_image(labels={"album": "sea", "year": "2024"}), "")
    clock.now_us += 1_000_000
    changed = await store.change_image(image.uuid, ImageChange(labels={"album": "sky"}), image.revision)
    assert changed.image.labels == {"album": "sky"}
    assert changed.update_time_us == clock.now_us
    assert changed.revision != image.revision
    for label, count in (("album=sky", 1), ("album=sea", 0), ("year=2024", 0)):
        query = ImageQuery(Term("label", label))
        page = await store.list_images(query, PageOrder(10), with_results=False)
        assert len(page.images) == count
    assert (await store.list_facets("label", "", 10, None)).counts == (("album=sky", 1),)


async def test_a_change_on_an_old_revision_is_refused(store: CatalogStore) -> None:
    image, _ = await store.create_image(new_image(), "")
    await store.change_image(image.uuid, ImageChange(labels={"a": "1"}), image.revision)
    await refused(
        store.change_image(image.uuid, ImageChange(labels={"a": "2"}), image.revision), Reason.ETAG_MISMATCH
    )
    assert (await store.get_image(image.uuid, with_results=False)).image.labels == {"a": "1"}


async def test_everything_is_there_after_opening_again(
    open_store: OpenStore, tmp_path: Path, clock: Clock
) -> None:
    async with open_store(tmp_path, clock) as store:
        image, _ = await store.create_image(new_image(labels={"a": "1"}), "r-1")
        await write_outcome(store, outcome(image.uuid, analysis(), state=ImageState.PROCESSED))
        before = await store.get_image(image.uuid, with_results=True)
        stats = await store.read_stats()
    async with open_store(tmp_path, clock) as store:
        assert await store.get_image(image.uuid, with_results=True) == before
        assert await store.read_stats() == stats
        assert (await store.create_image(new_image(), "r-1"))[1] is False
        await store.ping()
