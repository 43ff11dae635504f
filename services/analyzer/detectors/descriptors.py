"""Descriptors: 128 numbers a face, for telling people apart. Optional, the extra 'people'.

Numbers of two faces are compared by Euclidean distance. The network (dlib's `face_recognition_model_v1`, a
ResNet-29 by Davis King, public domain) was trained so that 0.6 parts the same person from others; on the
portraits that were tried, the same person is 0.37 to 0.40 apart and different people 0.81 to 0.86. Small
faces drift: one shrunk to 40 pixels lies 0.25 from itself, to 24 pixels 0.42, to 16 pixels over 0.5. Group
at 0.5, and leave the last word to a human.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import structlog
from prometheus_client import CollectorRegistry

from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment, raise_if_cancelled
from services.analyzer.detectors.faces import Face, Faces
from services.analyzer.faces.crops import cut_face
from services.analyzer.faces.describer import DescriptionTimeoutError, DlibDescriber, FaceDescriber
from services.analyzer.picture import Picture
from services.analyzer.resources import ResourceMissingError, find_descriptor_models

# Each face costs a tenth of a second of a core; those of a crowd beyond this, the smallest, stay without.
MAX_FACES = 64
# Across, in the pixels that are at hand (``Picture.rgb``): below this two sizes of one face look like two.
MIN_FACE_PX = 24

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """One vector a face, in the order of the faces: 128 numbers.

    Empty where the face is narrower than MIN_FACE_PX or not among the MAX_FACES largest.
    """

    vectors: tuple[tuple[float, ...], ...]


class DescriptorDetector:
    """Describes faces that were found before: ``of(faces)`` is the detector for one picture.

    Built without an engine it stays usable and reports why it can't look.
    """

    name: ClassVar[str] = "descriptors"
    version: ClassVar[str] = "1"

    def __init__(
        self,
        describer: FaceDescriber | None,
        missing: str = "",
        *,
        timeout_s: float = 30.0,
        faces: Faces | None = None,
    ) -> None:
        """``timeout_s`` bounds the description of one picture; ``missing`` says what an engine would need."""
        self._describer = describer
        self._missing = missing
        self._timeout_s = timeout_s
        self._faces = faces

    @classmethod
    def open(
        cls, children: int, timeout_s: float, registry: CollectorRegistry | None = None
    ) -> DescriptorDetector:
        """Find the engine's files; nothing is loaded and no process started before the first face.

        At most ``children`` processes describe, one face each at a time; ``registry`` as in DlibDescriber.
        """
        try:
            describer = DlibDescriber(*find_descriptor_models(), children, registry)
            return cls(describer, timeout_s=timeout_s)
        except ResourceMissingError as error:
            _log.info("face_describer_not_installed", reason=str(error), places=error.places)
            return cls(None, str(error))

    @property
    def equipment(self) -> Equipment:
        """The engine that describes."""
        if self._describer is None:
            return Equipment(engine="", missing=self._missing)
        return Equipment(self._describer.name)

    def of(self, faces: Faces) -> DescriptorDetector:
        """The detector for the picture on which ``faces`` were found."""
        return DescriptorDetector(self._describer, self._missing, timeout_s=self._timeout_s, faces=faces)

    def settings(self) -> Mapping[str, object]:
        """The engine's settings and which faces it gets."""
        engine = self._describer.settings() if self._describer else {"engine": "none"}
        return {**engine, "max_faces": MAX_FACES, "min_face_px": MIN_FACE_PX}

    def detect(self, picture: Picture, cancelled: Cancellation) -> Descriptors:
        """Describe the faces.

        Raises DetectorUnavailableError without an engine or without faces to describe,
        DescriptionTimeoutError, InternalError where the engine failed, and AnalysisCancelledError.
        """
        if self._describer is None:
            raise DetectorUnavailableError(self.name, self._missing)
        if self._faces is None:
            raise DetectorUnavailableError(
                self.name,
                "Descriptors are made of the faces that were found, and no detector looked for any.",
            )
        faces = self._faces.faces
        vectors: list[tuple[float, ...]] = [()] * len(faces)
        deadline = time.monotonic() + self._timeout_s
        for place in _choose(faces, picture.reduction):
            raise_if_cancelled(cancelled)
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise DescriptionTimeoutError
            crop = cut_face(picture, faces[place].box, faces[place].landmarks)
            vectors[place] = self._describer.describe(crop, remaining_s, cancelled)
        return Descriptors(tuple(vectors))

    def close(self) -> None:
        """End the engine's processes."""
        if self._describer is not None:
            self._describer.close()


def _choose(faces: tuple[Face, ...], reduction: int) -> list[int]:
    """The places of the faces to describe, largest first."""
    places = [place for place, face in enumerate(faces) if face.box.width >= MIN_FACE_PX * reduction]
    places.sort(key=lambda place: -faces[place].box.width * faces[place].box.height)
    return places[:MAX_FACES]
