"""The port to an OCR engine, and the table in which Tesseract answers."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from services.analyzer.picture import Pixels
from services.runtime.errors import DeadlineError, Reason


class Segmentation(enum.IntEnum):
    """How the engine looks for lines; the values are Tesseract's page segmentation modes."""

    PAGE = 3
    BLOCK = 6
    LINE = 7


class TextTimeoutError(DeadlineError):
    """The engine was stopped at its time limit."""

    def __init__(self) -> None:
        super().__init__(
            Reason.DEADLINE,
            "Reading the text took longer than allowed; raise the time for text or send less of it.",
        )


@dataclass(frozen=True, slots=True)
class ReadWord:
    """A word as the engine read it: confidence 0..1, corners in pixels of its input, number of its line."""

    text: str
    confidence: float
    left: int
    top: int
    right: int
    bottom: int
    line: tuple[int, ...]

    def move(self, x: int, y: int, part: int) -> ReadWord:
        """The same word of part number ``part`` of an image, whose corner is there."""
        return replace(
            self,
            left=self.left + x,
            top=self.top + y,
            right=self.right + x,
            bottom=self.bottom + y,
            line=(part, *self.line),
        )


class TextEngine(Protocol):
    """Reads dark text on light ground; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Stable lower-case word."""

    def settings(self) -> Mapping[str, object]:
        """What decides its results."""

    def read(self, grey: Pixels, segmentation: Segmentation, timeout_s: float, /) -> list[ReadWord]:
        """Read in reading order; raises TextTimeoutError after ``timeout_s``."""


def parse_table(table: str) -> list[ReadWord]:
    """Parse Tesseract's TSV; rows of level 5 are words."""
    words = []
    for row in table.splitlines():
        cells = row.split("\t")
        if len(cells) != 12 or cells[0] != "5" or not cells[11].strip():
            continue
        left, top, width, height = (int(cell) for cell in cells[6:10])
        line = tuple(int(cell) for cell in cells[2:5])
        confidence = max(0.0, float(cells[10])) / 100
        words.append(ReadWord(cells[11].strip(), confidence, left, top, left + width, top + height, line))
    return words
