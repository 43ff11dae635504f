"""Queues images to be analysed again: those whose analyses are not of today, or all that are asked for.

The requests go into a lane of their own, so that a new upload never waits behind a million old images. What
gets lost is still stale in the catalog: asking again queues it again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.ingest.versions import CachedVersion
from services.runtime.context import outgoing_headers
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError
from services.runtime.queue.port import Lane, Message, WorkQueue
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, ingest_pb2

REANALYSES = Lane(class_="bulk", name="reanalyses", weight=1, max_in_flight=64, ack_wait_s=15.0)
CALL_TIMEOUT_S = 10.0
MAX_NAMES = 1_000
MAX_QUEUED = 10_000
_PAGE = 1_000
_LOOKUPS_AT_A_TIME = 32
# Two requests for one image within this time are one.
_ROUND_S = 60
_ALL, _INSIGHTS, _CAPTION = "all", "insights", "caption"


def again_message(image_name: str, *, force: bool) -> Message:
    """The request to analyse an image that may have been analysed before."""
    payload = {"image": image_name, "again": "force" if force else "stale"}
    message_id = f"{image_name}.{payload['again']}.{int(time.time() // _ROUND_S)}"
    return Message(json.dumps(payload).encode(), message_id, outgoing_headers())


@dataclass(frozen=True, slots=True)
class Reanalysis:
    """Finds images in the catalog and queues them; ``versions`` say what is current, by analyzer."""

    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    queue: WorkQueue
    versions: Mapping[str, CachedVersion]

    async def queue_images(
        self, request: ingest_pb2.ReanalyzeImagesRequest
    ) -> ingest_pb2.ReanalyzeImagesResponse:
        """At most ``MAX_QUEUED`` images a call. Raises ResourceExhaustedError when the queue is full at once;
        when it fills up later, the answer says where to go on."""
        _check(request)
        if request.names:
            named = await self._canonical(request.names)
            await self._queue(named, force=request.force)
            return ingest_pb2.ReanalyzeImagesResponse(queued_count=len(named))
        stage, token = _read_token(request)
        queued = 0
        while stage and queued < MAX_QUEUED:
            names, next_token = await self._page(request, stage, token)
            try:
                await self._queue(names, force=request.force)
            except ResourceExhaustedError:
                if not queued:
                    raise
                break
            queued += len(names)
            stage, token = (stage, next_token) if next_token else (_stage_after(stage), "")
        return ingest_pb2.ReanalyzeImagesResponse(
            queued_count=queued, next_page_token=f"{stage}:{token}" if stage else ""
        )

    async def _canonical(self, names: Sequence[str]) -> set[str]:
        """The images by their ids; raises NotFoundError when one of them does not exist."""
        room = asyncio.Semaphore(_LOOKUPS_AT_A_TIME)

        async def look_up(name: str) -> str:
            async with room:
                request = catalog_pb2.GetImageRequest(name=name, view=catalog_pb2.IMAGE_VIEW_BASIC)
                return (await self.catalog.GetImage(request, timeout=CALL_TIMEOUT_S)).image.name

        return set(await asyncio.gather(*map(look_up, dict.fromkeys(names))))

    async def _queue(self, names: Iterable[str], *, force: bool) -> None:
        messages = [again_message(name, force=force) for name in names]
        if messages:
            await self.queue.publish_many(REANALYSES, messages, timeout_s=CALL_TIMEOUT_S)

    async def _page(
        self, request: ingest_pb2.ReanalyzeImagesRequest, stage: str, token: str
    ) -> tuple[list[str], str]:
        """Names of a page of images, and the token of the next page."""
        if stage == _ALL:
            listing = catalog_pb2.ListImagesRequest(page_size=_PAGE, page_token=token, filter=request.filter)
            listed = await self.catalog.ListImages(listing, timeout=CALL_TIMEOUT_S)
            return [image.name for image in listed.images], listed.next_page_token
        version, settings_digest = await self.versions[stage].get()
        stale = catalog_pb2.ListStaleImagesRequest(
            analyzer=stage,
            version=version,
            settings_digest=settings_digest,
            page_size=_PAGE,
            page_token=token,
            filter=request.filter,
        )
        found = await self.catalog.ListStaleImages(stale, timeout=CALL_TIMEOUT_S)
        return [image.name for image in found.images], found.next_page_token


def _check(request: ingest_pb2.ReanalyzeImagesRequest) -> None:
    if bool(request.names) + bool(request.filter) + request.all != 1:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD, "Say which images: exactly one of names, filter and all.", field="names"
        )
    if len(request.names) > MAX_NAMES:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            f"At most {MAX_NAMES:,} names a call; use a filter for more.",
            field="names",
            limit=MAX_NAMES,
        )


def _read_token(request: ingest_pb2.ReanalyzeImagesRequest) -> tuple[str, str]:
    """The stage and the catalog's own token within it. A forged token only starts elsewhere."""
    first = _ALL if request.force else _INSIGHTS
    stage, colon, token = request.page_token.partition(":")
    if not request.page_token:
        return first, ""
    if not colon or stage not in ({_ALL} if request.force else {_INSIGHTS, _CAPTION}):
        raise InvalidArgumentError(
            Reason.INVALID_PAGE_TOKEN, "The page token is malformed; pass next_page_token back as it came."
        )
    return stage, token


def _stage_after(stage: str) -> str:
    return _CAPTION if stage == _INSIGHTS else ""
