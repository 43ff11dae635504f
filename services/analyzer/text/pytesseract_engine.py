"""Tesseract as a process an image: slower, for where tesserocr does not install."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from services.analyzer.picture import Pixels
from services.analyzer.text.engine import ReadWord, Segmentation, TextTimeoutError, parse_table


class PytesseractEngine:
    """Starts ``tesseract`` for each call."""

    name: ClassVar[str] = "pytesseract"

    def __init__(self, program: Path, tessdata: Path, languages: str) -> None:
        """Point the library at the program (a setting of the whole process) and ask for its version."""
        import pytesseract  # noqa: PLC0415 - an optional engine

        self._pytesseract: Any = pytesseract
        pytesseract.pytesseract.tesseract_cmd = str(program)
        self._tessdata = tessdata
        self._languages = languages
        self._version = str(pytesseract.get_tesseract_version())

    def settings(self) -> Mapping[str, object]:
        """Version of the program and languages."""
        return {"engine": self.name, "tesseract": self._version, "languages": self._languages}

    def read(self, grey: Pixels, segmentation: Segmentation, timeout_s: float) -> list[ReadWord]:
        """Read an 8-bit grey array."""
        options = f'--tessdata-dir "{self._tessdata}" --psm {segmentation.value}'
        try:
            table = self._pytesseract.image_to_data(
                Image.fromarray(grey), lang=self._languages, config=options, timeout=timeout_s
            )
        except RuntimeError as error:
            if "timeout" in str(error):
                raise TextTimeoutError from error
            raise
        return parse_table(str(table))
