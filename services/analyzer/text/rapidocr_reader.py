"""RapidOCR (PP-OCR models on onnxruntime): finds and reads lines of the whole picture; accurate and slow."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.picture import Picture, Pixels
from services.analyzer.resources import ResourceMissingError
from services.analyzer.text.interruptible import InterruptibleSession, Interruption
from services.analyzer.text.words import Patience, Text, Word

EDGE_PX = 1600
MAX_ASPECT = 4
BATCH_LINES = 6
MIN_LINE_CONFIDENCE = 0.5
MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}

Quad = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A line as read; corners in full-resolution pixels, clockwise from where its text begins."""

    text: str
    confidence: float
    corners: Quad
    orientation: int

    def place(self, start: float, end: float) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the part between two shares of its length."""
        begin, finish = self.corners[[0, 3]], self.corners[[1, 2]]
        points = np.concatenate([begin + share * (finish - begin) for share in (start, end)])
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(left), float(top), float(right), float(bottom)


class RapidocrReader:
    """One set of models for all threads; loaded by the first picture, since hardly anybody asks for it."""

    name: ClassVar[str] = "rapidocr"

    def __init__(self, models: Path) -> None:
        self._models = models
        self._lock = threading.Lock()
        self._engine: Any = None
        self._interruption = Interruption()

    @classmethod
    def open(cls) -> RapidocrReader:
        """Raises ResourceMissingError where the package, or a model in it, is not installed."""
        spec = importlib.util.find_spec(cls.name)
        folders = (spec.submodule_search_locations if spec else None) or []
        models = [Path(folder) / "models" for folder in folders]
        if not any(all((folder / file).is_file() for file in MODELS.values()) for folder in models):
            raise ResourceMissingError("RapidOCR is not installed: install the extra 'rapidocr'.", *models)
        return cls(models[0])

    def settings(self) -> Mapping[str, object]:
        """Version of the package, models and the size to which pictures are reduced."""
        version = importlib.metadata.version("rapidocr")
        return {
            "engine": self.name,
            "rapidocr": version,
            "models": sorted(MODELS.values()),
            "edge_px": EDGE_PX,
            "min_line_confidence": MIN_LINE_CONFIDENCE,
        }

    def read(self, picture: Picture, patience: Patience) -> Text:
        """Read ``picture``; languages are those of the models."""
        patience.remaining_s()
        engine = self._load()
        with self._interruption.watch(patience):
            lines = list(self._read_lines(engine, picture, patience))
        turns = Counter[int]()
        for line in lines:
            turns[line.orientation] += len(line.text)
        orientation = turns.most_common(1)[0][0] if turns else 0
        lines = _order(lines, orientation)
        words = tuple(word for line in lines for word in _split(line, picture))
        return Text("\n".join(line.text for line in lines), words, self.name, orientation)

    def _read_lines(self, engine: Any, picture: Picture, patience: Patience) -> Iterator[_Line]:
        pixels, scale = _reduce(picture)
        pixels, operations = engine.preprocess_img(pixels)
        try:
            crops, found = engine.detect_and_crop(pixels, operations)
        except self._nothing_found:
            return
        quads = _map_back(found.boxes.astype(np.float32), operations) / scale
        flips = self._vote(engine, crops, quads, patience)
        for start in range(0, len(crops), BATCH_LINES):
            patience.remaining_s()
            batch = range(start, min(start + BATCH_LINES, len(crops)))
            read = engine.recognize_txt(
                [cv2.rotate(crops[n], cv2.ROTATE_180) if flips[n] else crops[n] for n in batch]
            )
            for n, text, confidence in zip(batch, read.txts, read.scores, strict=True):
                if text.strip() and confidence >= MIN_LINE_CONFIDENCE:
                    corners, orientation = _orient(quads[n], flips[n])
                    yield _Line(" ".join(text.split()), float(confidence), corners, orientation)

    @staticmethod
    def _vote(engine: Any, crops: list[Pixels], quads: Quad, patience: Patience) -> list[bool]:
        """Which lines stand on their heads: all of a direction if most do; single votes are often wrong."""
        votes = {False: 0.0, True: 0.0}
        tall = [_is_tall(quad) for quad in quads]
        for start in range(0, len(crops), BATCH_LINES):
            patience.remaining_s()
            batch = slice(start, start + BATCH_LINES)
            labels = engine.cls_and_rotate(crops[batch])[1].cls_res
            for direction, crop, (label, certainty) in zip(tall[batch], crops[batch], labels, strict=True):
                sign = 1 if "180" in label else -1
                votes[direction] += sign * (certainty - 0.5) * crop.shape[1]
        return [votes[direction] > 0 for direction in tall]

    def _load(self) -> Any:
        with self._lock:
            if self._engine is None:
                from rapidocr.main import RapidOCR, RapidOCRError  # noqa: PLC0415 - heavy, and optional

                paths = {f"{part}.model_path": str(self._models / file) for part, file in MODELS.items()}
                threads = {
                    f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")
                }
                limits = {"Global.log_level": "critical", "Global.max_side_len": EDGE_PX}
                engine: Any = RapidOCR(params={**paths, **threads, **limits})
                for part in (engine._load_det_model(), engine._load_cls_model(), engine._load_rec_model()):  # noqa: SLF001 - no public way to load ahead
                    part.session = InterruptibleSession(part.session.session, self._interruption)
                self._nothing_found = RapidOCRError
                self._engine = engine
            return self._engine


def _reduce(picture: Picture) -> tuple[Pixels, float]:
    """The picture as the models want it (BGR), and its scale."""
    if picture.reduction == 1:
        pixels = cv2.cvtColor(picture.rgb, cv2.COLOR_RGB2BGR)
    else:
        pixels = cv2.cvtColor(picture.grey, cv2.COLOR_GRAY2BGR)
    scale = min(1.0, EDGE_PX / max(pixels.shape))
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    # RapidOCR enlarges the shorter edge to 736 pixels, however long the other gets.
    height, width = pixels.shape[:2]
    shortest = math.ceil(max(height, width) / MAX_ASPECT)
    down, across = max(0, shortest - height), max(0, shortest - width)
    pixels = cv2.copyMakeBorder(pixels, 0, down, 0, across, cv2.BORDER_REPLICATE)
    return pixels, scale


def _map_back(quads: Quad, operations: Mapping[str, Mapping[str, float]]) -> Quad:
    """From the picture that the models saw to the one that they were given."""
    padding, ratio = operations["padding_1"], operations["preprocess"]
    moved: Quad = quads - np.array([padding["left"], padding["top"]], np.float32)
    scaled: Quad = moved * np.array([ratio["ratio_w"], ratio["ratio_h"]], np.float32)
    return scaled


def _orient(quad: Quad, flipped: bool) -> tuple[Quad, int]:
    """Corners from where the text begins, and its orientation; tall lines were read from top to bottom."""
    tall = _is_tall(quad)
    first = (1 if tall else 0) + (2 if flipped else 0)
    return np.roll(quad, -first, axis=0), (270 * tall + 180 * flipped) % 360


def _is_tall(quad: Quad) -> bool:
    """Whether RapidOCR turns a line counterclockwise before it reads it."""
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    return bool(max(sides[1], sides[3]) >= 1.5 * max(sides[0], sides[2]))


def _order(lines: list[_Line], orientation: int) -> list[_Line]:
    """Reading order: from row to row, and along it."""
    rows: list[list[tuple[float, float, _Line]]] = []
    placed = []
    for line in lines:
        x, y = (float(value) for value in line.corners.mean(axis=0))
        across, down = {0: (x, y), 90: (-y, x), 180: (-x, -y), 270: (y, -x)}[orientation]
        placed.append((down, across, line))
    for entry in sorted(placed, key=lambda entry: entry[:2]):
        height = float(np.linalg.norm(entry[2].corners[3] - entry[2].corners[0]))
        if rows and entry[0] - rows[-1][0][0] < 0.5 * height:
            rows[-1].append(entry)
        else:
            rows.append([entry])
    return [line for row in rows for _, _, line in sorted(row, key=lambda entry: entry[1])]


def _split(line: _Line, picture: Picture) -> Iterator[Word]:
    """The words of a line; its letters are taken as equally wide."""
    words = line.text.split(" ")
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    for word, end in zip(words, ends, strict=True):
        box = picture.fit_box(*line.place((end - 1 - len(word)) / (ends[-1] - 1), (end - 1) / (ends[-1] - 1)))
        if box is not None:
            yield Word(word, line.confidence, box)
