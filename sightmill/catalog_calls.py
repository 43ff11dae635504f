"""What a client asks the catalog: lists, search, duplicates, counts, exports, changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from google.protobuf import field_mask_pb2

from sightmill.connection import Connection, ImageName, image_name
from sightmill.files import replacing
from sightmill.paging import pages
from sightmill.v1 import catalog_pb2, common_pb2


class CatalogCalls(Connection):
    """Calls of ``CatalogService``. Lists fetch their pages as they are needed, empty ones included."""

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
        """All images of a query, newest first unless ``order_by`` says otherwise."""

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

    async def search_images(
        self,
        text: str,
        *,
        filter: str = "",  # noqa: A002  the name that the contract gives it
        query: catalog_pb2.ImageQuery | None = None,
        view: catalog_pb2.ImageView.ValueType = catalog_pb2.IMAGE_VIEW_BASIC,
        page_size: int = 0,
    ) -> AsyncIterator[catalog_pb2.SearchHit]:
        """Images that have all words of a text, most relevant first; see ``SearchImagesRequest.text``."""

        async def fetch(token: str) -> tuple[Sequence[catalog_pb2.SearchHit], str]:
            request = catalog_pb2.SearchImagesRequest(
                text=text, page_size=page_size, page_token=token, filter=filter, query=query, view=view
            )
            answer = await self._call(self._catalog.SearchImages, request)
            return answer.hits, answer.next_page_token

        async for hit in pages(fetch):
            yield hit

    async def similar_images(
        self,
        image: ImageName,
        *,
        max_distance: int | None = None,
        measure: catalog_pb2.SimilarityMeasure.ValueType = catalog_pb2.SIMILARITY_MEASURE_LOOK,
        page_size: int = 0,
    ) -> AsyncIterator[catalog_pb2.SimilarImage]:
        """Images that look like one, nearest first."""

        async def fetch(token: str) -> tuple[Sequence[catalog_pb2.SimilarImage], str]:
            request = catalog_pb2.ListSimilarImagesRequest(
                name=image_name(image),
                max_distance=max_distance,
                page_size=page_size,
                page_token=token,
                measure=measure,
            )
            answer = await self._call(self._catalog.ListSimilarImages, request)
            return answer.images, answer.next_page_token

        async for similar in pages(fetch):
            yield similar

    async def list_duplicates(
        self, max_distance: int = 0, *, page_size: int = 0
    ) -> AsyncIterator[catalog_pb2.DuplicateGroup]:
        """Groups of images that are the same (0), or nearly (a Hamming distance of up to 14)."""

        async def fetch(token: str) -> tuple[Sequence[catalog_pb2.DuplicateGroup], str]:
            request = catalog_pb2.ListDuplicatesRequest(
                max_distance=max_distance, page_size=page_size, page_token=token
            )
            answer = await self._call(self._catalog.ListDuplicates, request)
            return answer.groups, answer.next_page_token

        async for group in pages(fetch):
            yield group

    async def facets(
        self, field: str, *, batch: str = "", page_size: int = 0
    ) -> AsyncIterator[common_pb2.Count]:
        """The values of a field with their counts, most frequent first; see ``ListFacetsRequest.field``."""
        query = catalog_pb2.ImageQuery(batch=batch) if batch else None

        async def fetch(token: str) -> tuple[Sequence[common_pb2.Count], str]:
            request = catalog_pb2.ListFacetsRequest(
                field=field, query=query, page_size=page_size, page_token=token
            )
            answer = await self._call(self._catalog.ListFacets, request)
            return answer.counts, answer.next_page_token

        async for count in pages(fetch):
            yield count

    async def update_image(
        self,
        image: ImageName,
        *,
        labels: Mapping[str, str] | None = None,
        corrections: catalog_pb2.Corrections | None = None,
        etag: str = "",
    ) -> catalog_pb2.Image:
        """Replaces the labels, the corrections, or both; with ``etag`` only while nobody else changed it."""
        paths = [
            path for path, value in (("labels", labels), ("corrections", corrections)) if value is not None
        ]
        changed = catalog_pb2.Image(name=image_name(image), labels=labels, corrections=corrections, etag=etag)
        request = catalog_pb2.UpdateImageRequest(
            image=changed, update_mask=field_mask_pb2.FieldMask(paths=paths)
        )
        # With an etag the second of two calls would be refused.
        call = self._call_once if etag else self._call
        answer = await call(self._catalog.UpdateImage, request)
        return answer.image

    async def delete_image(
        self, image: ImageName, *, force: bool = False, allow_missing: bool = False
    ) -> None:
        """Deletes an image; for good at once with ``force``, else restorable for the retention time.

        Only with ``allow_missing`` is the call repeated: the second time the image may be gone.
        """
        request = catalog_pb2.DeleteImageRequest(
            name=image_name(image), force=force, allow_missing=allow_missing
        )
        await (self._call if allow_missing else self._call_once)(self._catalog.DeleteImage, request)

    async def stats(self) -> catalog_pb2.GetStatsResponse:
        """Counts of images, bytes and analyses."""
        return await self._call(self._catalog.GetStats, catalog_pb2.GetStatsRequest())

    async def export(
        self,
        format: catalog_pb2.ExportFormat.ValueType,  # noqa: A002  the name that the contract gives it
        *,
        columns: Sequence[str] = (),
        filter: str = "",  # noqa: A002  the name that the contract gives it
        query: catalog_pb2.ImageQuery | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """A table of images as a file, piece by piece. ``timeout_s`` bounds the wait for each piece."""
        request = catalog_pb2.ExportResultsRequest(format=format, columns=columns, filter=filter, query=query)
        async with aclosing(self._stream(self._catalog.ExportResults, request)) as bodies:
            async for body in bodies:
                yield body.data

    async def export_file(
        self,
        path: Path,
        format: catalog_pb2.ExportFormat.ValueType,  # noqa: A002  the name that the contract gives it
        *,
        columns: Sequence[str] = (),
        filter: str = "",  # noqa: A002  the name that the contract gives it
        query: catalog_pb2.ImageQuery | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Writes a table of images to ``path``; returns its size in bytes, ``on_progress`` gets that so far.

        The file appears when it is complete; one that was there before is replaced.
        """
        size_bytes = 0
        async with aclosing(self.export(format, columns=columns, filter=filter, query=query)) as pieces:
            with replacing(path) as file:
                async for piece in pieces:
                    size_bytes += await asyncio.to_thread(file.write, piece)
                    if on_progress is not None:
                        on_progress(size_bytes)
        return size_bytes
