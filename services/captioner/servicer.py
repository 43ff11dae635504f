"""CaptionerService over gRPC: message in, domain call, message out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from services.captioner.chain import RESERVE_S, Chain, Errand, Told
from services.captioner.content_bytes import LARGEST_IMAGES, Content, ContentBytes
from services.captioner.convert import (
    ask_from,
    caption_from,
    digest_of,
    invalid_field,
    measurements_from,
    origin_from,
    timeout_from,
)
from services.captioner.failures import not_configured, provider_failed
from services.captioner.local.local_describer import LOCAL_ID
from services.captioner.picture import Load, Picture
from services.captioner.provider import Ask, ProviderError
from services.captioner.reports import Reports
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import Studio
from services.runtime import statuses
from services.runtime.blobs.keys import check_key
from services.runtime.blobs.port import Blobs
from services.runtime.context import current_request_id
from services.runtime.errors import (
    DeadlineError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.runtime.keyed_answers import keyed_answers
from sightmill.v1 import analyzer_pb2, captioner_pb2, captioner_pb2_grpc, common_pb2

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class _Order:
    """A request without its message; times are loop times."""

    picture: Picture
    ask: Ask
    errand: Errand
    started: float


class CaptionerServicer(captioner_pb2_grpc.CaptionerServiceServicer):
    """What is described goes to the chain, what is asked about providers and money to the reports."""

    def __init__(
        self,
        chain: Chain,
        reports: Reports,
        studio: Studio,
        blobs: Blobs,
        settings: CaptionerSettings,
        stopping: asyncio.Event,
    ) -> None:
        self._chain = chain
        self._reports = reports
        self._studio = studio
        self._blobs = blobs
        self._settings = settings
        self._stopping = stopping
        self._calls = 0
        self._contents = ContentBytes(LARGEST_IMAGES * settings.captioner_max_upload_bytes)

    async def CaptionImage(
        self, request: captioner_pb2.CaptionImageRequest, context: Context
    ) -> captioner_pb2.CaptionImageResponse:
        """One image, within the caller's deadline."""
        with self._admitted(request.image) as content:
            caption = await self._caption(self._order(request, content, self._timeout_s(context)))
        return captioner_pb2.CaptionImageResponse(caption=caption)

    async def CaptionImages(
        self, request_iterator: AsyncIterator[captioner_pb2.CaptionImagesRequest], context: Context
    ) -> AsyncGenerator[captioner_pb2.CaptionImagesResponse, None]:
        """A stream of images; a failure belongs to its item alone."""
        stream = keyed_answers(
            request_iterator,
            self._item,
            self._settings.captioner_in_flight,
            self._stopping,
            self._contents.is_roomy,
        )
        async with aclosing(stream) as answers:
            async for answer in answers:
                yield answer

    async def ListProviders(
        self, request: captioner_pb2.ListProvidersRequest, context: Context
    ) -> captioner_pb2.ListProvidersResponse:
        """The chain in order."""
        return await self._reports.list_providers()

    async def EstimateCaptions(
        self, request: captioner_pb2.EstimateCaptionsRequest, context: Context
    ) -> captioner_pb2.EstimateCaptionsResponse:
        """What a number of images would cost."""
        return await self._reports.estimate(request)

    async def GetCaptionUsage(
        self, request: captioner_pb2.GetCaptionUsageRequest, context: Context
    ) -> captioner_pb2.GetCaptionUsageResponse:
        """What was spent."""
        return await self._reports.usage(request)

    async def TestProvider(
        self, request: captioner_pb2.TestProviderRequest, context: Context
    ) -> captioner_pb2.TestProviderResponse:
        """One image to one provider, past the chain."""
        self._chain.check([request.provider])
        ask = Ask(detail=self._settings.captioner_detail)
        started, timeout_s = _now(), self._timeout_s(context)
        try:
            with self._admitted(request.image) as content:
                picture = self._picture(request.image, content, None, ask, [request.provider])
                # The provider has a little less time, so that its own words come first.
                async with asyncio.timeout(timeout_s - RESERVE_S / 2):
                    told = await self._told_by(
                        request.provider, picture, ask, started + timeout_s - RESERVE_S
                    )
        except (ProviderError, TimeoutError) as error:
            status = statuses.to_status(_test_failed(request.provider, error), current_request_id())
            return captioner_pb2.TestProviderResponse(error=status)
        digest = self._chain.settings_digest(ask, [request.provider])
        return captioner_pb2.TestProviderResponse(caption=caption_from(told, digest, _now() - started))

    @contextmanager
    def _admitted(self, source: common_pb2.ImageSource) -> Iterator[Content]:
        limit = self._settings.captioner_max_calls
        if self._calls >= limit:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{limit} images are described already; come back, or use CaptionImages.",
                retry_after_s=2.0,
                limit=limit,
            )
        self._calls += 1
        try:
            with self._contents.of_call(source) as content:
                yield content
        finally:
            self._calls -= 1

    async def _item(self, request: captioner_pb2.CaptionImagesRequest) -> captioner_pb2.CaptionImagesResponse:
        key = request.key
        try:
            with self._contents.of_item(request.image) as content:
                timeout_s = timeout_from(request, self._settings.captioner_timeout_s)
                order = self._order(request, content, timeout_s)
                # The message holds the bytes of the image, which nobody needs while a provider thinks.
                del request
                caption = await self._caption(order)
        except Exception as fault:  # noqa: BLE001  whatever happens to one item stays in its answer
            request_id = current_request_id()
            error = statuses.translate(fault)
            if error is None:
                structlog.get_logger("captioner").exception("fault")
                error = statuses.internal_error(request_id)
            return captioner_pb2.CaptionImagesResponse(key=key, error=statuses.to_status(error, request_id))
        return captioner_pb2.CaptionImagesResponse(key=key, caption=caption)

    def _order(
        self,
        request: captioner_pb2.CaptionImageRequest | captioner_pb2.CaptionImagesRequest,
        content: Content,
        timeout_s: float,
    ) -> _Order:
        started = _now()
        ask = ask_from(request.options, self._settings.captioner_detail)
        errand = Errand(
            deadline=started + timeout_s,
            origin=origin_from(request.batch),
            wanted=tuple(request.options.providers),
            skip_cache=request.options.skip_cache,
        )
        insights = request.insights if request.HasField("insights") else None
        picture = self._picture(request.image, content, insights, ask, errand.wanted)
        return _Order(picture, ask, errand, started)

    async def _caption(self, order: _Order) -> captioner_pb2.Caption:
        async with asyncio.timeout_at(order.errand.deadline):
            told = await self._chain.describe(order.picture, order.ask, order.errand)
        digest = self._chain.settings_digest(order.ask, order.errand.wanted)
        return caption_from(told, digest, _now() - order.started)

    async def _told_by(self, provider: str, picture: Picture, ask: Ask, deadline: float) -> Told:
        if provider == LOCAL_ID:
            return Told(await self._chain.local.describe(picture, ask), provider)
        link = self._chain.links.get(provider)
        if link is None:
            raise not_configured(provider, self._chain.hints[provider])
        return Told(await link.probe(picture, ask, deadline), provider)

    def _picture(
        self,
        source: common_pb2.ImageSource,
        content: Content,
        insights: analyzer_pb2.Insights | None,
        ask: Ask,
        wanted: Sequence[str],
    ) -> Picture:
        measured = measurements_from(insights) if insights is not None else None
        steps = wanted or self._chain.order
        edges = [link.provider.edge_px(ask) for step, link in self._chain.links.items() if step in steps]
        load = self._load(source, content)
        return Picture(load, self._studio, measured, digest_of(source.blob_key), max(edges, default=0))

    def _load(self, source: common_pb2.ImageSource, content: Content) -> Load:
        kind = source.WhichOneof("source")
        if kind is None:
            raise invalid_field("image", "Give a blob key or the bytes of the image.")
        limit = self._settings.captioner_max_upload_bytes
        if content.size_bytes > limit:
            raise InvalidArgumentError(
                Reason.IMAGE_TOO_LARGE,
                f"The image has {content.size_bytes} bytes; at most {limit} are taken.",
                limit_bytes=limit,
            )
        if kind == "content":
            return content
        key = source.blob_key
        check_key(key)

        async def load() -> bytes:
            return await self._blobs.get(key, limit)

        return load

    def _timeout_s(self, context: Context) -> float:
        left_s = context.time_remaining()
        default_s = self._settings.captioner_timeout_s
        return default_s if left_s is None else max(0.0, min(left_s, 86_400.0))


def _test_failed(provider: str, error: ProviderError | TimeoutError) -> ServiceError:
    if isinstance(error, ProviderError):
        return provider_failed(provider, error)
    return DeadlineError(
        Reason.DEADLINE, f"{provider}: no answer in time; allow more, or see whether the image can be read."
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
