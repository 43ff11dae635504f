"""Collects garbage: deletes bytes that no image has referred to for long.

The catalog decides, because it alone knows what refers to what: it condemns a blob (from then on nothing can
refer to it), the collector deletes the bytes and all pictures made from them, and reports. A crash in between
only leaves condemned blobs, which the catalog names again. An upload of the same bytes meanwhile is told to
store them again.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from services.ingest.renditions import rendition_prefix
from services.ingest.rounds import attempted
from services.runtime.blobs.port import BlobInfo, Blobs
from services.runtime.rounds import waited
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

CALL_TIMEOUT_S = 10.0
AT_ONCE = 100
STRAYS_AT_ONCE = 1_000
_ORIGINALS = "sha256"


class Collector:
    """Collects every ``interval_s`` what has been garbage for ``after_s``.

    Once in ``stray_interval_s`` it looks through the blob store for bytes that never became an image.
    """

    def __init__(
        self,
        catalog: catalog_pb2_grpc.CatalogServiceAsyncStub,
        blobs: Blobs,
        interval_s: float,
        after_s: float,
        stray_interval_s: float,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._interval_s = interval_s
        self._after_s = after_s
        self._stray_interval_s = stray_interval_s

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until ``stopping``."""
        loop = asyncio.get_running_loop()
        strays_due_s = loop.time() + self._stray_interval_s
        while not await waited(stopping, self._interval_s):
            await attempted("collector", "collected", self.collect())
            if loop.time() >= strays_due_s:
                await attempted("collector", "adopted", self.adopt_strays())
                strays_due_s = loop.time() + self._stray_interval_s

    async def collect(self) -> int:
        """Deletes all that is due; returns how many blobs that were."""
        collected = 0
        unreferenced_for = Duration()
        unreferenced_for.FromMilliseconds(int(self._after_s * 1_000))
        request = catalog_pb2.CondemnBlobsRequest(unreferenced_for=unreferenced_for, max_count=AT_ONCE)
        while blobs := (await self._catalog.CondemnBlobs(request, timeout=CALL_TIMEOUT_S)).blobs:
            for blob in blobs:
                made = [info.key async for info in self._blobs.list(rendition_prefix(blob.sha256))]
                await self._blobs.delete([blob.blob_key, *made])
            digests = [blob.sha256 for blob in blobs]
            await self._catalog.ForgetBlobs(
                catalog_pb2.ForgetBlobsRequest(sha256=digests), timeout=CALL_TIMEOUT_S
            )
            collected += len(blobs)
        return collected

    async def adopt_strays(self) -> int:
        """Hands bytes that the catalog does not know to it as garbage; returns how many there were."""
        before = datetime.now(UTC) - timedelta(seconds=self._after_s)
        adopted = 0
        waiting: list[catalog_pb2.StrayBlob] = []
        async for info in self._blobs.list(_ORIGINALS):
            if info.modified < before:
                waiting.append(_stray(info))
            if len(waiting) == STRAYS_AT_ONCE:
                adopted += await self._adopt(waiting)
                waiting = []
        return adopted + (await self._adopt(waiting) if waiting else 0)

    async def _adopt(self, blobs: list[catalog_pb2.StrayBlob]) -> int:
        request = catalog_pb2.AdoptBlobsRequest(blobs=blobs)
        return (await self._catalog.AdoptBlobs(request, timeout=CALL_TIMEOUT_S)).adopted_count


def _stray(info: BlobInfo) -> catalog_pb2.StrayBlob:
    return catalog_pb2.StrayBlob(
        sha256=info.key.rpartition("/")[2], blob_key=info.key, size_bytes=info.size_bytes
    )
