"""The Sightmill client: images in, insights out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

import grpc
from google.protobuf import duration_pb2

from sightmill import retries
from sightmill.caption_calls import CaptionCalls
from sightmill.catalog_calls import CatalogCalls
from sightmill.connection import DEFAULT_ADDRESS, ImageName, image_name
from sightmill.errors import from_rpc_error
from sightmill.files import replacing
from sightmill.people_calls import PeopleCalls
from sightmill.photo import Photo, as_photo
from sightmill.upload import UploadProgress, UploadResult, UploadRun, UploadSettings
from sightmill.v1 import analyzer_pb2, catalog_pb2, ingest_pb2

__all__ = ["DEFAULT_ADDRESS", "Client", "ImageName", "Source", "image_name", "is_final"]

# A wait is cut into pieces so that proxies never see a call that is silent for long.
WAIT_PIECE_S = 20.0
_FINAL = {catalog_pb2.Image.PROCESSED, catalog_pb2.Image.FAILED, catalog_pb2.Image.STORED}

Source: TypeAlias = Photo | Path | str | bytes


class Client(CatalogCalls, PeopleCalls, CaptionCalls):
    """An asynchronous connection to Sightmill, through its edge or straight to a service.

    Used as a context manager. ``timeout_s`` bounds every call, retries included; for an upload it bounds
    how long nothing may move. Calls that are safe to repeat are repeated while the server is unavailable.
    ``credentials`` turns TLS on; ``headers`` go with every call, for example an API key. An image is named
    by its name, its number or an ``Image``. Every method raises ``SightmillError``.
    """

    async def upload(
        self,
        photos: Iterable[Source],
        *,
        labels: Mapping[str, str] | None = None,
        options: catalog_pb2.ProcessOptions | None = None,
        on_progress: Callable[[UploadProgress], None] | None = None,
        max_in_flight: int = 32,
    ) -> AsyncGenerator[UploadResult, None]:
        """Uploads files (paths) and encoded images (bytes); yields what became of each, as it is known.

        ``labels`` and ``options`` are for all but ``Photo`` items, which have their own. A refused image is
        a result with an error; the others go on. Images are analysed later: see ``wait``.
        """
        settings = UploadSettings(self.address, self._timeout_s, max_in_flight, self._headers)
        wanted = (as_photo(source, labels, options) for source in photos)
        run = UploadRun(self._ingest, wanted, settings, on_progress)
        async with aclosing(run.results()) as results:
            async for result in results:
                yield result

    async def upload_image(
        self,
        photo: Source,
        *,
        labels: Mapping[str, str] | None = None,
        options: catalog_pb2.ProcessOptions | None = None,
    ) -> catalog_pb2.Image:
        """Uploads one image and returns it, stored and queued."""
        async with aclosing(self.upload([photo], labels=labels, options=options)) as results:
            return (await anext(results)).unwrap()

    async def wait(self, image: ImageName, timeout_s: float = 120) -> catalog_pb2.Image:
        """The image once its state is final: PROCESSED, FAILED or STORED.

        Raises:
            SightmillError: DEADLINE when it is not within ``timeout_s`` seconds.
        """
        name = image_name(image)
        clock = asyncio.get_running_loop().time
        end = clock() + timeout_s
        while (left_s := end - clock()) > 0:
            piece_s = min(WAIT_PIECE_S, left_s)
            request = ingest_pb2.WaitImageRequest(name=name, timeout=_duration(piece_s))
            answer = await self._call(self._ingest.WaitImage, request, timeout_s=piece_s + self._timeout_s)
            if is_final(answer.image):
                return answer.image
            # A server that is shutting down answers at once.
            await asyncio.sleep(min(0.1, max(0.0, end - clock())))
        raise retries.out_of_time(
            f"{name} is not done after {timeout_s:g} s. It stays queued: wait longer, or ask for it later."
        )

    async def watch(
        self, image: ImageName, timeout_s: float = 600
    ) -> AsyncGenerator[catalog_pb2.Image, None]:
        """The image now and after every change, until its state is final; goes on after a broken stream.

        Raises:
            SightmillError: DEADLINE when it is not final within ``timeout_s`` seconds.
        """
        request = ingest_pb2.WatchImageRequest(name=image_name(image))
        clock = asyncio.get_running_loop().time
        end = clock() + timeout_s
        seen: catalog_pb2.Image | None = None
        failures = 0
        while clock() < end:
            call = self._ingest.WatchImage(request, timeout=end - clock(), metadata=self._headers)
            retry_after_s: float | None = None
            try:
                async for answer in call:
                    failures = 0
                    if answer.image != seen:
                        seen = answer.image
                        yield answer.image
                    if answer.final:
                        return
            except grpc.aio.AioRpcError as raised:
                error = from_rpc_error(raised, self.address)
                if not retries.is_break(raised):
                    raise error from None
                retry_after_s = error.retry_after_s
            finally:
                call.cancel()
            await asyncio.sleep(min(retries.delay_s(failures, retry_after_s), max(0.0, end - clock())))
            failures += 1
        raise retries.out_of_time(f"{request.name} is not done after {timeout_s:g} s.")

    async def download(
        self,
        image: ImageName,
        rendition: analyzer_pb2.RenditionKind.ValueType = analyzer_pb2.RENDITION_KIND_ORIGINAL,
    ) -> bytes:
        """The bytes of an image: the original, the thumbnail, or the picture with boxes around faces."""

        async def attempt(left_s: float) -> bytes:
            return b"".join([chunk async for chunk in self._chunks(image, rendition, left_s)])

        return await retries.call(attempt, self._timeout_s, self.address)

    async def download_file(
        self,
        image: ImageName,
        path: Path,
        rendition: analyzer_pb2.RenditionKind.ValueType = analyzer_pb2.RENDITION_KIND_ORIGINAL,
    ) -> int:
        """Writes the bytes of an image to ``path`` and returns their number.

        The file appears when it is complete; one that was there before is replaced.
        """

        async def attempt(left_s: float) -> int:
            size_bytes = 0
            with replacing(path) as file:
                async for chunk in self._chunks(image, rendition, left_s):
                    size_bytes += await asyncio.to_thread(file.write, chunk)
            return size_bytes

        return await retries.call(attempt, self._timeout_s, self.address)

    async def _chunks(
        self, image: ImageName, rendition: analyzer_pb2.RenditionKind.ValueType, timeout_s: float
    ) -> AsyncIterator[bytes]:
        request = ingest_pb2.DownloadImageRequest(name=image_name(image), rendition=rendition)
        call = self._ingest.DownloadImage(request, timeout=timeout_s, metadata=self._headers)
        try:
            async for body in call:
                yield body.data
        finally:
            call.cancel()


def is_final(image: catalog_pb2.Image) -> bool:
    """True when nothing more will happen to the image by itself."""
    return image.state in _FINAL


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(int(seconds * 1_000))
    return duration
