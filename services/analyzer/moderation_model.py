"""Yahoo's Open-NSFW (2016, BSD 2-Clause) through onnxruntime.

The network was fitted to pictures that had gone through a chain of steps, and every step shows in the score,
the JPEG in the middle too; the chain is that of `classify_nsfw.py` in yahoo/open_nsfw.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.analyzer.picture import Pixels

EDGE_PX = 256
CROP_PX = 224
# Mean of the training pictures, blue first.
MEAN_BGR = np.array([104.0, 117.0, 123.0], np.float32)


class OpenNsfw:
    """One model, loaded with the first picture and shared; ``score`` may run in many threads at once."""

    name: ClassVar[str] = "open-nsfw"

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        self._lock = threading.Lock()
        self._session: Any = None

    def settings(self) -> Mapping[str, object]:
        """The weights."""
        return {"engine": self.name, "model": self._digest}

    def load(self) -> None:
        """Load the model if it isn't; raises whatever onnxruntime does."""
        with self._lock:
            self._session = self._session or _open_session(self._path)

    def score(self, rgb: Pixels) -> float:
        """0..1 for an (height, width, 3) picture in RGB order, after ``load``."""
        (name,) = (each.name for each in self._session.get_inputs())
        (answer,) = self._session.run(None, {name: prepare(rgb)})
        return min(1.0, max(0.0, float(answer[0, 1])))


def prepare(rgb: Pixels) -> npt.NDArray[np.float32]:
    """The picture as the network takes it, (1, CROP_PX, CROP_PX, 3)."""
    resized = Image.fromarray(rgb).resize((EDGE_PX, EDGE_PX), Image.Resampling.BILINEAR)
    jpeg = io.BytesIO()
    resized.save(jpeg, "JPEG")
    with Image.open(jpeg, formats=("JPEG",)) as image:
        pixels = np.asarray(image, np.float32)
    edge = (EDGE_PX - CROP_PX) // 2
    middle = pixels[edge : edge + CROP_PX, edge : edge + CROP_PX, ::-1]
    return np.ascontiguousarray(middle - MEAN_BGR)[np.newaxis]


def _open_session(path: Path) -> Any:
    import onnxruntime  # noqa: PLC0415 - only where the model is installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
