"""The way of an image from the queue to its final state, with everything that may break on it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque

import grpc
import pytest

from services.ingest.intake import UPLOADS
from services.ingest.worker import MAX_DELIVERIES
from services.runtime import errors, statuses
from services.runtime.errors import Reason
from services.runtime.queue.port import Message, WorkQueue
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2, ingest_pb2
from tests.contract.ingest.conftest import MakeIngest
from tests.contract.ingest.uploads import EMPTY_LANE, Image, Ingest, lane_becomes, photo, whole
from tests.servers.nats_server import NatsServer
from tests.servers.scripted_servicers import DIGEST, VERSION
from tests.servers.waiting import until


def done(ingest: Ingest, outcome: str = "done") -> float:
    return ingest.running.metric("sightmill_images_processed_total", outcome=outcome)


async def test_an_upload_becomes_insights_and_a_caption(ingest: Ingest, queue: WorkQueue) -> None:
    image = await ingest.upload_one(photo())
    final = await ingest.final(image.name)
    rooms = ingest.rooms
    assert final.state == Image.PROCESSED
    assert not final.HasField("error")
    assert (final.insights, final.caption) == (rooms.analyzer.insights(), rooms.captioner.caption())
    (asked,) = rooms.captioner.asked
    assert (asked.image.blob_key, asked.insights) == (image.blob_key, rooms.analyzer.insights())
    assert asked.timeout.seconds == 120
    (written,) = rooms.catalog.writes
    assert [
        (each.sha256, each.analyzer, each.version, each.settings_digest) for each in written.analyses
    ] == [
        (image.sha256, "insights", VERSION, DIGEST),
        (image.sha256, "caption", VERSION, DIGEST),
    ]
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert done(ingest) == 1
    assert ingest.running.metric("sightmill_images_in_work") == 0


async def test_the_thumbnail_of_the_analysis_is_kept(ingest: Ingest) -> None:
    image = await ingest.upload_one(photo())
    await ingest.final(image.name)
    kept = await ingest.blobs.get(f"renditions/{image.sha256}/thumbnail-300", max_bytes=10_000)
    assert analyzer_pb2.Rendition.FromString(kept).content == b"thumbnail"


async def test_many_images_share_the_streams(ingest: Ingest) -> None:
    answers = await ingest.upload([message for n in range(30) for message in whole(photo(n))])
    for answer in answers:
        assert (await ingest.final(answer.image.name)).state == Image.PROCESSED
    assert sorted(ingest.rooms.analyzer.asked) == sorted(answer.image.blob_key for answer in answers)


async def test_the_same_bytes_are_analysed_once(ingest: Ingest) -> None:
    first = await ingest.final((await ingest.upload_one(photo())).name)
    second = await ingest.final((await ingest.upload_one(photo())).name)
    assert first.name != second.name
    assert (second.insights, second.caption) == (first.insights, first.caption)
    assert len(ingest.rooms.analyzer.asked) == len(ingest.rooms.captioner.asked) == 1


@pytest.mark.parametrize("what", ["version", "options", "degraded"])
async def test_what_was_made_otherwise_is_made_anew(ingest: Ingest, what: str) -> None:
    await ingest.final((await ingest.upload_one(photo())).name)
    options = catalog_pb2.ProcessOptions()
    (known,) = ingest.rooms.catalog.analyses.values()
    if what == "version":
        known[0].version = "0.9"
    elif what == "options":
        options.analyze.withhold_location = True
    else:
        known[1].caption.degraded = True
    await ingest.final((await ingest.upload_one(photo(), options=options)).name)
    asked = (len(ingest.rooms.analyzer.asked), len(ingest.rooms.captioner.asked))
    assert asked == ((1, 2) if what == "degraded" else (2, 1))


async def test_the_options_of_the_upload_are_passed_on(ingest: Ingest) -> None:
    options = catalog_pb2.ProcessOptions(caption=captioner_pb2.CaptionOptions(language="de"))
    await ingest.final((await ingest.upload_one(photo(), options=options)).name)
    assert ingest.rooms.captioner.asked[0].options.language == "de"


async def test_a_caption_that_nobody_wants_is_not_made(ingest: Ingest) -> None:
    options = catalog_pb2.ProcessOptions(skip_caption=True)
    final = await ingest.final((await ingest.upload_one(photo(), options=options)).name)
    assert final.HasField("insights")
    assert not final.HasField("caption")
    assert ingest.rooms.captioner.asked == []


async def test_an_analyzer_that_dies_in_the_middle_costs_nothing_but_time(
    ingest: Ingest, queue: WorkQueue
) -> None:
    analyzer, room = ingest.rooms.analyzer, ingest.rooms.analyzer_room
    analyzer.free.clear()
    image = await ingest.upload_one(photo())
    await until(lambda: len(analyzer.asked) == 1, "the image is in the analyzer's hands")
    await room.kill()
    analyzer.free.set()
    await room.start()
    assert (await ingest.final(image.name)).state == Image.PROCESSED
    assert analyzer.asked == [image.blob_key] * 2
    assert len(ingest.rooms.catalog.writes) == 1, "analysed once in effect"
    await lane_becomes(queue, EMPTY_LANE, "the message is done")


@pytest.mark.parametrize("which", ["analyzer_room", "captioner_room", "catalog_room"])
async def test_a_service_that_is_away_is_waited_for(ingest: Ingest, queue: WorkQueue, which: str) -> None:
    room = getattr(ingest.rooms, which)
    image = ingest.rooms.catalog.add(state=Image.PENDING, sha256="ab" * 32, blob_key="sha256/ab/ab/x")
    await room.kill()
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    await until(lambda: ingest.running.metric("sightmill_images_in_work") == 1, "a worker has it")
    await room.start()
    await until(lambda: image.state == Image.PROCESSED, "the image is processed", 20)


def request_for(name: str) -> Message:
    return Message(json.dumps({"image": name}).encode(), uuid.uuid4().hex)


async def test_an_image_that_cannot_be_analysed_fails_with_its_reason(
    ingest: Ingest, queue: WorkQueue
) -> None:
    image = ingest.rooms.catalog.add(state=Image.PENDING, sha256="cd" * 32, blob_key="sha256/cd/cd/x")
    refusal = errors.InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "It does not decode.")
    ingest.rooms.analyzer.errors[image.blob_key] = deque([refusal])
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    final = await ingest.final(image.name)
    assert final.state == Image.FAILED
    error = statuses.from_status(final.error)
    assert (error.reason, error.message) == (Reason.IMAGE_UNDECODABLE, "It does not decode.")
    assert ingest.rooms.captioner.asked == []
    await lane_becomes(queue, EMPTY_LANE, "the message is done")


async def test_a_fault_of_the_analyzer_is_tried_again(ingest: Ingest) -> None:
    ingest.rooms.analyzer.free.clear()
    image = await ingest.upload_one(photo())
    fault = errors.InternalError(Reason.DETECTOR_FAILED, "Out of luck.")
    ingest.rooms.analyzer.errors[image.blob_key] = deque([fault, fault])
    ingest.rooms.analyzer.free.set()
    assert (await ingest.final(image.name)).state == Image.PROCESSED


async def test_without_a_caption_an_image_is_processed_and_says_what_is_missing(ingest: Ingest) -> None:
    refusal = errors.FailedPreconditionError(Reason.PROVIDER_REFUSED, "I will not look at this.")
    ingest.rooms.captioner.errors.append(refusal)
    final = await ingest.final((await ingest.upload_one(photo())).name)
    assert final.state == Image.PROCESSED
    assert final.HasField("insights")
    assert not final.HasField("caption")
    assert statuses.from_status(final.error).reason == Reason.PROVIDER_REFUSED


async def test_a_request_for_an_image_that_was_deleted_is_done(ingest: Ingest, queue: WorkQueue) -> None:
    await queue.publish(UPLOADS, request_for(f"images/{uuid.uuid4()}"), timeout_s=5)
    await until(lambda: "StartImages" in ingest.rooms.catalog.calls, "a worker looked for it")
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert ingest.rooms.catalog.writes == []


async def test_an_image_that_is_deleted_in_the_middle_is_done(ingest: Ingest, queue: WorkQueue) -> None:
    analyzer = ingest.rooms.analyzer
    analyzer.free.clear()
    image = await ingest.upload_one(photo())
    await until(lambda: len(analyzer.asked) == 1, "the image is in the analyzer's hands")
    del ingest.rooms.catalog.images[image.name]
    analyzer.free.set()
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert ingest.rooms.catalog.calls.count("WriteAnalyses") == 1


@pytest.mark.parametrize("outcome", ["done", "failed"])
async def test_an_image_that_another_worker_finished_first_is_done(
    ingest: Ingest, queue: WorkQueue, outcome: str
) -> None:
    image = ingest.rooms.catalog.add(state=Image.PENDING, sha256="ab" * 32, blob_key="sha256/ab/ab/x")
    if outcome == "failed":
        refusal = errors.InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "It does not decode.")
        ingest.rooms.analyzer.errors[image.blob_key] = deque([refusal])
    ingest.rooms.analyzer.free.clear()
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    await until(lambda: len(ingest.rooms.analyzer.asked) == 1, "the image is in the analyzer's hands")
    settled = errors.FailedPreconditionError(Reason.WRONG_STATE, "It is PROCESSED.", state="PROCESSED")
    ingest.rooms.catalog.failures.append(settled)
    ingest.rooms.analyzer.free.set()
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert ingest.rooms.catalog.writes == []


@pytest.mark.parametrize("state", [Image.PROCESSED, Image.FAILED, Image.STORED])
async def test_a_request_for_an_image_that_is_done_changes_nothing(
    ingest: Ingest, queue: WorkQueue, state: Image.State.ValueType
) -> None:
    image = ingest.rooms.catalog.add(state=state)
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    await until(lambda: "StartImages" in ingest.rooms.catalog.calls, "a worker looked for it")
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert ingest.rooms.analyzer.asked == []


POISON = [b"", b"\xff\xfe", b"[]", b'"images/1"', b'{"image": 7}', b'{"image": "../etc/passwd"}', b"{}"]


async def test_a_message_that_is_no_request_is_dropped(ingest: Ingest, queue: WorkQueue) -> None:
    for payload in POISON:
        await queue.publish(UPLOADS, Message(payload, uuid.uuid4().hex), timeout_s=5)
    await until(lambda: done(ingest, "dropped") == len(POISON), "all of them are dropped")
    await lane_becomes(queue, EMPTY_LANE, "nothing is left")
    assert ingest.rooms.catalog.calls == []


async def test_a_message_that_came_too_often_gives_its_image_up(
    make_ingest: MakeIngest, queue: WorkQueue
) -> None:
    api = await make_ingest("api")
    image = await api.upload_one(photo())
    async with queue.lease([UPLOADS], 1) as puller:
        for count in range(1, MAX_DELIVERIES + 1):
            lease = await asyncio.wait_for(anext(puller), 10)
            assert lease.deliveries == count
            await lease.retry(0)
    worker = await make_ingest("worker")
    final = await api.final(image.name)
    error = statuses.from_status(final.error)
    assert (final.state, error.reason) == (Image.FAILED, Reason.ANALYSIS_ABANDONED)
    assert error.metadata == {"attempts": str(MAX_DELIVERIES)}
    assert api.rooms.analyzer.asked == []
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert done(worker) == 1


async def test_a_worker_that_stops_gives_its_images_back_at_once(
    make_ingest: MakeIngest, queue: WorkQueue
) -> None:
    worker = await make_ingest("worker")
    image = worker.rooms.catalog.add(state=Image.PENDING, sha256="ab" * 32, blob_key="sha256/ab/ab/x")
    worker.rooms.analyzer.free.clear()
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    await until(lambda: len(worker.rooms.analyzer.asked) == 1, "the image is in work")
    await asyncio.wait_for(worker.running.drain(), 4)
    async with queue.lease([UPLOADS], 1) as puller:
        lease = await asyncio.wait_for(anext(puller), 5)
        assert lease.deliveries == 2
        await lease.retry(0)
    worker.rooms.analyzer.free.set()
    other = await make_ingest("all")
    assert (await other.final(image.name)).state == Image.PROCESSED


async def test_a_worker_alone_serves_health_but_no_uploads(make_ingest: MakeIngest) -> None:
    worker = await make_ingest("worker")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await worker.stub.UploadImage(ingest_pb2.UploadImageRequest(content=photo()), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_restart_of_the_broker_in_the_middle_costs_nothing(
    ingest: Ingest, nats: NatsServer, queue: WorkQueue
) -> None:
    ingest.rooms.analyzer.free.clear()
    image = await ingest.upload_one(photo())
    await until(lambda: len(ingest.rooms.analyzer.asked) == 1, "the image is in work")
    await nats.restart()
    ingest.rooms.analyzer.free.set()
    assert (await ingest.final(image.name)).state == Image.PROCESSED
    await lane_becomes(queue, EMPTY_LANE, "the message is done")
    assert ingest.running.failed() == []


async def test_a_catalog_that_refuses_gets_the_image_again(
    ingest: Ingest, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.worker.RETRY_DELAY_S", 0.01)
    ingest.rooms.catalog.failures.append(errors.DataLossError(Reason.DATA_DAMAGED, "Damaged."))
    image = ingest.rooms.catalog.add(state=Image.PENDING, sha256="ab" * 32, blob_key="sha256/ab/ab/x")
    await queue.publish(UPLOADS, request_for(image.name), timeout_s=5)
    # Before anybody else asks the catalog: the refusal is for the worker.
    await until(lambda: not ingest.rooms.catalog.failures, "the worker was refused")
    assert (await ingest.final(image.name)).state == Image.PROCESSED
