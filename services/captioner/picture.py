"""One image of one call: nothing of it is fetched or decoded before somebody looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.captioner.measurements import Measurements
from services.captioner.studio import Studio

Load = Callable[[], Awaitable[bytes]]


class Picture:
    """The bytes behind ``load`` as a provider wants to see them. Belongs to one task."""

    def __init__(self, load: Load, studio: Studio, measured: Measurements | None = None) -> None:
        self._load = load
        self._studio = studio
        self._measured = measured
        self._uploads: dict[int, bytes] = {}

    @property
    def is_measured(self) -> bool:
        """Whether the measurements came with the image."""
        return self._measured is not None

    @property
    def is_prepared(self) -> bool:
        """Whether an upload was ready; before that, time that passes is not a provider's."""
        return bool(self._uploads)

    async def upload(self, edge_px: int) -> bytes:
        """A small JPEG to send out; scaled once, whoever asks. Errors as Studio.upload."""
        if edge_px not in self._uploads:
            self._uploads[edge_px] = await self._studio.upload(self._load, edge_px)
        return self._uploads[edge_px]

    async def measurements(self) -> Measurements:
        """What came with the image, else what a glance at it shows. Errors as Studio.glance."""
        if self._measured is None:
            self._measured = await self._studio.glance(self._load)
        return self._measured
