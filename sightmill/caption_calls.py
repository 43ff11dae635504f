"""What a client asks the captioner: words for an image, who gives them, and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sightmill.connection import Connection
from sightmill.paging import pages
from sightmill.v1 import captioner_pb2, common_pb2


class CaptionCalls(Connection):
    """Calls of ``CaptionerService``. Images that should be found again are uploaded instead."""

    async def caption(
        self, content: bytes, options: captioner_pb2.CaptionOptions | None = None
    ) -> captioner_pb2.Caption:
        """Describes an encoded image that is not stored. Never repeated: it may cost money."""
        request = captioner_pb2.CaptionImageRequest(
            image=common_pb2.ImageSource(content=content), options=options
        )
        answer = await self._call_once(self._captioner.CaptionImage, request)
        return answer.caption

    async def list_providers(self) -> captioner_pb2.ListProvidersResponse:
        """The chain of providers, in order, with state, limits and money."""
        return await self._call(self._captioner.ListProviders, captioner_pb2.ListProvidersRequest())

    async def test_provider(self, provider: str, content: bytes) -> captioner_pb2.TestProviderResponse:
        """Sends one encoded image to one provider, past chain and cache."""
        request = captioner_pb2.TestProviderRequest(
            provider=provider, image=common_pb2.ImageSource(content=content)
        )
        return await self._call_once(self._captioner.TestProvider, request)

    async def estimate_captions(
        self,
        image_count: int,
        provider: str = "",
        options: captioner_pb2.CaptionOptions | None = None,
    ) -> captioner_pb2.EstimateCaptionsResponse:
        """What describing so many images would cost at most; nothing is sent to a provider."""
        request = captioner_pb2.EstimateCaptionsRequest(
            image_count=image_count, provider=provider, options=options
        )
        return await self._call(self._captioner.EstimateCaptions, request)

    async def caption_usage(
        self,
        *,
        days: common_pb2.TimeRange | None = None,
        by_batch: bool = False,
        batch: str = "",
        page_size: int = 0,
    ) -> AsyncIterator[captioner_pb2.CaptionUsage]:
        """What was spent, newest day first; of the last 30 days unless ``days`` says otherwise."""

        async def fetch(token: str) -> tuple[Sequence[captioner_pb2.CaptionUsage], str]:
            request = captioner_pb2.GetCaptionUsageRequest(
                time_range=days, by_batch=by_batch, batch=batch, page_size=page_size, page_token=token
            )
            answer = await self._call(self._captioner.GetCaptionUsage, request)
            return answer.usage, answer.next_page_token

        async for row in pages(fetch):
            yield row
