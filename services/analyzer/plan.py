"""What a call may ask for, and what an operator decides for those who don't."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.analyzer.decode import DecodeLimits

TextEngineName = Literal["tesseract", "rapidocr"]


class Insight(enum.StrEnum):
    """What can be asked for, in the order in which it is computed; the value is the detector's name."""

    COLOURS = "colours"
    LUMINANCE = "luminance"
    SCENE = "scene"
    FACES = "faces"
    TEXT = "text"
    HASHES = "hashes"
    EXIF = "exif"
    CODES = "codes"
    THUMBHASH = "thumbhash"
    MODERATION = "moderation"
    DESCRIPTORS = "descriptors"


# What must be asked for: it costs much, needs an extra, or is nobody's business by default.
ON_REQUEST = frozenset({Insight.MODERATION, Insight.DESCRIPTORS})
STANDARD = frozenset(Insight) - ON_REQUEST


@dataclass(frozen=True, slots=True)
class AnalyzerConfig:
    """What an operator may decide.

    ``face_model`` and ``tessdata`` override where the model file and the language data are sought;
    ``tessdata_prefix`` is the value of TESSDATA_PREFIX. ``languages`` as Tesseract writes them ("eng+deu").
    ``text_timeout_s`` bounds the reading of one picture by Tesseract, ``accurate_text_timeout_s`` that by
    RapidOCR, which knows its own languages. ``with_location`` lets GPS positions out.
    ``insights`` run for who does not choose. ``decode_processes`` decode what might hang or crash; with 0 it
    is decoded in this process, which is for files of one's own. ``people_processes`` describe faces, within
    ``people_timeout_s`` a picture.
    """

    decode: DecodeLimits = field(default_factory=DecodeLimits)
    decode_processes: int = 0
    insights: frozenset[Insight] = STANDARD
    thumbnail_edge_px: int = 300
    face_model: Path | None = None
    tessdata: Path | None = None
    tessdata_prefix: Path | None = None
    languages: str = "eng"
    text_timeout_s: float = 10.0
    accurate_text_timeout_s: float = 60.0
    with_location: bool = False
    people_processes: int = 1
    people_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call wants.

    ``thumbnail_edge_px`` is the thumbnail's longer edge, 0 for the operator's default. ``insights`` None,
    ``languages`` "" and ``with_location`` None leave the choice to the operator. DESCRIPTORS brings FACES.
    """

    insights: frozenset[Insight] | None = None
    thumbnail: bool = False
    thumbnail_edge_px: int = 0
    languages: str = ""
    text_engine: TextEngineName = "tesseract"
    with_location: bool | None = None
