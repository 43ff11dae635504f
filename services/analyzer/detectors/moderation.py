"""Moderation: how likely a picture is pornographic. Optional, the extra 'moderation'; off unless asked for.

A score of Yahoo's Open-NSFW, a network of 2016, and not a verdict. It knows pornography and nothing else:
violence, weapons, drugs and symbols of hate score low. Much skin, or cloth of its colour and shape, scores
high: beaches, wrestlers, comic heroes in tights. Its training pictures were never published, so nobody
knows for whom it errs more often. Its makers advise to tune a threshold to one's own pictures; below 0.2
most are harmless and above 0.8 most are not. Let a human decide what is between, and whatever matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import structlog

from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment
from services.analyzer.moderation_model import OpenNsfw
from services.analyzer.picture import Picture
from services.analyzer.resources import ResourceMissingError, find_moderation_model

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Moderation:
    """``unsafe_score`` 0 (harmless) to 1 (pornographic)."""

    unsafe_score: float


class ModerationDetector:
    """Scores a picture. Built without a model it stays usable and reports why it can't look."""

    name: ClassVar[str] = "moderation"
    version: ClassVar[str] = "1"

    def __init__(self, model: OpenNsfw | None, missing: str = "") -> None:
        """``missing`` says what a model would need."""
        self._model = model
        self._missing = missing

    @classmethod
    def open(cls) -> ModerationDetector:
        """Find the model; it is loaded with the first picture, so who doesn't ask pays no memory."""
        try:
            return cls(OpenNsfw(find_moderation_model()))
        except ResourceMissingError as error:
            _log.info("moderation_not_installed", reason=str(error), places=error.places)
            return cls(None, str(error))

    @property
    def equipment(self) -> Equipment:
        """The model that scores."""
        return Equipment(self._model.name if self._model else "", missing=self._missing)

    def settings(self) -> Mapping[str, object]:
        """The model's settings."""
        return self._model.settings() if self._model else {"engine": "none"}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> Moderation:
        """Score ``picture`` by its colour pixels; raises DetectorUnavailableError without a model."""
        if self._model is None:
            raise DetectorUnavailableError(self.name, self._missing)
        try:
            self._model.load()
        except Exception as error:
            _log.warning("moderation_model_not_loaded", reason=repr(error))
            raise DetectorUnavailableError(self.name, "The moderation model does not load.") from error
        return Moderation(self._model.score(picture.rgb))
