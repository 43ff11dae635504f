"""CenterFace through onnxruntime: faces with five landmarks.

The model file fixes its input at 10 x 3 x 32 x 32 and lists its weights as inputs; both are put right in
memory when it is loaded, after which any size that is a multiple of 32 works.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.detector import Cancellation, raise_if_cancelled
from services.analyzer.picture import Picture, Pixels

# Longer edge of the first look, by the longer edge of the picture: most photos show no face, and end here.
FIRST_EDGE_PX = 320
FIRST_EDGE_OF_LARGER_PX = 480
SMALL_PICTURE_EDGE_PX = 640
SQUARE_SHARE = 0.8
# A hint of this score is worth a second look.
HINT = 0.08
THRESHOLD = 0.5
# Faces as sure and as large (in pixels of the first look) as this need no second look.
SURE = 0.65
SURE_EDGE_PX = 24
# The second look at a small picture, or where much is in doubt: the whole, a little or much finer.
CONFIRMING_FACTOR = 1.5
FINE_EDGE_PX = 960
FINEST_EDGE_PX = 1280
# Where little is in doubt in a large picture: only the surroundings of each hint, so many times its size.
MAX_CLOSE_LOOKS = 4
SURROUNDINGS = 6.0
CLOSE_EDGE_PX = 320
MAX_ENLARGEMENT = 2.0
OVERLAP = 0.3
STRIDE = 4

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face in pixels of the upright full-resolution picture: corners, score 0..1, five (x, y) points."""

    left: float
    top: float
    right: float
    bottom: float
    score: float | None
    points: tuple[tuple[float, float], ...] = ()


class CenterFace:
    """One loaded model; ``find`` may run in many threads at once."""

    name: ClassVar[str] = "centerface"

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self._digest = hashlib.sha256(data).hexdigest()[:16]
        self._session, self._input = _open_session(data)

    def settings(self) -> Mapping[str, object]:
        """The weights and the thresholds."""
        return {
            "engine": self.name,
            "model": self._digest,
            "first_look": [FIRST_EDGE_PX, FIRST_EDGE_OF_LARGER_PX, SMALL_PICTURE_EDGE_PX, SQUARE_SHARE],
            "second_look": [CONFIRMING_FACTOR, FINE_EDGE_PX, FINEST_EDGE_PX],
            "close_looks": [MAX_CLOSE_LOOKS, SURROUNDINGS, CLOSE_EDGE_PX, MAX_ENLARGEMENT],
            "thresholds": [HINT, THRESHOLD, SURE, SURE_EDGE_PX],
            "overlap": OVERLAP,
        }

    def find(self, picture: Picture, cancelled: Cancellation = None) -> list[Candidate]:
        """Find faces, best score first: a coarse look, and a finer one where it leaves doubt."""
        rgb = picture.rgb
        edge_px, rgb_edge_px = max(picture.width, picture.height), max(rgb.shape[:2])
        look_px = FIRST_EDGE_PX if edge_px <= SMALL_PICTURE_EDGE_PX else FIRST_EDGE_OF_LARGER_PX
        # What a look costs is its area: that of a square picture is cut to that of one at 3:2.
        look_px = round(look_px * min(1.0, SQUARE_SHARE * rgb_edge_px / (rgb.shape[0] * rgb.shape[1]) ** 0.5))
        faces = self._scan(rgb, look_px, HINT)
        small = _edges(faces) < SURE_EDGE_PX * rgb_edge_px / look_px
        doubtful = small | (faces[:, 4] < SURE)
        if doubtful.any():
            raise_if_cancelled(cancelled)
            if edge_px > SMALL_PICTURE_EDGE_PX and doubtful.sum() <= MAX_CLOSE_LOOKS:
                closer = [self._look_closer(rgb, hint) for hint in faces[doubtful]]
                faces = _suppress_overlaps(np.concatenate([*closer, faces[~doubtful]]))
            else:
                second_px = _second_look(edge_px, look_px, small=bool(small.any()))
                faces = self._scan(rgb, second_px, THRESHOLD)
        stretch = (picture.width / rgb.shape[1], picture.height / rgb.shape[0])
        return [_to_candidate(row) for row in _scale(faces, stretch)]

    def _look_closer(self, rgb: Pixels, hint: Floats) -> Floats:
        """The faces around one hint."""
        reach = SURROUNDINGS / 2 * float(_edges(hint[np.newaxis])[0])
        x, y = float(hint[0] + hint[2]) / 2, float(hint[1] + hint[3]) / 2
        left, top = max(0, round(x - reach)), max(0, round(y - reach))
        crop = rgb[top : round(y + reach) + 1, left : round(x + reach) + 1]
        if not crop.size:
            return np.empty((0, 15), np.float32)
        faces = self._scan(crop, CLOSE_EDGE_PX, THRESHOLD, MAX_ENLARGEMENT)
        faces[:, [0, 2, *range(5, 15, 2)]] += left
        faces[:, [1, 3, *range(6, 15, 2)]] += top
        return faces

    def _scan(self, rgb: Pixels, edge_px: int, threshold: float, enlargement: float = 1.0) -> Floats:
        """Rows of left, top, right, bottom, score and ten landmark numbers, in pixels of ``rgb``.

        The picture is scaled so that its longer edge has ``edge_px``, at most by ``enlargement``.
        """
        height, width = rgb.shape[:2]
        scale = min(enlargement, edge_px / max(height, width))
        size = tuple(int(np.ceil(length * scale / 32)) * 32 for length in (width, height))
        blob = cv2.resize(rgb, size).astype(np.float32).transpose(2, 0, 1)[np.newaxis]
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(blob)})
        rows = _read_heat_map(*(output[0] for output in outputs), threshold=threshold)
        return _suppress_overlaps(_scale(rows, (width / size[0], height / size[1])))


