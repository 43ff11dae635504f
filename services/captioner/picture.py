"""One image of one call: nothing of it is fetched or decoded before somebody looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.captioner.measurements import Measurements
from services.captioner.studio import Studio
from services.captioner.upload_picture import Upload

__all__ = ["Load", "Picture", "Upload"]

Load = Callable[[], Awaitable[bytes]]


class Picture:
    """The bytes behind ``load`` as a provider wants to see them. Belongs to one task.

    ``sha256`` is the digest of the bytes, 64 hexadecimal digits, where it is known; empty where it is not.
    """

    def __init__(
        self, load: Load, studio: Studio, measured: Measurements | None = None, sha256: str = ""
    ) -> None:
        self._load = load
        self._studio = studio
        self._measured = measured
        self._sha256 = sha256
        self._uploads: dict[int, Upload] = {}

    @property
    def is_measured(self) -> bool:
        """Whether the measurements came with the image."""
        return self._measured is not None

    async def digest(self) -> str:
        """SHA-256 of the original bytes, 64 hexadecimal digits. Errors as ``load``."""
        if not self._sha256:
            self._sha256 = await self._studio.digest(self._load)
        return self._sha256

    async def upload(self, edge_px: int) -> Upload:
        """A small JPEG to send out; scaled once, whoever asks. Errors as Studio.upload."""
        if edge_px not in self._uploads:
            self._uploads[edge_px] = await self._studio.upload(self._load, edge_px)
        return self._uploads[edge_px]

    async def measurements(self) -> Measurements:
        """What came with the image, else what a glance at it shows. Errors as Studio.glance."""
        if self._measured is None:
            self._measured = await self._studio.glance(self._load)
        return self._measured
