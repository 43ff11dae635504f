"""Queues again what the catalog says is unfinished and the queue knows nothing of.

A queue may lose messages (a wiped store, a crash between catalog and queue); the truth is in the catalog. It
acts only while the lane is empty: as long as messages are there, a slow queue is no lost message. Several
workers may do this at the same time: the message ids of one round are the same.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.ingest.intake import UPLOADS, work_message
from services.ingest.rounds import attempted
from services.runtime.queue.port import WorkQueue
from services.runtime.rounds import waited
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2

CALL_TIMEOUT_S = 10.0
MOST_AT_ONCE = 1_000
ROUND_S = 60
_UNFINISHED = (catalog_pb2.Image.PENDING, catalog_pb2.Image.PROCESSING)


class Reconciler:
    """Looks every ``interval_s`` for unfinished images older than ``after_s``."""

    def __init__(
        self,
        queue: WorkQueue,
        catalog: catalog_pb2_grpc.CatalogServiceAsyncStub,
        interval_s: float,
        after_s: float,
    ) -> None:
        self._queue = queue
        self._catalog = catalog
        self._interval_s = interval_s
        self._after_s = after_s

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until ``stopping``."""
        while not await waited(stopping, self._interval_s):
            await attempted("reconciler", "queued again", self.reconcile())

    async def reconcile(self) -> int:
        """One round; returns how many images were queued again."""
        state = await self._queue.lane_state(UPLOADS)
        if state is None or state.pending or state.in_flight:
            return 0
        names = await self._unfinished()
        current_round = int(time.time() // ROUND_S)
        messages = [work_message(name, f"{name}.{current_round}") for name in names]
        if messages:
            await self._queue.publish_many(UPLOADS, messages, timeout_s=CALL_TIMEOUT_S)
        return len(messages)

    async def _unfinished(self) -> list[str]:
        before = Timestamp()
        before.FromDatetime(datetime.now(UTC) - timedelta(seconds=self._after_s))
        query = catalog_pb2.ImageQuery(states=_UNFINISHED, create_time=common_pb2.TimeRange(end_time=before))
        request = catalog_pb2.ListImagesRequest(page_size=MOST_AT_ONCE, order_by="create_time", query=query)
        names: list[str] = []
        # A page may be short although more follow.
        while len(names) < MOST_AT_ONCE:
            answer = await self._catalog.ListImages(request, timeout=CALL_TIMEOUT_S)
            names += [image.name for image in answer.images]
            request.page_token = answer.next_page_token
            if not request.page_token:
                break
        return names[:MOST_AT_ONCE]
