"""Analysing again: what is stale, what is asked for, and never at the cost of what is there."""

from __future__ import annotations

from collections import deque

import grpc
import pytest

from services.ingest import reanalysis as reanalysis_module
from services.ingest.reanalysis import REANALYSES
from services.runtime import errors, statuses
from services.runtime.errors import Reason
from services.runtime.queue.port import WorkQueue
from sightmill.v1 import catalog_pb2, errors_pb2, ingest_pb2
from tests.contract.ingest.uploads import EMPTY_LANE, Image, Ingest, lane_becomes
from tests.servers.scripted_servicers import DIGEST, VERSION
from tests.servers.waiting import until

Request = ingest_pb2.ReanalyzeImagesRequest


def add(
    ingest: Ingest, content: str, *versions: str, state: Image.State.ValueType = Image.PROCESSED
) -> Image:
    """An image whose insights and caption are of a version."""
    digest = content * 32
    catalog = ingest.rooms.catalog
    catalog.analyses[digest] = [
        catalog_pb2.Analysis(sha256=digest, analyzer=analyzer, version=version, settings_digest=DIGEST)
        for version in versions
        for analyzer in ("insights", "caption")
    ]
    return catalog.add(state=state, sha256=digest, blob_key=f"sha256/{content}/{content}/x")


async def drained(ingest: Ingest, queue: WorkQueue) -> None:
    await lane_becomes(queue, EMPTY_LANE, "all requests are done", lane=REANALYSES)


async def test_only_what_is_stale_is_analysed_again(ingest: Ingest, queue: WorkQueue) -> None:
    fresh, stale = add(ingest, "aa", VERSION), add(ingest, "bb", "0.9")
    failed = add(ingest, "cc", state=Image.FAILED)
    stored = add(ingest, "dd", state=Image.STORED)
    answer = await ingest.stub.ReanalyzeImages(Request(all=True), timeout=10)
    # Once for the insights and once for the caption: one message each, as they come together.
    assert (answer.queued_count, answer.next_page_token) == (4, "")
    await until(lambda: failed.state == Image.PROCESSED, "the failed one is tried again")
    await drained(ingest, queue)
    assert sorted(ingest.rooms.analyzer.asked) == sorted([stale.blob_key, failed.blob_key])
    assert {fresh.state, stale.state} == {Image.PROCESSED}
    assert stored.state == Image.STORED


async def test_force_makes_what_is_of_today_anew(ingest: Ingest, queue: WorkQueue) -> None:
    fresh = add(ingest, "aa", VERSION)
    request = Request(names=[fresh.name, f"images/{fresh.number}"], force=True)
    answer = await ingest.stub.ReanalyzeImages(request, timeout=10)
    assert answer.queued_count == 1, "both names are of one image"
    await until(lambda: ingest.rooms.analyzer.asked == [fresh.blob_key], "it is analysed")
    await drained(ingest, queue)
    assert [write.state for write in ingest.rooms.catalog.writes] == [Image.PROCESSED]


async def test_results_that_cannot_be_renewed_stay(ingest: Ingest, queue: WorkQueue) -> None:
    image = add(ingest, "aa", "0.9")
    refusal = errors.InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "It does not decode.")
    ingest.rooms.analyzer.errors[image.blob_key] = deque([refusal])
    await ingest.stub.ReanalyzeImages(Request(names=[image.name]), timeout=10)
    await until(lambda: ingest.rooms.analyzer.asked == [image.blob_key], "it is in the analyzer's hands")
    await drained(ingest, queue)
    assert image.state == Image.PROCESSED
    assert ingest.rooms.catalog.writes == []


async def test_many_images_are_queued_call_by_call(
    api: Ingest, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reanalysis_module, "MAX_QUEUED", 4)
    api.rooms.catalog.page_limit = 2
    for number in range(5):
        add(api, f"{number}0", "0.9")
    token, counts = "", []
    while True:
        answer = await api.stub.ReanalyzeImages(Request(all=True, page_token=token), timeout=10)
        counts.append(answer.queued_count)
        token = answer.next_page_token
        if not token:
            break
    assert counts == [4, 5, 1]
    state = await queue.lane_state(REANALYSES)
    assert state is not None
    assert state.pending == 5, "an image that is stale in two ways is queued once"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request(), Reason.INVALID_FIELD),
        (Request(all=True, filter="width > 1"), Reason.INVALID_FIELD),
        (Request(names=["images/1"] * 1_001), Reason.INVALID_FIELD),
        (
            Request(all=True, page_token="nonsense"),  # noqa: S106
            Reason.INVALID_PAGE_TOKEN,
        ),
        (
            Request(all=True, page_token="all:x"),  # noqa: S106
            Reason.INVALID_PAGE_TOKEN,
        ),
        (Request(names=["images/99"]), Reason.IMAGE_NOT_FOUND),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    api: Ingest, queue: WorkQueue, request_: Request, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.stub.ReanalyzeImages(request_, timeout=10)
    assert statuses.from_rpc_error(caught.value).reason == reason
    await lane_becomes(queue, EMPTY_LANE, "nothing was queued", lane=REANALYSES)
