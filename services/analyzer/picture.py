"""A decoded image as all detectors share it, and a box on it."""

from __future__ import annotations

from dataclasses import dataclass

from cv2.typing import MatLike

from services.analyzer.exif import ExifFacts

# 8-bit arrays; OpenCV's stubs do not tell element types apart.
Pixels = MatLike


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the upright, full-resolution picture; origin top left."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Picture:
    """One image, upright (its EXIF orientation applied), as 8-bit pixels. The arrays are read-only.

    ``grey``      (height, width) luma at full resolution: the statistics need every pixel.
    ``rgb``       (about height / reduction, about width / reduction, 3) in RGB order.
    ``preview``   luma with its longer edge at most ``PREVIEW_EDGE_PX``, never enlarged.
    ``mode``      the stored pixel mode in Pillow's terms; ``frames`` how many frames the file has, of
                  which the first is here; ``orientation`` the EXIF value 1..8 that was applied.
    ``truncated`` the file ended early and the missing part is grey.
    """

    grey: Pixels
    rgb: Pixels
    preview: Pixels
    reduction: int
    format: str
    mode: str
    frames: int
    orientation: int
    truncated: bool
    exif: ExifFacts

    @property
    def width(self) -> int:
        """Pixels across, upright."""
        return int(self.grey.shape[1])

    @property
    def height(self) -> int:
        """Pixels down, upright."""
        return int(self.grey.shape[0])

    def fit_box(self, left: float, top: float, right: float, bottom: float) -> Box | None:
        """Round two corners (full-resolution pixels) to a box inside the picture; None if nothing is left."""
        x0, y0 = max(0, round(left)), max(0, round(top))
        x1, y1 = min(self.width, round(right)), min(self.height, round(bottom))
        if x1 <= x0 or y1 <= y0:
            return None
        return Box(x0, y0, x1 - x0, y1 - y0)
