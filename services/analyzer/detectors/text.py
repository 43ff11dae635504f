"""Text: read by Tesseract where a gate sees lines, or by RapidOCR on request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import structlog

from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment
from services.analyzer.picture import Picture
from services.analyzer.resources import ResourceMissingError, find_tessdata, find_tesseract
from services.analyzer.text.line_reader import LineReader
from services.analyzer.text.pytesseract_engine import PytesseractEngine
from services.analyzer.text.rapidocr_reader import RapidocrReader
from services.analyzer.text.tesserocr_engine import TesserocrEngine
from services.analyzer.text.words import Patience, Text, TextReader, Word

__all__ = ["Text", "TextDetector", "Word"]

_log = structlog.get_logger(__name__)


class TextDetector:
    """Reads text. Built without any reader it stays usable and reports why it can't look."""

    name: ClassVar[str] = "text"
    version: ClassVar[str] = "2"

    def __init__(self, reader: TextReader | None, *, timeout_s: float = 10.0, missing: str = "") -> None:
        """``timeout_s`` bounds all reading of one picture."""
        self._reader = reader
        self._timeout_s = timeout_s
        self._missing = missing

    @property
    def equipment(self) -> Equipment:
        """The engine that reads."""
        if self._reader is None:
            return Equipment(engine="", missing=self._missing)
        return Equipment(self._reader.name, fallback=bool(self._missing), missing=self._missing)

    @classmethod
    def open(
        cls,
        tessdata: Path | None,
        prefix: Path | None,
        languages: str,
        timeout_s: float,
        engine: str = "tesseract",
    ) -> TextDetector:
        """Open ``engine``: "tesseract" is tesserocr, else pytesseract, else none; or "rapidocr"."""
        if engine == RapidocrReader.name:
            return cls._open_rapidocr(timeout_s)
        try:
            folder = find_tessdata(tessdata, prefix, languages)
        except ResourceMissingError as error:
            _log.warning("text_engine_not_loaded", reason=str(error), places=error.places)
            return cls(None, missing=str(error))
        try:
            return cls(LineReader(TesserocrEngine(folder, languages)), timeout_s=timeout_s)
        except Exception as error:  # noqa: BLE001 - a library that does not load is as good as none
            _log.warning("text_engine_not_loaded", reason=repr(error), instead=PytesseractEngine.name)
        try:
            reader = LineReader(PytesseractEngine(find_tesseract(), folder, languages))
            return cls(
                reader, timeout_s=timeout_s, missing="tesserocr does not load; reading is much slower."
            )
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("text_engine_not_loaded", reason=repr(error))
            return cls(None, missing="Neither tesserocr nor pytesseract with its program can be loaded.")

    @classmethod
    def _open_rapidocr(cls, timeout_s: float) -> TextDetector:
        try:
            return cls(RapidocrReader.open(), timeout_s=timeout_s)
        except ResourceMissingError as error:
            return cls(None, missing=str(error))

    def settings(self) -> Mapping[str, object]:
        """The reader's settings."""
        return self._reader.settings() if self._reader else {"engine": "none"}

    def detect(self, picture: Picture, cancelled: Cancellation) -> Text:
        """Read ``picture``.

        Raises DetectorUnavailableError without an engine; TextTimeoutError when the time is used up (what was
        read until then is lost: half a text looks like a whole one) and AnalysisCancelledError.
        """
        if self._reader is None:
            raise DetectorUnavailableError(self.name, self._missing)
        return self._reader.read(picture, Patience(self._timeout_s, cancelled))
