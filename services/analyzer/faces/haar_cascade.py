"""OpenCV's Haar cascade: the face finder where no model is installed. Finds about two faces in three."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import cv2

from services.analyzer.detector import Cancellation
from services.analyzer.faces.centerface import Candidate
from services.analyzer.picture import Picture
from services.analyzer.resources import ResourceMissingError

EDGE_PX = 640
SCALE_STEP = 1.15
NEIGHBOURS = 3
SMALLEST_PX = 24


class HaarCascade:
    """``frontalface_alt2``. A classifier is not safe to share, so each thread loads its own."""

    name: ClassVar[str] = "haar"

    def __init__(self, path: Path) -> None:
        if cv2.CascadeClassifier(str(path)).empty():
            raise ResourceMissingError(f"{path.name} does not load as a cascade.", path)
        self._path = path
        self._local = threading.local()

    def settings(self) -> Mapping[str, object]:
        """The parameters of the search."""
        return {"engine": self.name, "edge_px": EDGE_PX, "scale_step": SCALE_STEP, "neighbours": NEIGHBOURS}

    def find(self, picture: Picture, _cancelled: Cancellation = None) -> list[Candidate]:
        """Find frontal faces; the cascade knows neither scores nor landmarks."""
        grey = picture.preview
        height, width = grey.shape
        scale = min(1.0, EDGE_PX / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        found = self._classifier().detectMultiScale(
            grey, scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(SMALLEST_PX, SMALLEST_PX)
        )
        across, down = picture.width / grey.shape[1], picture.height / grey.shape[0]
        return [
            Candidate(x * across, y * down, (x + w) * across, (y + h) * down, None)
            for x, y, w, h in (map(float, box) for box in found)
        ]

    def _classifier(self) -> cv2.CascadeClassifier:
        classifier: cv2.CascadeClassifier | None = getattr(self._local, "classifier", None)
        if classifier is None:
            classifier = self._local.classifier = cv2.CascadeClassifier(str(self._path))
        return classifier
