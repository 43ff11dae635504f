"""Photos sent and waited for at the same time: the first is done before the last is uploaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from sightmill.cli.meters import Meters
from sightmill.client import Client
from sightmill.errors import SightmillError, from_status
from sightmill.photo import Photo
from sightmill.v1 import catalog_pb2

WAITS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: an image that is done, or an error, or both when its analysis failed."""

    path: Path
    image: catalog_pb2.Image | None = None
    error: SightmillError | None = None


class AnalysisRun:
    """One run over a list of files. ``timeout_s`` bounds the wait for each photo, in seconds."""

    def __init__(
        self,
        client: Client,
        paths: Sequence[Path],
        options: catalog_pb2.ProcessOptions,
        timeout_s: float,
        meters: Meters,
    ) -> None:
        self._client = client
        self._paths = paths
        self._options = options
        self._timeout_s = timeout_s
        self._meters = meters
        self._outcomes: dict[int, Outcome] = {}
        self._sent: asyncio.Queue[tuple[int, catalog_pb2.Image] | None] = asyncio.Queue()
        self._report: Callable[[Outcome], None] | None = None

    async def outcomes(self, report: Callable[[Outcome], None] | None = None) -> list[Outcome]:
        """One outcome for each file, in their order; ``report`` gets each as soon as it is known."""
        self._report = report
        async with self._client:
            await asyncio.gather(self._send_all(), *(self._wait_all() for _ in range(WAITS_AT_ONCE)))
        return [self._outcomes[index] for index in sorted(self._outcomes)]

    async def _send_all(self) -> None:
        unsent = dict.fromkeys(range(len(self._paths)))
        photos = (Photo(path, options=self._options) for path in self._paths)
        try:
            async with aclosing(self._client.upload(photos, on_progress=self._meters.show_sent)) as results:
                async for result in results:
                    del unsent[result.index]
                    if result.image is None:
                        self._settle(result.index, error=result.error)
                    else:
                        self._sent.put_nowait((result.index, result.image))
        except SightmillError as error:
            for index in unsent:
                self._settle(index, error=error)
        for _ in range(WAITS_AT_ONCE):
            self._sent.put_nowait(None)

    async def _wait_all(self) -> None:
        while (item := await self._sent.get()) is not None:
            index, image = item
            try:
                image = await self._client.wait(image, self._timeout_s)
            except SightmillError as error:
                self._settle(index, image, error)
                continue
            failed = image.state == catalog_pb2.Image.FAILED
            self._settle(index, image, from_status(image.error) if failed else None)

    def _settle(
        self, index: int, image: catalog_pb2.Image | None = None, error: SightmillError | None = None
    ) -> None:
        outcome = self._outcomes[index] = Outcome(self._paths[index], image, error)
        self._meters.show_done(len(self._outcomes))
        if self._report is not None:
            self._report(outcome)
