"""Faces: CenterFace where its model is installed, else OpenCV's cascade; the result says which one looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import structlog

from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment
from services.analyzer.faces.centerface import Candidate, CenterFace
from services.analyzer.faces.haar_cascade import HaarCascade
from services.analyzer.picture import Box, Picture
from services.analyzer.resources import ResourceMissingError, find_cascade, find_face_model

_log = structlog.get_logger(__name__)


class FaceFinder(Protocol):
    """An engine that finds faces; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Stable lower-case word."""

    def settings(self) -> Mapping[str, object]:
        """What decides its results."""

    def find(self, picture: Picture, cancelled: Cancellation, /) -> list[Candidate]:
        """Candidates in full-resolution pixels; they may reach over the edge."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    ``confidence`` 0..1, None where the engine knows none. ``landmarks`` are (x, y) of the left and right eye
    as seen, the tip of the nose, the left and right corner of the mouth, inside the picture; or empty.
    """

    box: Box
    confidence: float | None
    landmarks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Faces:
    """All faces, best first (top left first where there is no confidence), and the engine that looked."""

    faces: tuple[Face, ...]
    engine: str


class FaceDetector:
    """Finds faces. Built without any engine it stays usable and reports why it can't look."""

    name: ClassVar[str] = "faces"
    version: ClassVar[str] = "2"

    def __init__(self, finder: FaceFinder | None, missing: str = "") -> None:
        """``missing`` says what the better engine would need; without ``finder``, what any would."""
        self._finder = finder
        self._missing = missing

    @property
    def equipment(self) -> Equipment:
        """The engine that looks."""
        if self._finder is None:
            return Equipment(engine="", missing=self._missing)
        return Equipment(self._finder.name, fallback=bool(self._missing), missing=self._missing)

    @classmethod
    def open(cls, model_path: Path | None) -> FaceDetector:
        """Load the best engine there is; ``model_path`` names the model, else the installed one is taken."""
        try:
            return cls(CenterFace(find_face_model(model_path)))
        except Exception as error:  # noqa: BLE001 - a model that does not load is as good as none
            places = getattr(error, "places", ())
            missing = str(error) if places else "The face model does not load."
            _log.warning("face_model_not_loaded", reason=repr(error), places=places, instead=HaarCascade.name)
        try:
            return cls(HaarCascade(find_cascade()), missing)
        except ResourceMissingError as error:
            _log.warning("face_cascade_not_loaded", reason=repr(error), places=error.places)
            return cls(None, f"Neither face model nor cascade can be loaded. {error}")

    def settings(self) -> Mapping[str, object]:
        """The engine's settings."""
        return self._finder.settings() if self._finder else {"engine": "none"}

    def detect(self, picture: Picture, cancelled: Cancellation) -> Faces:
        """Find the faces of ``picture``; raises DetectorUnavailableError without an engine."""
        if self._finder is None:
            raise DetectorUnavailableError(self.name, self._missing)
        candidates = self._finder.find(picture, cancelled)
        candidates.sort(key=lambda face: (-(face.score or 0.0), face.top, face.left))
        faces = (_place(candidate, picture) for candidate in candidates)
        return Faces(tuple(face for face in faces if face), self._finder.name)


def _place(face: Candidate, picture: Picture) -> Face | None:
    box = picture.fit_box(face.left, face.top, face.right, face.bottom)
    if box is None:
        return None
    landmarks = tuple(
        (max(0, min(picture.width - 1, round(x))), max(0, min(picture.height - 1, round(y))))
        for x, y in face.points
    )
    return Face(box, face.score, landmarks)
