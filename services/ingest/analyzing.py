"""The analyzer's part of the pipeline: insights of an image, known ones or new ones."""

from __future__ import annotations

from services.ingest.keyed_stream import KeyedStream, item_key
from services.ingest.patience import Patience
from services.ingest.renditions import THUMBNAIL_EDGE, Renditions
from services.ingest.versions import CachedVersion, ask_analyzer, now
from services.runtime import statuses
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc, catalog_pb2, common_pb2

# On top of the analyzer's own deadline, for the way there and back.
GRACE_S = 10.0
INSIGHTS = "insights"


class Analyzing:
    """Asks the analyzer over one shared stream."""

    def __init__(
        self,
        analyzer: analyzer_pb2_grpc.AnalyzerServiceAsyncStub,
        renditions: Renditions,
        patience: Patience,
        timeout_s: float,
    ) -> None:
        self._renditions = renditions
        self._patience = patience
        self._timeout_s = timeout_s
        self._stream: KeyedStream[analyzer_pb2.AnalyzeImagesRequest, analyzer_pb2.AnalyzeImagesResponse]
        self._stream = KeyedStream(analyzer.AnalyzeImages)
        self._version = CachedVersion(lambda: ask_analyzer(analyzer))

    async def insights(self, started: catalog_pb2.StartedImage) -> catalog_pb2.Analysis:
        """The insights of an image. Raises ServiceError when it cannot be analysed."""
        if known := await self._known(started):
            return known
        image = started.image
        answer = await self._patience.outlast("analyzer", lambda: self._analyze(image))
        if answer.HasField("thumbnail"):
            await self._patience.outlast(
                "blob store", lambda: self._renditions.keep_thumbnail(image.sha256, answer.thumbnail)
            )
        insights = answer.insights
        return catalog_pb2.Analysis(
            sha256=image.sha256,
            analyzer=INSIGHTS,
            version=insights.analyzer_version,
            settings_digest=insights.settings_digest,
            insights=insights,
            create_time=now(),
            elapsed=insights.elapsed,
        )

    async def close(self) -> None:
        """Ends the stream."""
        await self._stream.close()

    async def _known(self, started: catalog_pb2.StartedImage) -> catalog_pb2.Analysis | None:
        """What the same bytes already gave, if it was made as it would be made now."""
        if started.image.process_options.analyze != analyzer_pb2.AnalyzeOptions():
            return None
        candidates = [known for known in started.analyses if known.analyzer == INSIGHTS]
        if not candidates:
            return None
        now = await self._patience.outlast("analyzer", self._version.get)
        return next((known for known in candidates if (known.version, known.settings_digest) == now), None)

    async def _analyze(self, image: catalog_pb2.Image) -> analyzer_pb2.AnalyzeImageResponse:
        options = analyzer_pb2.AnalyzeOptions()
        options.CopyFrom(image.process_options.analyze)
        options.thumbnail_edge = THUMBNAIL_EDGE
        request = analyzer_pb2.AnalyzeImagesRequest(
            key=item_key(), image=common_pb2.ImageSource(blob_key=image.blob_key), options=options
        )
        request.timeout.FromMilliseconds(int(self._timeout_s * 1_000))
        answer = await self._stream.call(request, self._timeout_s + GRACE_S)
        if answer.HasField("error"):
            raise statuses.from_status(answer.error)
        return answer.analysis
