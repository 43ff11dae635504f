"""Garbage: deleted once the catalog has condemned it, with everything that was made from it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from services.ingest.collector import Collector
from services.ingest.renditions import thumbnail_key
from services.runtime.blobs.keys import blob_key
from services.runtime.channels import open_channel
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import Image, Ingest, photo, whole
from tests.servers.waiting import until


@pytest.fixture
async def collector(api: Ingest) -> AsyncIterator[Collector]:
    async with open_channel(api.rooms.catalog_room.address, 10_000_000) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        yield Collector(catalog, api.blobs, interval_s=3_600, after_s=0.001, stray_interval_s=3_600)


async def store(api: Ingest, content: bytes) -> catalog_pb2.CondemnedBlob:
    digest = hashlib.sha256(content).hexdigest()
    key = blob_key(digest)
    await api.blobs.put(key, content)
    await api.blobs.put(thumbnail_key(digest), b"small")
    await api.blobs.put(f"renditions/{digest}/annotated-1-2", b"boxes")
    return catalog_pb2.CondemnedBlob(sha256=digest, blob_key=key)


async def keys(api: Ingest) -> set[str]:
    return {info.key async for info in api.blobs.list()}


async def test_condemned_bytes_and_all_pictures_of_them_go_and_nothing_else(
    api: Ingest, collector: Collector
) -> None:
    kept = await store(api, b"kept")
    condemned = [await store(api, str(number).encode()) for number in range(250)]
    api.rooms.catalog.condemned = list(condemned)
    assert await collector.collect() == 250
    assert await keys(api) == {
        kept.blob_key,
        thumbnail_key(kept.sha256),
        f"renditions/{kept.sha256}/annotated-1-2",
    }
    assert api.rooms.catalog.forgotten == [blob.sha256 for blob in condemned]


async def test_what_a_crash_left_half_deleted_is_finished(api: Ingest, collector: Collector) -> None:
    blob = await store(api, b"half")
    await api.blobs.delete([blob.blob_key])
    api.rooms.catalog.condemned = [blob]
    assert await collector.collect() == 1
    assert not await keys(api)


async def test_bytes_that_never_became_an_image_are_handed_to_the_catalog(
    api: Ingest, collector: Collector
) -> None:
    known, stray = await store(api, b"known"), await store(api, b"stray")
    api.rooms.catalog.known_blobs = {known.sha256}
    # The search leaves out what is younger than the time that garbage is kept: these files are not.
    await until(lambda: _adopts(collector, api, stray.sha256), "the stray is adopted")
    assert await keys(api), "adopting deletes nothing"


async def _adopts(collector: Collector, api: Ingest, sha256: str) -> bool:
    await collector.adopt_strays()
    return sha256 in api.rooms.catalog.known_blobs


async def test_a_worker_collects_by_itself(make_ingest: MakeIngest) -> None:
    worker = await make_ingest("worker", ingest_collect_interval_s=0.05, ingest_collect_after_s=0.05)
    blob = await store(worker, b"old")
    worker.rooms.catalog.condemned = [blob]
    await until(lambda: worker.rooms.catalog.forgotten == [blob.sha256], "it was collected")
    assert not await keys(worker)


async def test_an_upload_of_bytes_that_were_just_collected_stores_them_again(api: Ingest) -> None:
    content = photo(77)
    digest = hashlib.sha256(content).hexdigest()
    # What lies under the key does not count: only bytes stored after the catalog said so do.
    await api.blobs.put(blob_key(digest), b"of before")
    api.rooms.catalog.collected[digest] = 3
    (answer,) = await api.upload(whole(content))
    assert answer.image.state == Image.PENDING
    assert await api.blobs.get(blob_key(digest), max_bytes=len(content)) == content
    assert api.rooms.catalog.calls.count("CreateImage") == 2
