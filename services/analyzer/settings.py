"""Settings of the analyzer process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

from services.analyzer.plan import Insight
from services.runtime.settings import Address, RuntimeSettings, Seconds


def _split(value: object) -> object:
    """Words between commas; what is a collection already stays one."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class AnalyzerSettings(RuntimeSettings):
    """Limits, models and languages."""

    analyzer_listen: Address = "127.0.0.1:50052"
    analyzer_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="images analysed at the same time",
    )
    analyzer_max_waiting: int = Field(
        256, ge=0, description="single calls that wait for a thread before new ones are refused"
    )
    analyzer_max_bytes: int = Field(64 * 1024 * 1024, ge=1, description="largest image")
    analyzer_max_pixels: int = Field(50_000_000, ge=1, description="most pixels of an image")
    analyzer_max_total_pixels: int = Field(
        200_000_000, ge=1, description="most pixels of all frames or pages of an image together"
    )
    analyzer_decode_timeout_s: Seconds = Field(
        4.0, description="time for one decode in a child process, and as long for a free one"
    )
    analyzer_decode_memory_mb: int = Field(
        1_024, ge=64, description="memory that one decode in a child process may take"
    )
    analyzer_extra_detectors: Annotated[frozenset[Insight], NoDecode, BeforeValidator(_split)] = Field(
        frozenset(),
        description="detectors that run by default besides the standard ones, with commas between: "
        "moderation, descriptors",
    )
    analyzer_people_processes: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=64,
        description="child processes that describe faces, about 95 MB each, started when first asked",
    )
    analyzer_people_timeout_s: Seconds = Field(30.0, description="time for the descriptors of one image")
    analyzer_timeout_s: Seconds = Field(60.0, description="time for one image, waiting included")
    analyzer_text_timeout_s: Seconds = Field(10.0, description="time for the text of one image")
    analyzer_accurate_text_timeout_s: Seconds = Field(
        60.0, description="time for the text of one image with RapidOCR"
    )
    analyzer_text_language: str = Field(
        "eng", pattern=r"^[A-Za-z0-9_+]{2,64}$", description="Tesseract languages, joined with +"
    )
    analyzer_face_model: Path | None = Field(
        None, description="centerface.onnx; empty for the installed package"
    )
    analyzer_tessdata: Path | None = Field(
        None, description="folder with *.traineddata; empty to look in the usual places"
    )
    analyzer_tessdata_prefix: Path | None = Field(
        None,
        validation_alias=AliasChoices("SIGHTMILL_ANALYZER_TESSDATA_PREFIX", "TESSDATA_PREFIX"),
        description="the first place to look for *.traineddata",
    )
