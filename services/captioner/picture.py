"""One image of one call: nothing of it is fetched or decoded before somebody looks."""

from __future__ import annotations

from io import BytesIO

from services.captioner.content_bytes import Content
from services.captioner.measurements import Measurements
from services.captioner.studio import Load, Studio
from services.captioner.upload_picture import Upload

__all__ = ["Load", "Picture", "Upload"]


class Picture:
    """The bytes behind ``load`` as a provider wants to see them. Belongs to one task.

    ``sha256`` is the digest of the bytes, 64 hexadecimal digits, where it is known; empty where it is not.
    ``largest_px`` is the largest edge that anybody will ask for. The original is scaled once, to that; all
    else is made from the result, so that content that came with a call is let go while a provider thinks.
    """

    def __init__(
        self,
        load: Load,
        studio: Studio,
        measured: Measurements | None = None,
        sha256: str = "",
        largest_px: int = 0,
    ) -> None:
        self._load = load
        self._studio = studio
        self._measured = measured
        self._sha256 = sha256
        self._largest_px = largest_px
        self._uploads: dict[int, Upload] = {}

    @property
    def is_measured(self) -> bool:
        """Whether the measurements came with the image."""
        return self._measured is not None

    async def digest(self) -> str:
        """SHA-256 of the original bytes, 64 hexadecimal digits. Errors as ``Studio.digest``."""
        if not self._sha256:
            self._sha256 = await self._studio.digest(self._load)
            self._let_go()
        return self._sha256

    async def upload(self, edge_px: int) -> Upload:
        """A small JPEG to send out; scaled once, whoever asks. Errors as Studio.upload."""
        if not self._uploads:
            largest_px = max(edge_px, self._largest_px)
            self._uploads[largest_px] = await self._studio.upload(self._load, largest_px)
            self._let_go()
        if edge_px not in self._uploads:
            self._uploads[edge_px] = await self._scaled(edge_px)
        return self._uploads[edge_px]

    async def measurements(self) -> Measurements:
        """What came with the image, else what a glance at it, or at its upload, shows.

        The width and height are those of what was looked at. Errors as Studio.glance.
        """
        if self._measured is None:
            seen = BytesIO(self._largest.jpeg) if self._uploads else self._load
            self._measured = await self._studio.glance(seen)
        return self._measured

    @property
    def _largest(self) -> Upload:
        return self._uploads[max(self._uploads)]

    async def _scaled(self, edge_px: int) -> Upload:
        largest = self._largest
        if max(largest.width, largest.height) <= edge_px:
            return largest
        return await self._studio.upload(BytesIO(largest.jpeg), edge_px)

    def _let_go(self) -> None:
        if self._sha256 and self._uploads and isinstance(self._load, Content):
            self._load.let_go()
