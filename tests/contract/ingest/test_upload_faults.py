"""What is left when a dependency is away, and the unary call."""

from __future__ import annotations

import hashlib

import grpc
import pytest

from services.runtime import errors, statuses
from services.runtime.blobs.keys import blob_key
from services.runtime.errors import Reason
from services.runtime.queue.port import WorkQueue
from sightmill.v1 import batches_pb2, batches_pb2_grpc, errors_pb2, ingest_pb2
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import (
    EMPTY_LANE,
    Image,
    Ingest,
    broken_off,
    error_of,
    lane_becomes,
    photo,
    retry_of,
    whole,
)
from tests.servers.nats_server import NatsServer
from tests.servers.waiting import until


async def test_without_the_queue_an_image_is_taken_back(api: Ingest, nats: NatsServer) -> None:
    nats.kill()
    (answer,) = await api.upload(whole(photo()))
    assert error_of(answer.error).reason == Reason.QUEUE_UNAVAILABLE
    assert retry_of(answer.error) > 0
    assert api.rooms.catalog.images == {}
    await nats.start()
    assert (await api.upload_one(photo())).state == Image.PENDING


async def test_an_image_of_an_earlier_call_is_not_taken_back(api: Ingest, nats: NatsServer) -> None:
    messages = whole(photo(), request_id="r1")
    image = await api.upload_one(photo(), request_id="r1")
    nats.kill()
    assert (await api.refusal(messages)).reason == Reason.QUEUE_UNAVAILABLE
    assert api.rooms.catalog.only().name == image.name


async def test_where_even_taking_back_fails_the_image_stays_for_the_reconciler(
    api: Ingest, nats: NatsServer
) -> None:
    nats.kill()
    # CreateImage succeeds, DeleteImage does not.
    catalog = api.rooms.catalog
    original = catalog._begin

    def begin(method: str) -> None:
        original(method)
        if method == "DeleteImage":
            raise errors.UnavailableError(Reason.STORE_UNAVAILABLE, "Locked.")

    catalog._begin = begin  # type: ignore[method-assign]
    assert (await api.refusal(whole(photo()))).reason == Reason.QUEUE_UNAVAILABLE
    assert catalog.only().state == Image.PENDING


@pytest.mark.parametrize("reason", [Reason.STORE_UNAVAILABLE, Reason.REQUEST_ID_REUSED])
async def test_what_the_catalog_says_goes_to_the_caller_and_nothing_is_queued(
    api: Ingest, queue: WorkQueue, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    api.rooms.catalog.failures.append(
        errors.UnavailableError(reason, "As the catalog says.", retry_after_s=3)
    )
    (answer,) = await api.upload(whole(photo()))
    error = error_of(answer.error)
    assert (error.reason, error.message, error.retry_after_s) == (reason, "As the catalog says.", 3)
    await lane_becomes(queue, EMPTY_LANE, "nothing was queued")


async def test_without_the_catalog_nothing_is_queued(api: Ingest, queue: WorkQueue) -> None:
    await api.rooms.catalog_room.kill()
    (answer,) = await api.upload(whole(photo()))
    assert error_of(answer.error).reason == Reason.SERVICE_UNAVAILABLE
    assert retry_of(answer.error) > 0
    await lane_becomes(queue, EMPTY_LANE, "nothing was queued")


async def test_a_fault_of_ours_at_one_image_does_not_end_the_stream(api: Ingest) -> None:
    damaged = hashlib.sha256(photo(1)).hexdigest()
    in_the_way = api.data_dir / "blobs" / blob_key(damaged).rpartition("/")[0]
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("a file where a folder belongs")
    first, second = await api.upload([*whole(photo(1)), *whole(photo(2))])
    assert first.HasField("error")
    assert second.image.state == Image.PENDING


async def test_the_unary_call_takes_one_image_in(api: Ingest) -> None:
    header = ingest_pb2.UploadHeader(display_name="a.jpg", request_id="r1")
    request = ingest_pb2.UploadImageRequest(header=header, content=photo())
    image = (await api.stub.UploadImage(request, timeout=10)).image
    assert (image.display_name, image.state) == ("a.jpg", Image.PENDING)
    assert (await api.stub.UploadImage(request, timeout=10)).image.name == image.name


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ingest_pb2.UploadImageRequest(), Reason.IMAGE_EMPTY),
        (ingest_pb2.UploadImageRequest(content=b"text"), Reason.IMAGE_FORMAT_UNSUPPORTED),
        (ingest_pb2.UploadImageRequest(content=bytes(20_001)), Reason.IMAGE_TOO_LARGE),
        (
            ingest_pb2.UploadImageRequest(header=ingest_pb2.UploadHeader(sha256="1" * 64), content=photo()),
            Reason.IMAGE_CHECKSUM_MISMATCH,
        ),
        (
            ingest_pb2.UploadImageRequest(header=ingest_pb2.UploadHeader(sha256="x"), content=photo()),
            Reason.INVALID_FIELD,
        ),
    ],
)
async def test_the_unary_call_refuses_what_the_stream_refuses(
    make_ingest: MakeIngest,
    request_: ingest_pb2.UploadImageRequest,
    reason: errors_pb2.ErrorReason.ValueType,
) -> None:
    api = await make_ingest("api", ingest_max_bytes=20_000)
    error = await broken_off(api.stub.UploadImage(request_, timeout=10))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert statuses.from_rpc_error(error).reason == reason
    assert api.rooms.catalog.images == {}


async def test_what_comes_in_a_later_version_says_so(api: Ingest) -> None:
    batches = batches_pb2_grpc.BatchServiceStub(api.running.channel)
    calls = [
        api.stub.ImportImage(ingest_pb2.ImportImageRequest(url="http://x"), timeout=10),
        batches.GetBatch(batches_pb2.GetBatchRequest(name="batches/1"), timeout=10),
        batches.WatchBatch(batches_pb2.WatchBatchRequest(name="batches/1"), timeout=10),
    ]
    for call in calls:
        error = await broken_off(call)
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert statuses.from_rpc_error(error).reason == Reason.NOT_SERVED_YET


async def test_it_starts_before_its_neighbours_and_serves_when_they_are_there(
    make_ingest: MakeIngest, nats: NatsServer
) -> None:
    nats.kill()
    ingest = await make_ingest("all", serving=False)
    report = ingest.running.app.health.report
    await until(lambda: "not checked" not in str(report()) and "queue" in str(report()), "checks have run")
    assert report()["status"] == "starting"
    await nats.start()
    await until(lambda: ingest.running.app.health.serving, "it serves", 20)
    assert ingest.running.failed() == []
    assert (await ingest.final((await ingest.upload_one(photo())).name)).state == Image.PROCESSED
