"""The Sightmill client: images in, insights out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import grpc
from google.protobuf import duration_pb2

from sightmill import retries
from sightmill.channel import open_channel
from sightmill.errors import from_rpc_error
from sightmill.files import replacing
from sightmill.paging import pages
from sightmill.photo import Photo, as_photo
from sightmill.upload import UploadProgress, UploadResult, UploadRun, UploadSettings
from sightmill.v1 import analyzer_pb2, catalog_pb2, catalog_pb2_grpc, ingest_pb2, ingest_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:8080"
# A wait is cut into pieces so that proxies never see a call that is silent for long.
WAIT_PIECE_S = 20.0
_FINAL = {catalog_pb2.Image.PROCESSED, catalog_pb2.Image.FAILED, catalog_pb2.Image.STORED}

ImageName: TypeAlias = str | int | catalog_pb2.Image
Source: TypeAlias = Photo | Path | str | bytes
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class Client:
    """An asynchronous connection to Sightmill, through its edge or straight to a service.

    Used as a context manager. ``timeout_s`` bounds every call, retries included; for an upload it bounds
    how long nothing may move. Calls that are safe to repeat are repeated while the server is unavailable.
    ``credentials`` turns TLS on; ``headers`` go with every call, for example an API key. An image is named
    by its name, its number or an ``Image``. Every method raises ``SightmillError``.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout_s: float = 30,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._credentials = credentials
        self._headers = tuple((key.lower(), value) for key, value in (headers or {}).items())
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self.address, self._credentials)
        self._ingest: ingest_pb2_grpc.IngestServiceAsyncStub = ingest_pb2_grpc.IngestServiceStub(
            self._channel
        )
        self._catalog: catalog_pb2_grpc.CatalogServiceAsyncStub = catalog_pb2_grpc.CatalogServiceStub(
            self._channel
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()

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

    async def get_image(self, image: ImageName) -> catalog_pb2.Image:
        """An image with insights and caption, as far as they are known."""
        request = catalog_pb2.GetImageRequest(name=image_name(image))
        answer = await self._call(self._catalog.GetImage, request)
        return answer.image

    async def list_images(
        self,
        *,
        filter: str = "",  # noqa: A002  the name that the contract gives it
        order_by: str = "",
        view: catalog_pb2.ImageView.ValueType = catalog_pb2.IMAGE_VIEW_BASIC,
        query: catalog_pb2.ImageQuery | None = None,
        page_size: int = 0,
        show_deleted: bool = False,
    ) -> AsyncIterator[catalog_pb2.Image]:
        """All images of a query, newest first unless ``order_by`` says otherwise.

        Pages are fetched as they are needed.
        """

        async def fetch(token: str) -> tuple[Sequence[catalog_pb2.Image], str]:
            request = catalog_pb2.ListImagesRequest(
                page_size=page_size,
                page_token=token,
                filter=filter,
                order_by=order_by,
                view=view,
                query=query,
                show_deleted=show_deleted,
            )
            answer = await self._call(self._catalog.ListImages, request)
            return answer.images, answer.next_page_token

        async for image in pages(fetch):
            yield image

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

    async def delete_image(
        self, image: ImageName, *, force: bool = False, allow_missing: bool = False
    ) -> None:
        """Deletes an image; for good at once with ``force``, else restorable for the retention time.

        Only with ``allow_missing`` is the call repeated: the second time the image may be gone.
        """
        request = catalog_pb2.DeleteImageRequest(
            name=image_name(image), force=force, allow_missing=allow_missing
        )
        if allow_missing:
            await self._call(self._catalog.DeleteImage, request)
            return
        call = self._catalog.DeleteImage(request, timeout=self._timeout_s, metadata=self._headers)
        await retries.call_once(call, self.address)

    async def stats(self) -> catalog_pb2.GetStatsResponse:
        """Counts of images, bytes and analyses."""
        return await self._call(self._catalog.GetStats, catalog_pb2.GetStatsRequest())

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

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        timeout_s: float | None = None,
    ) -> Answered:
        async def attempt(left_s: float) -> Answered:
            return await method(request, timeout=left_s, metadata=self._headers)

        return await retries.call(attempt, self._timeout_s if timeout_s is None else timeout_s, self.address)


def image_name(image: ImageName) -> str:
    """The name of an image given by name, by number or as a message."""
    if isinstance(image, catalog_pb2.Image):
        return image.name
    return f"images/{image}" if isinstance(image, int) else image


def is_final(image: catalog_pb2.Image) -> bool:
    """True when nothing more will happen to the image by itself."""
    return image.state in _FINAL


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(int(seconds * 1_000))
    return duration
