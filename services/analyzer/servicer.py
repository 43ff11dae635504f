"""AnalyzerService: messages in, calls of the domain, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from services.analyzer import convert
from services.analyzer.analysis import Analyzer
from services.analyzer.workshop import Workshop
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.keyed_answers import keyed_answers
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# Images of one stream that are read ahead per thread, so that no thread waits for the network.
AHEAD_PER_THREAD = 2


class AnalyzerServicer(analyzer_pb2_grpc.AnalyzerServiceServicer):
    """Translates between the contract and the analysis."""

    def __init__(
        self, analyzer: Analyzer, workshop: Workshop, threads: int, timeout_s: float, stopping: asyncio.Event
    ) -> None:
        self._analyzer = analyzer
        self._workshop = workshop
        self._threads = threads
        self._timeout_s = timeout_s
        self._stopping = stopping
        self._start_time = Timestamp()
        self._start_time.GetCurrentTime()

    async def AnalyzeImage(
        self, request: analyzer_pb2.AnalyzeImageRequest, context: Context
    ) -> analyzer_pb2.AnalyzeImageResponse:
        """See the proto."""
        return await self._analyze(request, _shorter(self._timeout_s, context.time_remaining()))

    async def AnalyzeImages(
        self, request_iterator: AsyncIterator[analyzer_pb2.AnalyzeImagesRequest], context: Context
    ) -> AsyncIterator[analyzer_pb2.AnalyzeImagesResponse]:
        """See the proto."""
        work = partial(self._analyze_item, stream=object())
        limit = AHEAD_PER_THREAD * self._threads
        stream = keyed_answers(request_iterator, work, limit, self._stopping, self._workshop.is_roomy)
        async with aclosing(stream) as answers:
            async for answer in answers:
                yield answer

    async def RenderImage(
        self, request: analyzer_pb2.RenderImageRequest, context: Context
    ) -> analyzer_pb2.RenderImageResponse:
        """See the proto."""
        draw = convert.drawing(self._analyzer, request)
        timeout_s = _shorter(self._timeout_s, context.time_remaining())
        rendition = await self._workshop.run(request.image, draw, timeout_s)
        return analyzer_pb2.RenderImageResponse(rendition=convert.rendition(rendition))

    async def GetAnalyzerInfo(
        self, request: analyzer_pb2.GetAnalyzerInfoRequest, context: Context
    ) -> analyzer_pb2.GetAnalyzerInfoResponse:
        """See the proto."""
        return analyzer_pb2.GetAnalyzerInfoResponse(
            analyzer_version=self._analyzer.version,
            settings_digest=self._analyzer.settings_digest,
            detectors=convert.detector_infos(self._analyzer),
            concurrency=self._threads,
            start_time=self._start_time,
        )

    async def _analyze(
        self,
        request: analyzer_pb2.AnalyzeImageRequest | analyzer_pb2.AnalyzeImagesRequest,
        timeout_s: float,
        stream: object | None = None,
    ) -> analyzer_pb2.AnalyzeImageResponse:
        plan = convert.plan(request.options)
        analyzer = self._analyzer

        def look(data: bytes, cancelled: Any) -> analyzer_pb2.AnalyzeImageResponse:
            # Converted in the thread, too: a page of text is thousands of small messages.
            return convert.analysis(analyzer.analyze(data, plan, cancelled))

        return await self._workshop.run(request.image, look, timeout_s, stream)

    async def _analyze_item(
        self, request: analyzer_pb2.AnalyzeImagesRequest, stream: object
    ) -> analyzer_pb2.AnalyzeImagesResponse:
        asked_s = request.timeout.ToMilliseconds() / 1_000 if request.HasField("timeout") else None
        try:
            analysis = await self._analyze(request, _shorter(self._timeout_s, asked_s), stream)
        except Exception as fault:  # noqa: BLE001  the answer of one item; the stream goes on
            return analyzer_pb2.AnalyzeImagesResponse(key=request.key, error=_status(fault, request.key))
        return analyzer_pb2.AnalyzeImagesResponse(key=request.key, analysis=analysis)


def _shorter(limit_s: float, asked_s: float | None) -> float:
    return limit_s if asked_s is None else min(limit_s, asked_s)


def _status(fault: Exception, key: str) -> Any:
    error = statuses.translate(fault)
    log = structlog.get_logger("analyze")
    if error is None:
        log.error("fault", item=key, exc_info=fault)
        error = statuses.internal_error(current_request_id())
    else:
        log.info("refused", item=key, reason=error.reason_name)
    return statuses.to_status(error, current_request_id())
