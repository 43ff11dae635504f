"""The port to an engine that describes faces, and dlib's ResNet behind a pool of child processes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import structlog
from prometheus_client import CollectorRegistry

from services.analyzer.detector import AnalysisCancelledError, Cancellation
from services.analyzer.faces.dlib_describer import (
    CHIP_EDGE_PX,
    CHIP_PADDING,
    CROP_EDGE_PX,
    FACE_FRAME_PX,
    describe_crop,
    load_models,
)
from services.analyzer.picture import Pixels
from services.runtime.child_processes import (
    ChildProcesses,
    ChildrenBusyError,
    JobCancelledError,
    JobError,
    JobTimedOutError,
)
from services.runtime.errors import DeadlineError, InternalError, Reason

# Faces take 9 MB on top of the models; this stops a runaway without ever being in the way.
CHILD_MEMORY_MB = 128

Vector = tuple[float, ...]

_log = structlog.get_logger(__name__)


class DescriptionTimeoutError(DeadlineError):
    """The faces were not described in time."""

    def __init__(self) -> None:
        super().__init__(
            Reason.DEADLINE,
            "Describing the faces took longer than allowed: allow more time or more processes for it.",
        )


class FaceDescriber(Protocol):
    """An engine that describes faces; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Stable lower-case word."""

    def settings(self) -> Mapping[str, object]:
        """What decides its results."""

    def describe(self, crop: Pixels, timeout_s: float, cancelled: Cancellation, /) -> Vector:
        """The numbers of one face, cut by ``cut_face``. Raises DescriptionTimeoutError."""

    def close(self) -> None:
        """Give back what it holds."""


class DlibDescriber:
    """Describes faces in at most ``children`` child processes, which start and load with the first face."""

    name: ClassVar[str] = "dlib-resnet"

    def __init__(
        self, landmarks: Path, network: Path, children: int, registry: CollectorRegistry | None = None
    ) -> None:
        """``registry`` takes the counter ``sightmill_descriptor_jobs_total``."""
        self._paths = (str(landmarks), str(network))
        self._digest = _digest_files(landmarks, network)
        prepare = functools.partial(load_models, *self._paths)
        self.children = ChildProcesses(
            "descriptor", children, memory_mb=CHILD_MEMORY_MB, prepare=prepare, registry=registry
        )

    def settings(self) -> Mapping[str, object]:
        """The weights and the geometry."""
        return {
            "engine": self.name,
            "models": self._digest,
            "crop_px": CROP_EDGE_PX,
            "frame_px": list(FACE_FRAME_PX),
            "chip_px": CHIP_EDGE_PX,
            "padding": CHIP_PADDING,
        }

    def describe(self, crop: Pixels, timeout_s: float, cancelled: Cancellation) -> Vector:
        """128 numbers of one face.

        Waits up to ``timeout_s`` for a free child and then as long for its answer. Raises
        DescriptionTimeoutError, InternalError where the child died, and AnalysisCancelledError.
        """
        try:
            numbers = self.children.call(
                describe_crop, *self._paths, crop, timeout_s=timeout_s, cancelled=cancelled
            )
        except JobCancelledError:
            raise AnalysisCancelledError from None
        except (JobTimedOutError, ChildrenBusyError) as error:
            raise DescriptionTimeoutError from error
        except JobError as error:
            _log.warning("face_not_described", reason=repr(error))
            raise InternalError(
                Reason.DETECTOR_FAILED,
                "The process that describes faces failed on this image; the rest of the result stands.",
                detector="descriptors",
            ) from error
        return tuple(numbers)

    def close(self) -> None:
        """End the children."""
        self.children.close()


def _digest_files(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
