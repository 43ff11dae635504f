"""Pictures made from an image, drawn once and kept beside the original in the blob store.

A kept rendition is a serialized ``Rendition`` message: bytes and their media type belong together.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import DecodeError

from services.runtime.blobs.port import Blobs
from services.runtime.errors import FailedPreconditionError, NotFoundError, Reason
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc, catalog_pb2, common_pb2

THUMBNAIL_EDGE = 300
MAX_RENDITION_BYTES = 64 * 1024 * 1024
RENDER_TIMEOUT_S = 60.0
# Drawing decodes a whole image; a gallery that opens must not crowd out the analysis.
DRAWING_AT_A_TIME = 4


def rendition_prefix(sha256: str) -> str:
    """Where all pictures made from these bytes are kept."""
    return f"renditions/{sha256}"


def thumbnail_key(sha256: str) -> str:
    """Where the thumbnail of these bytes is kept."""
    return f"{rendition_prefix(sha256)}/thumbnail-{THUMBNAIL_EDGE}"


def annotated_key(image: catalog_pb2.Image) -> str:
    """Where the annotated picture is kept; another analysis may find other faces."""
    insights = image.insights
    made_with = f"{insights.analyzer_version}-{insights.settings_digest}"
    return f"{rendition_prefix(image.sha256)}/annotated-{made_with}"


class Renditions:
    """Gives renditions, from the blob store or freshly drawn by the analyzer."""

    def __init__(self, blobs: Blobs, analyzer: analyzer_pb2_grpc.AnalyzerServiceAsyncStub) -> None:
        self._blobs = blobs
        self._analyzer = analyzer
        self._drawing = asyncio.Semaphore(DRAWING_AT_A_TIME)

    async def thumbnail(self, image: catalog_pb2.Image) -> analyzer_pb2.Rendition:
        """A small upright JPEG."""
        request = analyzer_pb2.RenderImageRequest(
            image=common_pb2.ImageSource(blob_key=image.blob_key),
            kind=analyzer_pb2.RENDITION_KIND_THUMBNAIL,
            thumbnail_edge=THUMBNAIL_EDGE,
        )
        return await self._kept(thumbnail_key(image.sha256), request, image)

    async def annotated(self, image: catalog_pb2.Image) -> analyzer_pb2.Rendition:
        """The upright image with a box around each face; the image must have faces."""
        request = analyzer_pb2.RenderImageRequest(
            image=common_pb2.ImageSource(blob_key=image.blob_key),
            kind=analyzer_pb2.RENDITION_KIND_ANNOTATED,
            boxes=[face.box for face in image.insights.faces.faces],
        )
        return await self._kept(annotated_key(image), request, image)

    async def keep_thumbnail(self, sha256: str, thumbnail: analyzer_pb2.Rendition) -> None:
        """Keeps a thumbnail that came with the analysis."""
        await self._blobs.put(thumbnail_key(sha256), thumbnail.SerializeToString())

    async def _kept(
        self, key: str, request: analyzer_pb2.RenderImageRequest, image: catalog_pb2.Image
    ) -> analyzer_pb2.Rendition:
        if kept := await self._read(key):
            return kept
        if image.state == catalog_pb2.Image.FAILED:
            raise FailedPreconditionError(
                Reason.WRONG_STATE,
                "The image could not be analysed; only its original is at hand.",
                state="FAILED",
            )
        async with self._drawing:
            drawn = await self._analyzer.RenderImage(request, timeout=RENDER_TIMEOUT_S)
        # What may lie there cannot be read.
        await self._blobs.put(key, drawn.rendition.SerializeToString(), overwrite=True)
        return drawn.rendition

    async def _read(self, key: str) -> analyzer_pb2.Rendition | None:
        try:
            return analyzer_pb2.Rendition.FromString(
                await self._blobs.get(key, max_bytes=MAX_RENDITION_BYTES)
            )
        except (NotFoundError, DecodeError):
            return None
