"""Indoor, outdoor or nature by shares of hue (rules of the Peek contract)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2

from services.analyzer.detector import Cancellation
from services.analyzer.picture import Picture, Pixels

BLUE = ((90, 50, 50), (130, 255, 255))
GREEN = ((35, 50, 50), (85, 255, 255))
# Pictures up to this edge are counted whole, larger ones on a grid: 0.1 % of a share at most.
SAMPLE_EDGE_PX = 512


class SceneType(enum.StrEnum):
    """The three kinds of scene that the rules tell apart."""

    INDOOR = "indoor"
    OUTDOOR = "outdoor"
    NATURE = "nature"


@dataclass(frozen=True, slots=True)
class Scene:
    """The first rule that matched, and the evidence: shares 0..1, mean saturation and value 0..255."""

    type: SceneType
    confidence: float
    blue_share: float
    green_share: float
    mean_saturation: float
    mean_value: float


class SceneDetector:
    """Counts blue and green pixels in HSV with hue 0..179, saturation and value 0..255."""

    name: ClassVar[str] = "scene"
    version: ClassVar[str] = "1"

    def settings(self) -> Mapping[str, object]:
        """The size of the sample."""
        return {"sample_edge_px": SAMPLE_EDGE_PX}

    def detect(self, picture: Picture, _cancelled: Cancellation) -> Scene:
        """Judge ``picture.rgb``."""
        step = -(-max(picture.rgb.shape[:2]) // SAMPLE_EDGE_PX)
        return judge_scene(picture.rgb[::step, ::step])


def judge_scene(rgb: Pixels) -> Scene:
    """Apply the rules, first match wins, to an RGB array of shape (height, width, 3)."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    count = hsv.shape[0] * hsv.shape[1]
    blue = cv2.countNonZero(cv2.inRange(hsv, *BLUE)) / count
    green = cv2.countNonZero(cv2.inRange(hsv, *GREEN)) / count
    _, saturation, value, _ = cv2.mean(hsv)
    kind, confidence = _match_rule(blue, green, saturation, value)
    return Scene(kind, round(confidence, 2), blue, green, saturation, value)


def _match_rule(blue: float, green: float, saturation: float, value: float) -> tuple[SceneType, float]:
    if blue > 0.3 and value > 100:
        return SceneType.OUTDOOR, min(0.6 + 0.4 * blue, 1.0)
    if green > 0.3:
        return SceneType.NATURE, min(0.6 + 0.4 * green, 1.0)
    if value < 80:
        return SceneType.INDOOR, 0.7
    return SceneType.INDOOR, 0.6 if saturation < 50 else 0.5
