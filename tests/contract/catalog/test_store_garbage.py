"""From the last image with some bytes to bytes that are gone, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from services.catalog.model import PageOrder, StrayBlob
from services.catalog.names import ImageKey
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2
from tests.contract.catalog.adapters import Clock, analysis, digest_of, new_image, outcome, write_outcome

SEA = digest_of("sea")
EVER_US = 2**62


async def refused(call: Awaitable[object], reason: errors_pb2.ErrorReason.ValueType) -> ServiceError:
    with pytest.raises(ServiceError) as refusal:
        await call
    assert refusal.value.reason == reason, refusal.value
    return refusal.value


async def condemned(store: CatalogStore, before_us: int = EVER_US, most: int = 100) -> list[str]:
    return [blob.sha256 for blob in await store.condemn_blobs(before_us, most)]


async def test_bytes_are_garbage_once_the_last_image_is_gone(store: CatalogStore, clock: Clock) -> None:
    names: list[ImageKey] = [(await store.create_image(new_image(), ""))[0].uuid for _ in range(3)]
    await write_outcome(store, outcome(None, analysis()))
    await store.hide_image(names[0])
    for name in names:
        assert await condemned(store) == []
        await store.delete_image(name)
    stats = await store.read_stats()
    assert (stats.image_count, stats.blob_count, stats.blob_bytes, stats.analysis_count) == (0, 0, 0, 0)
    await refused(write_outcome(store, outcome(None, analysis())), Reason.IMAGE_NOT_FOUND)
    assert await condemned(store, before_us=clock.now_us - 5) == []
    (blob,) = await store.condemn_blobs(EVER_US, 10)
    assert (blob.sha256, blob.blob_key) == (SEA, new_image().blob_key)


async def test_garbage_that_is_needed_again_lives_with_its_analyses(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(store, outcome(1, analysis(), state=ImageState.PROCESSED))
    await store.delete_image(1)
    again, _ = await store.create_image(new_image(), "")
    assert (await store.list_analyses(again.uuid, PageOrder(10))).analyses == (analysis(),)
    stats = await store.read_stats()
    assert (stats.blob_count, stats.analysis_count) == (1, 1)
    assert await condemned(store) == []


async def test_condemned_bytes_cannot_be_referred_to(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    await write_outcome(store, outcome(1, analysis(), state=ImageState.PROCESSED))
    await store.delete_image(1)
    assert await condemned(store) == [SEA]
    refusal = await refused(store.create_image(new_image(), "r-1"), Reason.BLOB_BEING_COLLECTED)
    assert refusal.retry_after_s
    # A sweep that died between condemning and forgetting finds them again, however young they are.
    assert await condemned(store, before_us=0) == [SEA]
    assert (await store.read_stats()).image_count == 0


async def test_collected_bytes_come_back_with_their_generation_only(store: CatalogStore) -> None:
    for generation in (1, 2):
        image, _ = await store.create_image(new_image(), "", generation - 1)
        await write_outcome(store, outcome(image.uuid, analysis(), state=ImageState.PROCESSED))
        await store.delete_image(image.uuid)
        # What is not condemned is not forgotten.
        await store.forget_blobs([SEA])
        assert await condemned(store) == [SEA]
        await store.forget_blobs([SEA, digest_of("unknown")])
        assert await condemned(store) == []
        for given in (0, generation - 1, generation + 1):
            if given != generation:
                refusal = await refused(store.create_image(new_image(), "", given), Reason.BLOB_COLLECTED)
                assert refusal.metadata["generation"] == str(generation)
    image, created = await store.create_image(new_image(), "", 2)
    assert created
    assert (await store.list_analyses(image.uuid, PageOrder(10))).analyses == ()
    # While they live, nobody needs to know the generation.
    await store.create_image(new_image(), "")
    assert (await store.read_stats()).image_count == 2


async def test_garbage_is_condemned_oldest_first(store: CatalogStore) -> None:
    for content in "abc":
        await store.create_image(new_image(content), "")
    for number in (2, 3, 1):
        await store.delete_image(number)
    digests = [digest_of(content) for content in "bca"]
    assert await condemned(store, most=1) == digests[:1]
    assert await condemned(store, most=2) == digests[:2]
    await store.forget_blobs(digests[:2])
    assert await condemned(store) == digests[2:]


async def test_what_was_hidden_long_ago_is_purged(store: CatalogStore, clock: Clock) -> None:
    for content in "abcd":
        await store.create_image(new_image(content), "")
    for number in (3, 1):
        await store.hide_image(number)
    clock.now_us += 1_000
    last_us = clock.now_us
    await store.hide_image(4)
    assert await store.purge_hidden(last_us, 1) == 1
    await refused(store.restore_image(3), Reason.IMAGE_NOT_FOUND)
    assert await store.purge_hidden(last_us, 100) == 1
    assert await store.purge_hidden(last_us, 100) == 0
    await store.restore_image(4)
    assert sorted(await condemned(store)) == sorted([digest_of("a"), digest_of("c")])
    stats = await store.read_stats()
    assert (stats.image_count, stats.blob_count) == (2, 2)


async def test_strays_become_garbage_and_what_is_known_stays(store: CatalogStore) -> None:
    await store.create_image(new_image("sea"), "")
    strays = [StrayBlob(digest_of(content), f"key of {content}", 7) for content in ("sky", "sea")]
    assert await store.adopt_blobs(strays) == 1
    assert await store.adopt_blobs(strays) == 0
    assert (await store.read_stats()).blob_count == 1
    (blob,) = await store.condemn_blobs(EVER_US, 10)
    assert (blob.sha256, blob.blob_key) == (digest_of("sky"), "key of sky")


async def test_nothing_is_condemned_that_an_image_refers_to(store: CatalogStore) -> None:
    """Uploads, deletions and sweeps of the same few bytes at the same time."""
    generations: dict[str, int] = {}

    async def upload(content: str) -> None:
        digest = digest_of(content)
        try:
            image, _ = await store.create_image(new_image(content), "", generations.get(digest, 0))
        except ServiceError as refusal:
            if refusal.reason == Reason.BLOB_COLLECTED:
                generations[digest] = int(refusal.metadata["generation"])
            elif refusal.reason != Reason.BLOB_BEING_COLLECTED:
                raise
            return
        # Lives until it is deleted: between these two calls its bytes must not be condemned.
        assert digest not in await condemned(store)
        await store.delete_image(image.uuid)

    async def sweep() -> None:
        await store.forget_blobs(await condemned(store, most=3))

    for _ in range(6):
        await asyncio.gather(*(upload(content) for content in "abcabc"), sweep(), sweep())
    stats = await store.read_stats()
    assert (stats.image_count, stats.blob_count, stats.blob_bytes, stats.analysis_count) == (0, 0, 0, 0)
    # Every image that was made is gone, so everything can be collected and made again.
    await sweep()
    for content in "abc":
        collected = await refused(store.create_image(new_image(content), "", 10**6), Reason.BLOB_COLLECTED)
        generation = int(collected.metadata["generation"])
        await store.create_image(replace(new_image(content), batch="again"), "", generation)
    assert (await store.read_stats()).image_count == 3
