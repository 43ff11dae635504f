"""The captioner's part of the pipeline: words for an image, known ones or new ones."""

from __future__ import annotations

from services.ingest.keyed_stream import KeyedStream, item_key
from services.ingest.patience import Patience
from services.ingest.versions import CachedVersion, ask_captioner, now
from services.runtime import statuses
from sightmill.v1 import analyzer_pb2, captioner_pb2, captioner_pb2_grpc, catalog_pb2, common_pb2

# On top of the captioner's own deadline, for the way there and back.
GRACE_S = 10.0
CAPTION = "caption"


class Describing:
    """Asks the captioner over one shared stream."""

    def __init__(
        self, captioner: captioner_pb2_grpc.CaptionerServiceAsyncStub, patience: Patience, timeout_s: float
    ) -> None:
        self._patience = patience
        self._timeout_s = timeout_s
        self._stream: KeyedStream[captioner_pb2.CaptionImagesRequest, captioner_pb2.CaptionImagesResponse]
        self._stream = KeyedStream(captioner.CaptionImages)
        self._version = CachedVersion(lambda: ask_captioner(captioner))

    async def caption(
        self, started: catalog_pb2.StartedImage, insights: analyzer_pb2.Insights
    ) -> catalog_pb2.Analysis:
        """The description of an image. Raises ServiceError when there is none to be had."""
        if known := await self._known(started):
            return known
        caption = await self._patience.outlast("captioner", lambda: self._describe(started.image, insights))
        return catalog_pb2.Analysis(
            sha256=started.image.sha256,
            analyzer=CAPTION,
            version=caption.prompt_version,
            settings_digest=caption.settings_digest,
            caption=caption,
            create_time=now(),
            elapsed=caption.elapsed,
        )

    async def close(self) -> None:
        """Ends the stream."""
        await self._stream.close()

    async def _known(self, started: catalog_pb2.StartedImage) -> catalog_pb2.Analysis | None:
        """What the same bytes already gave. A degraded description is worth another try: it costs nothing."""
        if started.image.process_options.caption != captioner_pb2.CaptionOptions():
            return None
        candidates = [
            known for known in started.analyses if known.analyzer == CAPTION and not known.caption.degraded
        ]
        if not candidates:
            return None
        now = await self._patience.outlast("captioner", self._version.get)
        return next((known for known in candidates if (known.version, known.settings_digest) == now), None)

    async def _describe(
        self, image: catalog_pb2.Image, insights: analyzer_pb2.Insights
    ) -> captioner_pb2.Caption:
        request = captioner_pb2.CaptionImagesRequest(
            key=item_key(),
            image=common_pb2.ImageSource(blob_key=image.blob_key),
            options=image.process_options.caption,
            insights=insights,
            batch=image.batch,
        )
        request.timeout.FromMilliseconds(int(self._timeout_s * 1_000))
        answer = await self._stream.call(request, self._timeout_s + GRACE_S)
        if answer.HasField("error"):
            raise statuses.from_status(answer.error)
        return answer.caption