def _open_session(data: bytes) -> tuple[Any, str]:
    import onnx  # noqa: PLC0415 - only where the model is installed
    import onnxruntime  # noqa: PLC0415

    model = onnx.load_from_string(data)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for prefix, values in (("in", model.graph.input), ("out", model.graph.output)):
        for value in values:
            shape = value.type.tensor_type.shape.dim
            for axis, label in ((0, "batch"), (2, f"{prefix}_height"), (3, f"{prefix}_width")):
                shape[axis].dim_param = label
    model.ir_version = max(model.ir_version, 4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # sizes differ from picture to picture
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, model.graph.input[0].name


def _read_heat_map(heat: Floats, size: Floats, offset: Floats, points: Floats, *, threshold: float) -> Floats:
    """Turn the four maps (channels, rows, columns) into rows as ``_scan`` returns, in input pixels."""
    row, column = np.nonzero(heat[0] > threshold)
    height, width = np.exp(size[:, row, column]) * STRIDE
    top = (row + offset[0, row, column] + 0.5) * STRIDE - height / 2
    left = (column + offset[1, row, column] + 0.5) * STRIDE - width / 2
    # Landmarks come as y, x pairs in units of the box.
    pairs = points[:, row, column]
    marks = np.empty_like(pairs)
    marks[0::2] = pairs[1::2] * width + left
    marks[1::2] = pairs[0::2] * height + top
    box = np.stack([left, top, left + width, top + height, heat[0, row, column]])
    return np.concatenate([box, marks]).T.astype(np.float32)


def _suppress_overlaps(rows: Floats) -> Floats:
    if not len(rows):
        return rows
    boxes = rows[:, :4].copy()
    boxes[:, 2:] -= boxes[:, :2]
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), rows[:, 4].tolist(), 0.0, OVERLAP)
    return rows[np.asarray(kept, np.int64).ravel()]


def _second_look(edge_px: int, look_px: int, *, small: bool) -> int:
    if not small or edge_px <= SMALL_PICTURE_EDGE_PX:
        return round(look_px * CONFIRMING_FACTOR)
    return FINEST_EDGE_PX if edge_px > FINEST_EDGE_PX else FINE_EDGE_PX


def _edges(rows: Floats) -> Floats:
    """The shorter side of each face."""
    return np.asarray(np.minimum(rows[:, 2] - rows[:, 0], rows[:, 3] - rows[:, 1]), np.float32)


def _scale(rows: Floats, stretch: tuple[float, float]) -> Floats:
    """The rows in another unit; all but the score are x, y pairs."""
    factors = np.array([*stretch * 2, 1.0, *stretch * 5], np.float32)
    return rows * factors


def _to_candidate(row: Floats) -> Candidate:
    left, top, right, bottom, score, *marks = (float(value) for value in row)
    points = tuple(zip(marks[0::2], marks[1::2], strict=True))
    return Candidate(left, top, right, bottom, min(1.0, score), points)
