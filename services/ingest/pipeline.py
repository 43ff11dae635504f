"""What happens to one image after it is in: looked up, analysed, described, written down.

Every step is idempotent by the image's digest, so a message may come twice and a process may die anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import structlog
from google.rpc import status_pb2

from services.ingest.analyzing import Analyzing
from services.ingest.describing import Describing
from services.ingest.recording import Recording
from services.ingest.watching import FINAL
from services.runtime import statuses
from services.runtime.context import current_request_id
from services.runtime.errors import FailedPreconditionError, NotFoundError, Reason, ServiceError
from sightmill.v1 import catalog_pb2

Again = Literal["stale", "force"]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The way of an image through analyzer and captioner into the catalog."""

    analyzing: Analyzing
    describing: Describing
    recording: Recording

    async def process(self, name: str, again: Again | None = None) -> bool:
        """Brings one image to its final state; False when it was there already, or was deleted.

        ``again`` works on an image in a final state, too: "stale" makes only what is not of today, "force"
        makes all anew. An image whose results cannot be renewed keeps those that it has.

        Waits as long as a service is away. Raises ServiceError when the catalog itself refuses: then the
        message must come again.
        """
        started = await self.recording.start(name)
        if started is None or (started.image.state in FINAL and not again):
            return False
        if again == "force":
            started.ClearField("analyses")
        try:
            insights = await self.analyzing.insights(started)
        except ServiceError as error:
            await self.fail(name, error)
            return True
        analyses = [insights]
        problem: status_pb2.Status | None = None
        if not started.image.process_options.skip_caption:
            try:
                analyses.append(await self.describing.caption(started, insights.insights))
            except ServiceError as error:
                problem = statuses.to_status(error, current_request_id())
                _log(name, "no caption", error)
        await self._finish(name, analyses, problem)
        return True

    async def fail(self, name: str, error: ServiceError) -> None:
        """Gives an image up."""
        _log(name, "image failed", error)
        try:
            await self.recording.fail(name, error)
        except (NotFoundError, FailedPreconditionError) as refusal:
            _ignore_settled(refusal)

    async def close(self) -> None:
        """Ends the streams."""
        await self.analyzing.close()
        await self.describing.close()
        await self.recording.close()

    async def _finish(
        self, name: str, analyses: list[catalog_pb2.Analysis], problem: status_pb2.Status | None
    ) -> None:
        try:
            await self.recording.finish(name, analyses, problem)
        except (NotFoundError, FailedPreconditionError) as refusal:
            _ignore_settled(refusal)


def _ignore_settled(refusal: ServiceError) -> None:
    """Somebody deleted the image meanwhile, or another worker finished it: nothing is left to do."""
    if refusal.reason not in {Reason.IMAGE_NOT_FOUND, Reason.WRONG_STATE}:
        raise refusal


def _log(name: str, event: str, error: ServiceError) -> None:
    structlog.get_logger("pipeline").info(event, image=name, reason=error.reason_name, problem=error.message)
