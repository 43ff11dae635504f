"""Tesseract inside this process: no process start and no model load an image."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.analyzer.picture import Pixels
from services.analyzer.text.engine import ReadWord, Segmentation, TextTimeoutError, parse_table

# Without one Tesseract guesses, and says so on stderr for every image.
RESOLUTION_DPI = 70


class TesserocrEngine:
    """One Tesseract object a thread: they are not safe to share, and a lock would waste the cores."""

    name: ClassVar[str] = "tesserocr"

    def __init__(self, tessdata: Path, languages: str) -> None:
        """Load once to prove that data and library fit; raises ImportError or RuntimeError if not."""
        import tesserocr  # noqa: PLC0415 - an optional engine; loads OpenMP, see process.py

        self._tesserocr: Any = tesserocr
        self._tessdata = tessdata
        self._languages = languages
        self._local = threading.local()
        self._open().End()

    def settings(self) -> Mapping[str, object]:
        """Version of the library and languages."""
        version = str(self._tesserocr.tesseract_version()).split("\n", 1)[0].strip()
        return {"engine": self.name, "tesseract": version, "languages": self._languages}

    def read(self, grey: Pixels, segmentation: Segmentation, timeout_s: float) -> list[ReadWord]:
        """Read an 8-bit grey array."""
        api = getattr(self._local, "api", None)
        if api is None:
            api = self._local.api = self._open()
        height, width = grey.shape
        try:
            api.SetPageSegMode(segmentation)
            api.SetImageBytes(np.ascontiguousarray(grey).tobytes(), width, height, 1, width)
            api.SetSourceResolution(RESOLUTION_DPI)
            if not api.Recognize(max(1, int(timeout_s * 1000))):
                raise TextTimeoutError
            return parse_table(api.GetTSVText(0))
        finally:
            api.Clear()

    def _open(self) -> Any:
        # The gate knows the polarity: no line need be read a second time, inverted.
        variables = {"debug_file": "/dev/null", "invert_threshold": "0"}
        return self._tesserocr.PyTessBaseAPI(
            path=f"{self._tessdata}/", lang=self._languages, variables=variables
        )
