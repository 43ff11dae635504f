"""Waits for images: until their state is final, or for every change on the way there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from services.ingest.notices import Notices
from services.runtime.errors import Reason, UnavailableError
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

State = catalog_pb2.Image.State
FINAL = frozenset({catalog_pb2.Image.PROCESSED, catalog_pb2.Image.FAILED, catalog_pb2.Image.STORED})
GET_TIMEOUT_S = 10.0


class Watching:
    """Looks at images in the catalog whenever a notice says that they changed."""

    def __init__(
        self, catalog: catalog_pb2_grpc.CatalogServiceAsyncStub, notices: Notices, stopping: asyncio.Event
    ) -> None:
        self._catalog = catalog
        self._notices = notices
        self._stopping = stopping

    async def wait(self, name: str, timeout_s: float) -> catalog_pb2.Image:
        """The image when its state is final, or as it is after ``timeout_s``."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        with self._notices.waiting(name) as waiter:
            while True:
                image = await self._get(name)
                left_s = deadline - asyncio.get_running_loop().time()
                if image.state in FINAL or left_s <= 0 or self._stopping.is_set():
                    return image
                await waiter.wait(left_s)

    async def watch(self, name: str) -> AsyncGenerator[catalog_pb2.Image, None]:
        """The image now and after every change, the final state last.

        Raises UnavailableError (DRAINING) when this process stops first: call again elsewhere.
        """
        seen = ""
        with self._notices.waiting(name) as waiter:
            while True:
                image = await self._get(name)
                if image.etag != seen:
                    seen = image.etag
                    yield image
                if image.state in FINAL:
                    return
                if self._stopping.is_set():
                    raise UnavailableError(
                        Reason.DRAINING, "This process is shutting down; watch again.", retry_after_s=0.5
                    )
                await waiter.wait(float("inf"))

    async def _get(self, name: str) -> catalog_pb2.Image:
        answer = await self._catalog.GetImage(catalog_pb2.GetImageRequest(name=name), timeout=GET_TIMEOUT_S)
        return answer.image
