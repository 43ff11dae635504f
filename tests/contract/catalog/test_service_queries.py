"""CatalogService over gRPC: filters, search, counts, stale work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.runtime.errors import Reason
from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2
from tests.contract.catalog.messages import caption_of, done, insights_of
from tests.contract.catalog.served import Served, made, refused, serve, written


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with (
        open_sqlite_store(SqliteOptions(tmp_path / "catalog.sqlite3")) as store,
        serve(store) as opened,
    ):
        yield opened


async def described(served: Served, content: str, text: str, width: int = 640) -> catalog_pb2.Image:
    """A processed image whose name is its content, with a caption."""
    image = await made(served, content, display_name=f"{content}.jpg", width=width)
    assert await written(served, done("a", image.name, insights_of(content), caption_of(content, text))) == {
        "a": None
    }
    return image


async def numbers(served: Served, **fields: object) -> list[int]:
    request = catalog_pb2.ListImagesRequest(**fields)  # type: ignore[arg-type]  # the tests know the types
    return [image.number for image in (await served.catalog.ListImages(request)).images]


async def test_filters_and_queries_select(served: Served) -> None:
    for index in range(4):
        await made(served, f"{index}", width=100 * (index + 1), labels={"album": "sea" if index else "sky"})
    await written(served, done("a", "images/2", insights_of("1")))
    assert await numbers(served, filter="width > 100 width < 400") == [3, 2]
    assert await numbers(served, filter="state = PROCESSED OR labels.album = sky") == [2, 1]
    assert await numbers(served, filter="NOT (state = PROCESSED OR labels.album = sky)") == [4, 3]
    query = catalog_pb2.ImageQuery(width=common_pb2.Int64Range(min=300))
    assert await numbers(served, query=query, filter="-state:processed width != 400") == [3]
    assert await numbers(served, filter='display_name:"SEA"') == [4, 3, 2, 1]


async def test_a_fault_in_a_filter_has_a_position(served: Served) -> None:
    call = served.catalog.ListImages(catalog_pb2.ListImagesRequest(filter="width > 100 AND colour = red"))
    error = await refused(call, Reason.INVALID_FILTER)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.metadata["position"] == "17"
    assert "colour is not a field" in error.message


async def test_orders_and_deleted_ones(served: Served) -> None:
    for index, size_bytes in enumerate((30, 10, 20)):
        await made(served, f"{index}", size_bytes=size_bytes)
    assert await numbers(served, order_by="size_bytes") == [2, 3, 1]
    assert await numbers(served, order_by="size_bytes desc") == [1, 3, 2]
    await served.catalog.DeleteImage(catalog_pb2.DeleteImageRequest(name="images/2"))
    assert await numbers(served) == [3, 1]
    assert await numbers(served, show_deleted=True) == [3, 2, 1]


async def test_search_finds_and_shows_where(served: Served) -> None:
    await described(served, "harbour", "A red boat by the quay.")
    await described(served, "street", "A house near the harbour wall.", width=900)
    answer = await served.catalog.SearchImages(catalog_pb2.SearchImagesRequest(text="HARBOUR"))
    shown = [(hit.image.number, hit.score, hit.snippet) for hit in answer.hits]
    assert shown == [(1, 5.0, "harbour.jpg"), (2, 3.0, "A house near the harbour wall.")]
    assert not answer.hits[0].image.HasField("caption")
    full = catalog_pb2.SearchImagesRequest(text='"red boat" quay', view=catalog_pb2.IMAGE_VIEW_FULL)
    (hit,) = (await served.catalog.SearchImages(full)).hits
    assert hit.image.caption.text == hit.snippet == "A red boat by the quay."
    for fields, found in (
        ({"text": "harb*", "filter": "width > 800"}, [2]),
        ({"text": "harb*", "query": catalog_pb2.ImageQuery(states=[catalog_pb2.Image.PENDING])}, []),
        ({"text": "harbour quay"}, [1]),
    ):
        request = catalog_pb2.SearchImagesRequest(**fields)
        assert [hit.image.number for hit in (await served.catalog.SearchImages(request)).hits] == found
    await refused(
        served.catalog.SearchImages(catalog_pb2.SearchImagesRequest(text="...")), Reason.INVALID_FIELD
    )


async def test_search_goes_on_page_by_page(served: Served) -> None:
    for index in range(5):
        await described(served, f"{index}", "A boat.")
    request = catalog_pb2.SearchImagesRequest(text="boat", page_size=2)
    found: list[int] = []
    while True:
        answer = await served.catalog.SearchImages(request)
        found += [hit.image.number for hit in answer.hits]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == [5, 4, 3, 2, 1]
    request.text = "boats"
    await refused(served.catalog.SearchImages(request), Reason.INVALID_PAGE_TOKEN)


async def test_values_are_counted_by_their_names(served: Served) -> None:
    await described(served, "0", "A boat.")
    await made(served, "1", format=common_pb2.IMAGE_FORMAT_PNG, batch="batches/2")
    for field, counts in (
        ("state", {"PENDING": 1, "PROCESSED": 1}),
        ("format", {"IMAGE_FORMAT_JPEG": 1, "IMAGE_FORMAT_PNG": 1}),
        ("tag", {"boat": 1, "sea": 1}),
        ("label", {"album=sea": 2}),
        ("batch", {"batches/1": 1, "batches/2": 1}),
    ):
        answer = await served.catalog.ListFacets(catalog_pb2.ListFacetsRequest(field=field))
        assert {count.value: count.count for count in answer.counts} == counts
    one_batch = catalog_pb2.ImageQuery(batch="batches/2")
    answer = await served.catalog.ListFacets(catalog_pb2.ListFacetsRequest(field="state", query=one_batch))
    assert [(count.value, count.count) for count in answer.counts] == [("PENDING", 1)]
    request = catalog_pb2.ListFacetsRequest(field="tag", page_size=1)
    first = await served.catalog.ListFacets(request)
    request.page_token = first.next_page_token
    second = await served.catalog.ListFacets(request)
    assert [count.value for count in (*first.counts, *second.counts)] == ["boat", "sea"]
    one_batch.states.append(catalog_pb2.Image.PENDING)
    call = served.catalog.ListFacets(catalog_pb2.ListFacetsRequest(field="state", query=one_batch))
    assert (await refused(call, Reason.INVALID_FIELD)).metadata["field"] == "query.states"


async def test_stale_images_are_listed_until_nothing_is(served: Served) -> None:
    for index, version in enumerate("1123"):
        image = await made(served, f"{index}", width=100 * (index + 1))
        await written(served, done("a", image.name, insights_of(f"{index}", version)))
    # Never analysed, and not to be: neither is stale.
    await made(served, "stored", state=catalog_pb2.Image.STORED)
    await made(served, "pending")

    async def stale(version: str, filter_: str = "") -> list[int]:
        request = catalog_pb2.ListStaleImagesRequest(
            analyzer="insights",
            version=version,
            settings_digest="0011223344556677",
            page_size=2,
            filter=filter_,
        )
        found: list[int] = []
        while True:
            answer = await served.catalog.ListStaleImages(request)
            found += [image.number for image in answer.images]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    assert await stale("3") == [3, 2, 1]
    assert await stale("1") == [4, 3]
    assert await stale("3", "width < 250") == [2, 1]
    for index in range(4):
        await written(served, done("a", f"images/{index + 1}", insights_of(f"{index}", "4")))
    assert await stale("4") == []


async def test_quality_is_compared_exactly(served: Served) -> None:
    for index, score in enumerate((72.34, 72.35, 72.36)):
        image = await made(served, f"{index}")
        analysis = insights_of(f"{index}")
        analysis.insights.luminance.CopyFrom(analyzer_pb2.Luminance(quality_score=score))
        await written(served, done("a", image.name, analysis))
    await made(served, "not measured")
    assert await numbers(served, filter="quality_score >= 72.35") == [3, 2]
    assert await numbers(served, filter="quality_score < 72.35") == [1]
    assert await numbers(served, filter="quality_score = 72.35") == [2]
    assert await numbers(served, filter="NOT quality_score:*") == [4]
    query = catalog_pb2.ImageQuery(quality_score=common_pb2.DoubleRange(min=72.35, max=72.36))
    assert await numbers(served, query=query, order_by="quality_score") == [2, 3]
