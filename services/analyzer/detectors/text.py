"""Text: the gate finds lines, OCR reads a page or a few blocks, words come back in the picture's pixels."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import structlog

from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment, raise_if_cancelled
from services.analyzer.picture import Box, Picture, Pixels
from services.analyzer.resources import ResourceMissingError, find_tessdata, find_tesseract
from services.analyzer.text.blocks import TextBlock, plan_blocks
from services.analyzer.text.engine import ReadWord, Segmentation, TextEngine, TextTimeoutError
from services.analyzer.text.gate import find_lines
from services.analyzer.text.pytesseract_engine import PytesseractEngine
from services.analyzer.text.tesserocr_engine import TesserocrEngine

# In a photo most of what looks like text is not; on a page nearly all is, and a low score is a hard word.
MIN_BLOCK_CONFIDENCE = 0.7
DOUBTFUL_PAGE_CONFIDENCE = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Word:
    """One word: confidence 0..1, box in full-resolution pixels."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Text:
    """What was read: trimmed text, one line a line, a blank line between blocks; and the engine.

    ``word_count`` counts tokens between white space; ``found`` is word_count > 0.
    """

    text: str
    words: tuple[Word, ...]
    engine: str

    @property
    def word_count(self) -> int:
        """Tokens between white space."""
        return len(self.text.split())

    @property
    def found(self) -> bool:
        """Whether there is any text."""
        return self.word_count > 0


class TextDetector:
    """Reads text. Built without any engine it stays usable and reports why it can't look."""

    name: ClassVar[str] = "text"
    version: ClassVar[str] = "1"

    def __init__(self, engine: TextEngine | None, *, timeout_s: float = 10.0, missing: str = "") -> None:
        """``timeout_s`` bounds all reading of one picture."""
        self._engine = engine
        self._timeout_s = timeout_s
        self._missing = missing

    @property
    def equipment(self) -> Equipment:
        """The engine that reads."""
        if self._engine is None:
            return Equipment(engine="", missing=self._missing)
        return Equipment(self._engine.name, fallback=bool(self._missing), missing=self._missing)

    @classmethod
    def open(
        cls, tessdata: Path | None, prefix: Path | None, languages: str, timeout_s: float
    ) -> TextDetector:
        """Open the fastest engine there is: tesserocr, else pytesseract, else none."""
        try:
            folder = find_tessdata(tessdata, prefix, languages)
        except ResourceMissingError as error:
            _log.warning("text_engine_not_loaded", reason=str(error), places=error.places)
            return cls(None, missing=str(error))
        try:
            return cls(TesserocrEngine(folder, languages), timeout_s=timeout_s)
        except Exception as error:  # noqa: BLE001 - a library that does not load is as good as none
            _log.warning("text_engine_not_loaded", reason=repr(error), instead=PytesseractEngine.name)
        try:
            engine = PytesseractEngine(find_tesseract(), folder, languages)
            return cls(
                engine, timeout_s=timeout_s, missing="tesserocr does not load; reading is much slower."
            )
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("text_engine_not_loaded", reason=repr(error))
            return cls(None, missing="Neither tesserocr nor pytesseract with its program can be loaded.")

    def settings(self) -> Mapping[str, object]:
        """The engine's settings and the bar for words in photos."""
        engine = self._engine.settings() if self._engine else {"engine": "none"}
        return {**engine, "min_block_confidence": MIN_BLOCK_CONFIDENCE}

    def detect(self, picture: Picture, cancelled: Cancellation) -> Text:
        """Read ``picture``.

        Raises DetectorUnavailableError without an engine, TextTimeoutError when the time is used up and
        AnalysisCancelledError between blocks.
        """
        if self._engine is None:
            raise DetectorUnavailableError(self.name, self._missing)
        deadline = time.monotonic() + self._timeout_s
        scale = max(picture.width, picture.height) / max(picture.preview.shape)
        lines = [line.scale(scale) for line in find_lines(picture.preview)]
        paragraphs: list[str] = []
        words: list[Word] = []
        for block in plan_blocks(lines, picture.width, picture.height):
            raise_if_cancelled(cancelled)
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise TextTimeoutError
            read = self._read_block(self._engine, picture, block, remaining_s)
            paragraphs.append(_join_lines(read))
            words += _place_words(read, block, picture)
        return Text("\n\n".join(part for part in paragraphs if part), tuple(words), self._engine.name)

    @staticmethod
    def _read_block(
        engine: TextEngine, picture: Picture, block: TextBlock, timeout_s: float
    ) -> list[ReadWord]:
        words = engine.read(_prepare(picture.grey, block), block.segmentation, timeout_s)
        if block.segmentation is Segmentation.PAGE and words:
            typical = statistics.median(word.confidence for word in words)
            if typical >= DOUBTFUL_PAGE_CONFIDENCE:
                return words
        return [word for word in words if word.confidence >= MIN_BLOCK_CONFIDENCE]


def _prepare(grey: Pixels, block: TextBlock) -> Pixels:
    """Cut the block out, make it dark on light, scale it and even out its background."""
    crop = grey[block.top : block.bottom, block.left : block.right]
    if block.light_on_dark:
        crop = cv2.bitwise_not(crop)
    method = cv2.INTER_AREA if block.scale < 1 else cv2.INTER_CUBIC
    size = (max(1, round(crop.shape[1] * block.scale)), max(1, round(crop.shape[0] * block.scale)))
    crop = cv2.resize(crop, size, interpolation=method)
    reach = max(3, round(block.glyph_height * block.scale)) | 1
    kernel = np.ones((reach, reach), np.uint8)
    background = cv2.blur(cv2.dilate(crop, kernel), (2 * reach + 1, 2 * reach + 1))
    border = _border(block)
    even = cv2.divide(crop, background, scale=255)
    return cv2.copyMakeBorder(even, border, border, border, border, cv2.BORDER_CONSTANT, value=255)


def _border(block: TextBlock) -> int:
    """White space around the prepared block in its own pixels: one glyph, as Tesseract likes it."""
    return round(block.glyph_height * block.scale)


def _join_lines(words: Sequence[ReadWord]) -> str:
    lines = itertools.groupby(words, key=lambda word: word.line)
    return "\n".join(" ".join(word.text for word in line) for _, line in lines)


def _place_words(words: Sequence[ReadWord], block: TextBlock, picture: Picture) -> list[Word]:
    placed = []
    border = _border(block)
    for word in words:
        left, right = (block.left + (x - border) / block.scale for x in (word.left, word.right))
        top, bottom = (block.top + (y - border) / block.scale for y in (word.top, word.bottom))
        box = picture.fit_box(left, top, right, bottom)
        if box is not None:
            placed.append(Word(word.text, word.confidence, box))
    return placed
