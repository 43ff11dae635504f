"""The catalog's part of the pipeline: what is known of an image, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.rpc import status_pb2

from services.ingest.keyed_stream import KeyedStream, item_key
from services.ingest.micro_batch import MicroBatch
from services.ingest.patience import Patience
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import ServiceError
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc

CALL_TIMEOUT_S = 10.0
MAX_STARTED_AT_ONCE = 100


class Recording:
    """Reads and writes the catalog: images start together in one call, results go over one shared stream."""

    def __init__(self, catalog: catalog_pb2_grpc.CatalogServiceAsyncStub, patience: Patience) -> None:
        self._catalog = catalog
        self._patience = patience
        self._stream: KeyedStream[catalog_pb2.WriteAnalysesRequest, catalog_pb2.WriteAnalysesResponse]
        self._stream = KeyedStream(catalog.WriteAnalyses)
        self._starts: MicroBatch[catalog_pb2.StartedImage] = MicroBatch(
            self._start_images, MAX_STARTED_AT_ONCE
        )

    async def start(self, name: str) -> catalog_pb2.StartedImage | None:
        """Marks an image as being processed and says what is known of it; None when there is none."""
        return await self._patience.outlast("catalog", lambda: self._starts.get(name))

    async def finish(
        self, name: str, analyses: Sequence[catalog_pb2.Analysis], problem: status_pb2.Status | None
    ) -> None:
        """Stores analyses and enters PROCESSED; ``problem`` says what is missing nevertheless."""
        await self._write(name, analyses, catalog_pb2.Image.PROCESSED, problem)

    async def fail(self, name: str, error: ServiceError) -> None:
        """Enters FAILED."""
        status = statuses.to_status(error, current_request_id())
        await self._write(name, (), catalog_pb2.Image.FAILED, status)

    async def close(self) -> None:
        """Ends the stream."""
        await self._stream.close()

    async def _write(
        self,
        name: str,
        analyses: Sequence[catalog_pb2.Analysis],
        state: catalog_pb2.Image.State.ValueType,
        error: status_pb2.Status | None,
    ) -> None:
        async def write() -> None:
            request = catalog_pb2.WriteAnalysesRequest(
                key=item_key(), image=name, analyses=analyses, state=state, error=error
            )
            answer = await self._stream.call(request, CALL_TIMEOUT_S)
            if answer.HasField("error"):
                raise statuses.from_status(answer.error)

        await self._patience.outlast("catalog", write)

    async def _start_images(self, names: Sequence[str]) -> Mapping[str, catalog_pb2.StartedImage]:
        request = catalog_pb2.StartImagesRequest(names=names)
        answer = await self._catalog.StartImages(request, timeout=CALL_TIMEOUT_S)
        return {started.image.name: started for started in answer.images}
