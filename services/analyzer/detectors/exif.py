"""EXIF facts as a detector, with the switch that withholds the place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from services.analyzer.detector import Cancellation
from services.analyzer.exif import ExifFacts
from services.analyzer.picture import Picture


class ExifDetector:
    """Hands on what the decode read; without ``with_location`` nobody learns where the photo was taken."""

    name: ClassVar[str] = "exif"
    version: ClassVar[str] = "1"

    def __init__(self, *, with_location: bool) -> None:
        self._with_location = with_location

    def settings(self) -> Mapping[str, object]:
        """Whether the place is told."""
        return {"with_location": self._with_location}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> ExifFacts:
        """The facts of the picture's file."""
        return picture.exif if self._with_location else picture.exif.without_location()
