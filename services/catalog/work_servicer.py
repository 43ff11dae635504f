"""The methods of CatalogService that pipeline workers call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import structlog

from services.catalog.convert import started_message
from services.catalog.outcome_groups import OutcomeGroups
from services.catalog.requests.images import parse_started
from services.catalog.requests.outcomes import parse_outcome
from services.catalog.store import CatalogStore
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.keyed_answers import keyed_answers
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
_log = structlog.get_logger("catalog")


class WorkServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Work begun and work done."""

    _store: CatalogStore
    _groups: OutcomeGroups
    _stream_window: int
    _stopping: asyncio.Event

    async def StartImages(
        self, request: catalog_pb2.StartImagesRequest, context: Context
    ) -> catalog_pb2.StartImagesResponse:
        """See the contract."""
        started = await self._store.start_images(parse_started(request))
        return catalog_pb2.StartImagesResponse(images=[started_message(image) for image in started])

    async def WriteAnalyses(
        self, request_iterator: AsyncIterator[catalog_pb2.WriteAnalysesRequest], context: Context
    ) -> AsyncIterator[catalog_pb2.WriteAnalysesResponse]:
        """See the contract."""
        stream = keyed_answers(request_iterator, self._write, self._stream_window, self._stopping)
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response

    async def _write(self, request: catalog_pb2.WriteAnalysesRequest) -> catalog_pb2.WriteAnalysesResponse:
        response = catalog_pb2.WriteAnalysesResponse(key=request.key)
        try:
            await self._groups.write(parse_outcome(request))
        except Exception as fault:  # noqa: BLE001  whatever befalls one item must not end the stream
            error = statuses.translate(fault)
            if error is None:
                _log.exception("fault", method="WriteAnalyses")
                error = statuses.internal_error(current_request_id())
            response.error.CopyFrom(statuses.to_status(error, current_request_id()))
        return response
