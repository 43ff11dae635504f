"""What a detector is, and the three ways in which it may end."""

from __future__ import annotations

import enum
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import structlog

from services.analyzer.picture import Picture
from services.runtime.errors import DeadlineError, FailedPreconditionError, Reason, ServiceError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Set by the owner of a call to have its analysis given up; None where nobody will.
Cancellation = threading.Event | None

_log = structlog.get_logger(__name__)


class DetectorUnavailableError(FailedPreconditionError):
    """The detector's engine or data is not installed; the message says what is missing."""

    def __init__(self, detector: str, message: str) -> None:
        super().__init__(Reason.DETECTOR_UNAVAILABLE, message, detector=detector)


class AnalysisCancelledError(DeadlineError):
    """The owner of the call gave up on it."""

    def __init__(self) -> None:
        super().__init__(
            Reason.DEADLINE, "The analysis was given up: its caller left or its deadline passed."
        )


class Detector(Protocol[T_co]):
    """One kind of insight. Stateless towards pictures, and safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Stable lower-case word."""

    @property
    def version(self) -> str:
        """Changes when the same picture and settings may give another result."""

    def settings(self) -> Mapping[str, object]:
        """Everything else that decides the result, as JSON values."""

    def detect(self, picture: Picture, cancelled: Cancellation, /) -> T_co:
        """Look at one picture; "found nothing" is a result. Raises DetectorUnavailableError."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a detector works with: its engine, whether that is less than intended, and how to get the rest.

    ``missing`` is empty where nothing is missing; without an engine the detector cannot look at all.
    """

    engine: str = "opencv"
    fallback: bool = False
    missing: str = ""


@runtime_checkable
class Equipped(Protocol):
    """A detector whose engine may be missing."""

    @property
    def equipment(self) -> Equipment:
        """What it works with."""


class Status(enum.Enum):
    """How one detector ended. OK includes "looked, found nothing"."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """One detector's part of a report: ``value`` with OK, else ``reason`` (safe to show)."""

    detector: str
    version: str
    status: Status
    duration_ms: float
    value: T | None = None
    reason: str = ""


def raise_if_cancelled(cancelled: Cancellation) -> None:
    """Raise AnalysisCancelledError once the owner of the call has given up."""
    if cancelled is not None and cancelled.is_set():
        raise AnalysisCancelledError


def run_detector(detector: Detector[T], picture: Picture, cancelled: Cancellation = None) -> Outcome[T]:
    """Run one detector; whatever it raises stays in its own outcome. Only cancellation passes through."""
    raise_if_cancelled(cancelled)
    started = time.perf_counter()
    value: T | None = None
    status, reason = Status.OK, ""
    try:
        value = detector.detect(picture, cancelled)
    except AnalysisCancelledError:
        raise
    except DetectorUnavailableError as error:
        status, reason = Status.UNAVAILABLE, error.message
    except ServiceError as error:
        status, reason = Status.FAILED, error.message
        _log.warning("detector_failed", detector=detector.name, reason=error.message)
    except Exception as error:  # noqa: BLE001 - one detector must never cost the others their results
        status, reason = Status.FAILED, f"The {detector.name} detector failed with {type(error).__name__}."
        _log.exception("detector_failed", detector=detector.name, width=picture.width, height=picture.height)
    duration_ms = (time.perf_counter() - started) * 1000
    return Outcome(detector.name, detector.version, status, duration_ms, value, reason)


def equipment_of(detector: Detector[object]) -> Equipment:
    """What a detector works with; most need nothing that could be missing."""
    return detector.equipment if isinstance(detector, Equipped) else Equipment()


def describe_detector(detector: Detector[object]) -> dict[str, object]:
    """Name, version and settings: what a result depends on besides the picture."""
    return {"name": detector.name, "version": detector.version, "settings": dict(detector.settings())}


def digest_settings(description: object) -> str:
    """The first 16 hex digits of the SHA-256 of canonical JSON."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
