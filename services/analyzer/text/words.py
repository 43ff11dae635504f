"""What was read, and how long reading may take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.analyzer.detector import Cancellation, raise_if_cancelled
from services.analyzer.picture import Box, Picture
from services.analyzer.text.engine import TextTimeoutError


@dataclass(frozen=True, slots=True)
class Word:
    """One word: confidence 0..1, box in full-resolution pixels of the picture as it is."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Text:
    """What was read: trimmed text, one line a line, a blank line between blocks; and the engine.

    ``word_count`` counts tokens between white space; ``found`` is word_count > 0. ``orientation`` is by how
    many degrees the text must be turned clockwise to be upright: 0, 90, 180 or 270; 0 where there is none.
    """

    text: str
    words: tuple[Word, ...]
    engine: str
    orientation: int = 0

    @property
    def word_count(self) -> int:
        """Tokens between white space."""
        return len(self.text.split())

    @property
    def found(self) -> bool:
        """Whether there is any text."""
        return self.word_count > 0


class Patience:
    """How long a picture's text is worth waiting for: until the time is up or its caller has left."""

    def __init__(self, timeout_s: float, cancelled: Cancellation) -> None:
        self._cancelled = cancelled
        self._deadline = time.monotonic() + timeout_s

    def is_over(self) -> bool:
        """Whether the time is up or the caller has left."""
        left = self._cancelled is not None and self._cancelled.is_set()
        return left or time.monotonic() >= self._deadline

    def remaining_s(self) -> float:
        """Raises AnalysisCancelledError and TextTimeoutError once there is none."""
        raise_if_cancelled(self._cancelled)
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TextTimeoutError
        return remaining_s


class TextReader(Protocol):
    """Reads a whole picture; safe to call from many threads at once."""

    @property
    def name(self) -> str:
        """Stable lower-case word."""

    def settings(self) -> Mapping[str, object]:
        """What decides its results."""

    def read(self, picture: Picture, patience: Patience, /) -> Text:
        """Read ``picture``; raises as ``patience`` does, soon after it would."""
