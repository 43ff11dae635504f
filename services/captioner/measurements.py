"""What is measured on an image, in the words that the local describer needs."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Focus(enum.Enum):
    """How sharp the picture is."""

    UNKNOWN = ""
    SHARP = "sharp"
    SOFT = "soft"
    BLURRED = "blurred"


class Scene(enum.Enum):
    """The kind of place."""

    UNKNOWN = ""
    INDOOR = "indoor"
    OUTDOOR = "outdoor"
    NATURE = "nature"


@dataclass(frozen=True, slots=True)
class ColourShare:
    """A main colour as sRGB bytes and its share of the picture, 0.0 to 1.0."""

    red: int
    green: int
    blue: int
    share: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """Facts about an upright image. None and UNKNOWN mean "not measured", zero and "" mean "looked, none".

    ``width`` and ``height`` in pixels, 0 when unknown; ``brightness`` is mean luma, 0 to 255;
    ``colours`` come largest share first.
    """

    width: int = 0
    height: int = 0
    colours: tuple[ColourShare, ...] = ()
    brightness: int | None = None
    focus: Focus = Focus.UNKNOWN
    scene: Scene = Scene.UNKNOWN
    face_count: int | None = None
    text: str | None = None
    barcode_count: int | None = None
