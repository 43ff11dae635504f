"""CatalogService over gRPC: corrections, garbage, and what others answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from services.catalog.servicer import Answers
from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.runtime.errors import Reason
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.adapters import digest_of
from tests.contract.catalog.messages import caption_of, create, done, image_of, insights_of
from tests.contract.catalog.served import WAIT_S, Served, made, refused, serve, written


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with (
        open_sqlite_store(SqliteOptions(tmp_path / "catalog.sqlite3")) as store,
        serve(store) as opened,
    ):
        yield opened


async def update(served: Served, paths: list[str], **fields: object) -> catalog_pb2.Image:
    image = catalog_pb2.Image(**{"name": "images/1", **fields})  # type: ignore[arg-type]
    request = catalog_pb2.UpdateImageRequest(image=image, update_mask=FieldMask(paths=paths))
    return (await served.catalog.UpdateImage(request)).image


async def found(served: Served, text: str) -> list[int]:
    answer = await served.catalog.SearchImages(catalog_pb2.SearchImagesRequest(text=text))
    return [hit.image.number for hit in answer.hits]


async def test_corrections_stand_beside_results_and_survive_them(served: Served) -> None:
    image = await made(served)
    await written(served, done("a", image.name, caption_of(text="A boat.")))
    said = catalog_pb2.Corrections(caption="A ferry.", added_tags=["ferry"], removed_tags=["boat"])
    changed = await update(served, ["corrections"], corrections=said)
    assert changed.corrections == said
    assert changed.etag != image.etag
    again = caption_of(text="A ship.")
    again.version = "2"
    await written(served, done("a", image.name, again))
    full = (await served.catalog.GetImage(catalog_pb2.GetImageRequest(name=image.name))).image
    assert (full.caption.text, full.corrections) == ("A ship.", said)
    assert [await found(served, text) for text in ("ferry", "ship", "boat")] == [[1], [], []]
    listed = await served.catalog.ListImages(catalog_pb2.ListImagesRequest(filter="tag:ferry -tag:boat"))
    assert [entry.number for entry in listed.images] == [1]
    titled = await update(
        served, ["corrections.title"], corrections=catalog_pb2.Corrections(title="Crossing")
    )
    said.title = "Crossing"
    assert titled.corrections == said
    bare = await update(served, ["corrections"])
    assert not bare.HasField("corrections")
    assert await found(served, "ship") == [1]


async def test_parts_that_several_people_change_at_once_are_all_kept(served: Served) -> None:
    await made(served)
    await asyncio.gather(
        *(update(served, [f"labels.k{index}"], labels={f"k{index}": "x"}) for index in range(6))
    )
    image = (await served.catalog.GetImage(catalog_pb2.GetImageRequest(name="images/1"))).image
    assert image.labels == {"album": "sea"} | {f"k{index}": "x" for index in range(6)}
    request = catalog_pb2.UpdateImageRequest(
        image=catalog_pb2.Image(name="images/1", etag="1"), update_mask=FieldMask(paths=["labels.album"])
    )
    await refused(served.catalog.UpdateImage(request), Reason.ETAG_MISMATCH)


async def test_an_image_may_come_with_corrections(served: Served) -> None:
    said = catalog_pb2.Corrections(title="Crossing")
    first = await served.catalog.CreateImage(create("sea", "r-1", corrections=said))
    assert (first.created, first.image.corrections) == (True, said)
    again = await served.catalog.CreateImage(create("sea", "r-1", corrections=said))
    assert (again.created, again.image) == (False, first.image)
    both = catalog_pb2.Corrections(added_tags=["sea"], removed_tags=["sea"])
    await refused(served.catalog.CreateImage(create("sea", corrections=both)), Reason.INVALID_FIELD)


async def test_garbage_is_condemned_forgotten_and_comes_back(served: Served) -> None:
    image = await made(served)
    condemn = catalog_pb2.CondemnBlobsRequest(unreferenced_for=Duration())
    assert not (await served.catalog.CondemnBlobs(condemn)).blobs
    await served.catalog.DeleteImage(catalog_pb2.DeleteImageRequest(name=image.name, force=True))
    old = catalog_pb2.CondemnBlobsRequest(unreferenced_for=Duration(seconds=3_600))
    assert not (await served.catalog.CondemnBlobs(old)).blobs
    named = [catalog_pb2.CondemnedBlob(sha256=image.sha256, blob_key=image.blob_key)]
    for _ in range(2):
        assert list((await served.catalog.CondemnBlobs(condemn)).blobs) == named
    busy = await refused(served.catalog.CreateImage(create()), Reason.BLOB_BEING_COLLECTED)
    assert busy.code is grpc.StatusCode.UNAVAILABLE
    assert busy.retry_after_s
    forget = catalog_pb2.ForgetBlobsRequest(sha256=[image.sha256, digest_of("unknown")])
    await served.catalog.ForgetBlobs(forget)
    assert not (await served.catalog.CondemnBlobs(condemn)).blobs
    gone = await refused(served.catalog.CreateImage(create()), Reason.BLOB_COLLECTED)
    assert gone.code is grpc.StatusCode.ABORTED
    request = create()
    request.blob_generation = int(gone.metadata["generation"])
    assert (await served.catalog.CreateImage(request)).created
    assert (await served.catalog.CreateImage(create())).created


async def test_strays_become_garbage(served: Served) -> None:
    image = await made(served)
    lost = image_of("lost")
    blobs = [
        catalog_pb2.StrayBlob(sha256=blob.sha256, blob_key=blob.blob_key, size_bytes=blob.size_bytes)
        for blob in (image, lost)
    ]
    adopt = catalog_pb2.AdoptBlobsRequest(blobs=blobs)
    assert (await served.catalog.AdoptBlobs(adopt)).adopted_count == 1
    assert (await served.catalog.AdoptBlobs(adopt)).adopted_count == 0
    condemned = await served.catalog.CondemnBlobs(
        catalog_pb2.CondemnBlobsRequest(unreferenced_for=Duration(), max_count=5)
    )
    assert [blob.sha256 for blob in condemned.blobs] == [lost.sha256]


async def test_items_of_several_streams_are_each_answered(served: Served) -> None:
    images = await asyncio.gather(*(made(served, f"{index}") for index in range(60)))
    items = [
        done(image.name, image.name if index % 7 else "images/999", insights_of(f"{index}"))
        for index, image in enumerate(images)
    ]
    answers = await asyncio.gather(*(written(served, *items[start::3]) for start in range(3)))
    refusals = {key for answer in answers for key, error in answer.items() if error}
    assert sum(map(len, answers)) == 60
    assert refusals == {image.name for image in images[::7]}


async def test_others_answer_what_is_theirs(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def similar(
        request: catalog_pb2.ListSimilarImagesRequest,
    ) -> catalog_pb2.ListSimilarImagesResponse:
        found = catalog_pb2.SimilarImage(image=catalog_pb2.Image(name=request.name))
        return catalog_pb2.ListSimilarImagesResponse(images=[found])

    async def duplicates(_: catalog_pb2.ListDuplicatesRequest) -> catalog_pb2.ListDuplicatesResponse:
        return catalog_pb2.ListDuplicatesResponse(compared_count=7)

    async def export(_: catalog_pb2.ExportResultsRequest) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        try:
            while True:
                yield httpbody_pb2.HttpBody(data=b"row\n" * 10_000)
        finally:
            closed.set()

    answers = Answers(list_similar=similar, list_duplicates=duplicates, export=export)
    async with (
        open_sqlite_store(SqliteOptions(tmp_path / "catalog.sqlite3")) as store,
        serve(store, answers) as served,
    ):
        similar_to = catalog_pb2.ListSimilarImagesRequest(name="images/1")
        (found,) = (await served.catalog.ListSimilarImages(similar_to)).images
        assert found.image.name == "images/1"
        groups = await served.catalog.ListDuplicates(catalog_pb2.ListDuplicatesRequest())
        assert groups.compared_count == 7
        call: Any = served.catalog.ExportResults(catalog_pb2.ExportResultsRequest())
        assert (await call.read()).data.startswith(b"row\n")
        call.cancel()
        async with asyncio.timeout(WAIT_S):
            await closed.wait()
