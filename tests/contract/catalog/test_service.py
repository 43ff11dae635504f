"""CatalogService over gRPC: images, their results, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2, status_pb2

from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.runtime.errors import Reason
from services.runtime.statuses import from_status
from sightmill.v1 import catalog_pb2, common_pb2, people_pb2
from tests.contract.catalog.messages import caption_of, create, done, image_of, insights_of
from tests.contract.catalog.served import WAIT_S, Served, made, refused, serve, written


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with (
        open_sqlite_store(SqliteOptions(tmp_path / "catalog.sqlite3")) as store,
        serve(store) as opened,
    ):
        yield opened


async def test_an_image_comes_back_as_it_was_created(served: Served) -> None:
    answer = await served.catalog.CreateImage(create())
    assert answer.created
    image = answer.image
    assert image.name.startswith("images/")
    assert image.number == 1
    assert image.state == catalog_pb2.Image.PENDING
    assert image.etag
    assert image.create_time == image.update_time
    assert not image.HasField("process_time")
    expected = image_of()
    for field in ("name", "number", "state", "etag"):
        setattr(expected, field, getattr(image, field))
    expected.create_time.CopyFrom(image.create_time)
    expected.update_time.CopyFrom(image.update_time)
    assert image == expected
    for name in (image.name, "images/1"):
        for view in (catalog_pb2.IMAGE_VIEW_UNSPECIFIED, catalog_pb2.IMAGE_VIEW_BASIC):
            got = await served.catalog.GetImage(catalog_pb2.GetImageRequest(name=name, view=view))
            assert got.image == image


async def test_a_stored_image_is_final_from_the_start(served: Served) -> None:
    image = await made(served, state=catalog_pb2.Image.STORED)
    assert image.state == catalog_pb2.Image.STORED
    assert image.process_time == image.create_time


async def test_create_is_idempotent_by_request_id(served: Served) -> None:
    first = await served.catalog.CreateImage(create("sea", "r-1"))
    again = await served.catalog.CreateImage(create("sea", "r-1"))
    assert (first.created, again.created) == (True, False)
    assert again.image == first.image
    error = await refused(served.catalog.CreateImage(create("sky", "r-1")), Reason.REQUEST_ID_REUSED)
    assert error.code is grpc.StatusCode.ALREADY_EXISTS


@pytest.mark.parametrize(
    "name", ["", "images/", "images/0", "images/-1", "images/../x", "pictures/1", "images/X"]
)
async def test_a_wrong_name_is_refused(served: Served, name: str) -> None:
    await refused(served.catalog.GetImage(catalog_pb2.GetImageRequest(name=name)), Reason.INVALID_NAME)


async def test_results_are_in_the_full_view(served: Served) -> None:
    image = await made(served)
    insights, caption = insights_of(), caption_of()
    assert await written(served, done("a", image.name, insights, caption)) == {"a": None}
    full = (await served.catalog.GetImage(catalog_pb2.GetImageRequest(name=image.name))).image
    assert full.state == catalog_pb2.Image.PROCESSED
    assert full.HasField("process_time")
    assert full.insights == insights.insights
    assert full.caption == caption.caption
    assert full.etag != image.etag
    basic = catalog_pb2.GetImageRequest(name=image.name, view=catalog_pb2.IMAGE_VIEW_BASIC)
    got = (await served.catalog.GetImage(basic)).image
    assert not got.HasField("insights")
    assert not got.HasField("caption")
    listed = await served.catalog.ListImages(catalog_pb2.ListImagesRequest(view=catalog_pb2.IMAGE_VIEW_FULL))
    assert list(listed.images) == [full]
    listed = await served.catalog.ListImages(catalog_pb2.ListImagesRequest())
    assert list(listed.images) == [got]


async def test_an_empty_result_is_a_result(served: Served) -> None:
    image = await made(served)
    nothing_found = insights_of()
    nothing_found.insights.Clear()
    nothing_found.insights.SetInParent()
    assert await written(served, done("a", image.name, nothing_found)) == {"a": None}
    full = (await served.catalog.GetImage(catalog_pb2.GetImageRequest(name=image.name))).image
    assert full.HasField("insights")


async def test_pages_are_bound_to_their_query(served: Served) -> None:
    names = [(await made(served, f"{index}")).name for index in range(7)]
    request = catalog_pb2.ListImagesRequest(page_size=3, order_by="create_time")
    found: list[str] = []
    tokens: list[str] = []
    while True:
        page = await served.catalog.ListImages(request)
        found += [image.name for image in page.images]
        assert page.total_size == 7
        if not page.next_page_token:
            break
        tokens.append(page.next_page_token)
        request.page_token = page.next_page_token
        request.page_size += 1
    assert found == names
    for other in (
        catalog_pb2.ListImagesRequest(page_token=tokens[0]),
        catalog_pb2.ListImagesRequest(
            page_token=tokens[0], order_by="create_time", view=catalog_pb2.IMAGE_VIEW_FULL
        ),
        catalog_pb2.ListImagesRequest(
            page_token=tokens[0],
            order_by="create_time",
            query=catalog_pb2.ImageQuery(states=[catalog_pb2.Image.PENDING]),
        ),
        catalog_pb2.ListImagesRequest(page_token=tokens[0][:-1] + "!", order_by="create_time"),
    ):
        await refused(served.catalog.ListImages(other), Reason.INVALID_PAGE_TOKEN)
    parent = catalog_pb2.ListAnalysesRequest(parent=names[0], page_token=tokens[0])
    await refused(served.catalog.ListAnalyses(parent), Reason.INVALID_PAGE_TOKEN)


async def test_the_list_of_the_reconciler(served: Served) -> None:
    images = [await made(served, f"{index}") for index in range(6)]
    await served.catalog.StartImages(catalog_pb2.StartImagesRequest(names=[images[1].name]))
    await written(served, done("a", images[2].name))
    query = catalog_pb2.ImageQuery(
        states=[catalog_pb2.Image.PENDING, catalog_pb2.Image.PROCESSING],
        create_time=common_pb2.TimeRange(end_time=images[4].create_time),
    )
    page = await served.catalog.ListImages(catalog_pb2.ListImagesRequest(query=query, order_by="create_time"))
    assert [image.number for image in page.images] == [1, 2, 4]


async def test_what_is_left_out_says_so(served: Served) -> None:
    catalog = served.catalog
    for call in (
        catalog.ListSimilarImages(catalog_pb2.ListSimilarImagesRequest()),
        catalog.ListDuplicates(catalog_pb2.ListDuplicatesRequest()),
        catalog.ExportResults(catalog_pb2.ExportResultsRequest()).read(),
        served.people.GetPerson(people_pb2.GetPersonRequest()),
        served.people.ListPeople(people_pb2.ListPeopleRequest()),
    ):
        await refused(call, Reason.NOT_SERVED_YET)


async def test_labels_are_updated_under_an_etag(served: Served) -> None:
    image = await made(served)
    change = catalog_pb2.UpdateImageRequest(
        image=catalog_pb2.Image(name=image.name, labels={"album": "sky"}, etag=image.etag),
        update_mask=FieldMask(paths=["labels"]),
    )
    changed = (await served.catalog.UpdateImage(change)).image
    assert changed.labels == {"album": "sky"}
    error = await refused(served.catalog.UpdateImage(change), Reason.ETAG_MISMATCH)
    assert error.code is grpc.StatusCode.ABORTED
    change.image.etag = ""
    await served.catalog.UpdateImage(change)
    for paths in (["display_name"], []):
        change.update_mask.paths[:] = paths
        await refused(served.catalog.UpdateImage(change), Reason.INVALID_FIELD)


async def test_deleting_softly_and_for_good(served: Served) -> None:
    first, second = await made(served), await made(served)
    soft = catalog_pb2.DeleteImageRequest(name=first.name)
    await served.catalog.DeleteImage(soft)
    get = catalog_pb2.GetImageRequest(name=first.name)
    await refused(served.catalog.GetImage(get), Reason.IMAGE_NOT_FOUND)
    await refused(served.catalog.DeleteImage(soft), Reason.IMAGE_NOT_FOUND)
    back = await served.catalog.UndeleteImage(catalog_pb2.UndeleteImageRequest(name=first.name))
    assert back.image.number == first.number
    await refused(
        served.catalog.UndeleteImage(catalog_pb2.UndeleteImageRequest(name=first.name)), Reason.WRONG_STATE
    )
    for image in (first, second):
        await served.catalog.DeleteImage(catalog_pb2.DeleteImageRequest(name=image.name, force=True))
    for force in (True, False):
        gone = catalog_pb2.DeleteImageRequest(name=first.name, force=force)
        await refused(served.catalog.DeleteImage(gone), Reason.IMAGE_NOT_FOUND)
        gone.allow_missing = True
        await served.catalog.DeleteImage(gone)


async def test_starting_gives_images_and_analyses(served: Served) -> None:
    image, twin, other = await made(served), await made(served), await made(served, "sky")
    await written(served, done("a", image.name, insights_of(), caption_of()))
    names = [other.name, "images/99", twin.name, image.name, twin.name]
    answer = await served.catalog.StartImages(catalog_pb2.StartImagesRequest(names=names))
    assert [started.image.number for started in answer.images] == [3, 2, 1]
    states = [started.image.state for started in answer.images]
    assert states == [catalog_pb2.Image.PROCESSING, catalog_pb2.Image.PROCESSING, catalog_pb2.Image.PROCESSED]
    assert list(answer.images[0].analyses) == []
    assert list(answer.images[1].analyses) == [insights_of(), caption_of()]
    for wrong in ([], ["images/1"] * 1_001):
        request = catalog_pb2.StartImagesRequest(names=wrong)
        await refused(served.catalog.StartImages(request), Reason.INVALID_FIELD)


async def test_analyses_are_listed(served: Served) -> None:
    image = await made(served)
    await written(served, done("a", image.name, insights_of(), caption_of()))
    request = catalog_pb2.ListAnalysesRequest(parent=image.name, page_size=1)
    first = await served.catalog.ListAnalyses(request)
    assert list(first.analyses) == [caption_of()]
    request.page_token = first.next_page_token
    second = await served.catalog.ListAnalyses(request)
    assert list(second.analyses) == [insights_of()]
    assert not second.next_page_token


async def test_one_bad_item_does_not_end_the_stream(served: Served) -> None:
    images = [await made(served, f"{index}") for index in range(3)]
    failure = status_pb2.Status(code=3, message="It does not decode.")
    wrong_bytes = insights_of("other")
    answers = await written(
        served,
        done("unknown", "images/0190c0de-0000-7000-8000-000000000000"),
        done("name", "images/../1"),
        done("fine", images[0].name, insights_of("0")),
        done("bytes", images[1].name, wrong_bytes),
        done("no error", images[1].name, state=catalog_pb2.Image.FAILED),
        done("pending", images[1].name, state=catalog_pb2.Image.PENDING),
        done("failed", images[2].name, state=catalog_pb2.Image.FAILED, error=failure),
        done("orphan", "", insights_of("none"), state=catalog_pb2.Image.STATE_UNSPECIFIED),
    )
    reasons = {key: from_status(error).reason_name for key, error in answers.items() if error}
    assert reasons == {
        "unknown": "IMAGE_NOT_FOUND",
        "name": "INVALID_NAME",
        "bytes": "INVALID_FIELD",
        "no error": "INVALID_FIELD",
        "pending": "INVALID_FIELD",
        "orphan": "IMAGE_NOT_FOUND",
    }
    assert answers["fine"] is None
    assert answers["failed"] is None
    failed = (await served.catalog.GetImage(catalog_pb2.GetImageRequest(name=images[2].name))).image
    assert (failed.state, failed.error) == (catalog_pb2.Image.FAILED, failure)
    assert from_status(answers["unknown"] or failure).code is grpc.StatusCode.NOT_FOUND


async def test_every_item_of_a_long_stream_is_answered_once(served: Served) -> None:
    images = await asyncio.gather(*(made(served, f"{index}") for index in range(200)))
    items = [done(image.name, image.name, insights_of(f"{index}")) for index, image in enumerate(images)]
    counted: dict[str, int] = {}
    async for answer in served.catalog.WriteAnalyses(iter(items * 3), timeout=WAIT_S):
        assert not answer.HasField("error")
        counted[answer.key] = counted.get(answer.key, 0) + 1
    assert counted == {image.name: 3 for image in images}
    stats = await served.catalog.GetStats(catalog_pb2.GetStatsRequest())
    assert [(count.value, count.count) for count in stats.states] == [("PROCESSED", 200)]
    assert stats.analysis_count == 200


async def test_an_answer_comes_while_the_stream_stays_open(served: Served) -> None:
    image = await made(served)
    call = served.catalog.WriteAnalyses(timeout=WAIT_S)
    for key in ("a", "b"):
        await call.write(done(key, image.name))
        assert await call.read() == catalog_pb2.WriteAnalysesResponse(key=key)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_stream_ends_when_the_process_stops(served: Served) -> None:
    image = await made(served)
    call = served.catalog.WriteAnalyses(timeout=WAIT_S)
    await call.write(done("a", image.name))
    assert await call.read() == catalog_pb2.WriteAnalysesResponse(key="a")
    served.stopping.set()
    error = await refused(call.read(), Reason.DRAINING)
    assert error.retry_after_s == 1.0


async def test_stats_count_what_is_there(served: Served) -> None:
    await made(served, "sea")
    twin = await made(served, "sea")
    await made(served, "sky", state=catalog_pb2.Image.STORED)
    await served.catalog.DeleteImage(catalog_pb2.DeleteImageRequest(name=twin.name))
    stats = await served.catalog.GetStats(catalog_pb2.GetStatsRequest())
    assert (stats.image_count, stats.blob_count, stats.blob_bytes) == (2, 2, 2 * 1_234)
    assert {count.value: count.count for count in stats.states} == {"PENDING": 1, "STORED": 1}
    assert {count.value: count.count for count in stats.formats} == {"IMAGE_FORMAT_JPEG": 2}
    assert stats.store.startswith("sqlite 3.")


async def test_refusals_carry_their_facts(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await served.catalog.CreateImage(create(width=-7))
    info = error_details_pb2.ErrorInfo()
    trailers = dict(refusal.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, info.metadata["field"]) == (
        "INVALID_FIELD",
        "sightmill.dev",
        "image.width",
    )
