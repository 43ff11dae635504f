"""The gate finds lines, an engine reads a page or a few blocks, words come back in the picture's pixels."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2

from services.analyzer.picture import Box, Picture, Pixels
from services.analyzer.text.blocks import TextBlock, plan_blocks
from services.analyzer.text.engine import ReadWord, Segmentation, TextEngine
from services.analyzer.text.gate import TextLine, survey
from services.analyzer.text.sheet import Sheet, prepare_sheet
from services.analyzer.text.strips import Row, Strip, cut_strips
from services.analyzer.text.words import Patience, Text, Word

# In a photo most of what looks like text is not; on a page nearly all is, and a low score is a hard word.
MIN_BLOCK_CONFIDENCE = 0.7
DOUBTFUL_PAGE_CONFIDENCE = 0.5
# Text is sought upside down where the gate saw this many glyphs in lines, and under half of them were read,
# or all badly.
TURN_FROM_GLYPHS = 12
LINE_FROM_GLYPHS = 5
SURE_TEXT_CONFIDENCE = 0.8

_ROTATIONS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is believed, and whether the engine made out nothing at all."""

    text: Text
    blank: bool


class LineReader:
    """Reads where the gate sees lines, in the direction in which they can be read."""

    def __init__(self, engine: TextEngine) -> None:
        self._engine = engine
        self.name = engine.name

    def settings(self) -> Mapping[str, object]:
        """The engine's settings and the bar for words in photos."""
        return {**self._engine.settings(), "min_block_confidence": MIN_BLOCK_CONFIDENCE}

    def read(self, picture: Picture, patience: Patience) -> Text:
        """Read ``picture``."""
        scale = max(picture.width, picture.height) / max(picture.preview.shape)
        found = survey(picture.preview)
        upright = [line.scale(scale) for line in found.upright]
        sideways = [line.scale(scale) for line in found.sideways]
        if _weigh(sideways) > _weigh(upright):
            text = self._read_better(picture, patience, 90, sideways)
            if text.found:
                return text
        reading = self._read_turned(picture, patience, 0, upright)
        text = reading.text
        # Of text on its head the engine makes out something, if nonsense.
        if reading.blank:
            return text
        glyphs = sum(line.glyphs for line in upright if line.glyphs >= LINE_FROM_GLYPHS)
        if glyphs >= TURN_FROM_GLYPHS and (len(text.text) < glyphs / 2 or _rate(text) < SURE_TEXT_CONFIDENCE):
            return self._read_better(picture, patience, 0, upright, text)
        return text

    def _read_better(
        self,
        picture: Picture,
        patience: Patience,
        turn: int,
        lines: Sequence[TextLine],
        text: Text | None = None,
    ) -> Text:
        """Read by ``turn`` or the other way round, as the longest line reads better."""
        width, height = _turn_size(picture, turn)
        overturned = [line.overturn(width, height) for line in lines]
        ways = {turn: lines, turn + 180: overturned}
        scores = {way: self._probe(picture, patience, way, ways[way][0]) for way in ways}
        best = max(scores, key=lambda way: scores[way])
        if best == turn and text is not None:
            return text
        better = self._read_turned(picture, patience, best, ways[best]).text
        return better if better.found or text is None else text

    def _probe(self, picture: Picture, patience: Patience, turn: int, line: TextLine) -> float:
        grey = _turn(picture.grey, turn)
        block = plan_blocks([line], grey.shape[1], grey.shape[0])[0]
        sheet = prepare_sheet(grey, block)
        words = self._engine.read(sheet.pixels, block.segmentation, patience.remaining_s())
        return sum(word.confidence * len(word.text) for word in words)

    def _read_turned(
        self, picture: Picture, patience: Patience, turn: int, lines: Sequence[TextLine]
    ) -> _Reading:
        grey = _turn(picture.grey, turn)
        blank = True
        paragraphs: list[str] = []
        placed: list[Word] = []
        for block in plan_blocks(lines, grey.shape[1], grey.shape[0]):
            patience.remaining_s()
            sheet = prepare_sheet(grey, block)
            seen = list(self._read_sheet(sheet, block, patience))
            blank = blank and not seen
            words = _doubt(block, seen)
            boxes = [_turn_back(sheet, word, picture, turn) for word in words]
            fresh = [
                (word, box)
                for word, box in zip(words, boxes, strict=True)
                if box is None or not _is_read(box, placed)
            ]
            paragraphs.append(_join_lines([word for word, _ in fresh]))
            placed += [Word(word.text, word.confidence, box) for word, box in fresh if box]
        text = "\n\n".join(part for part in paragraphs if part)
        return _Reading(Text(text, tuple(placed), self.name, turn if text else 0), blank)

    def _read_sheet(self, sheet: Sheet, block: TextBlock, patience: Patience) -> Iterator[ReadWord]:
        for number, strip in enumerate(_cut_sheet(sheet, block)):
            part = sheet.pixels[strip.top : strip.bottom, strip.left : strip.right]
            for word in self._engine.read(part, block.segmentation, patience.remaining_s()):
                yield word.move(strip.left, strip.top, number)


def _cut_sheet(sheet: Sheet, block: TextBlock) -> list[Strip]:
    height, width = sheet.pixels.shape
    if block.segmentation is not Segmentation.PAGE:
        return [Strip(0, 0, width, height)]
    rows = []
    for line in block.lines:
        x, y = sheet.find((line.left + line.right) / 2, (line.top + line.bottom) / 2)
        half, glyph = (line.right - line.left) / 2 * block.scale, line.glyph_height * block.scale
        # Half a glyph more than its height: descenders and what stands above.
        rows.append(Row(x - half, y - 0.75 * glyph, x + half, y + 0.75 * glyph, glyph))
    return cut_strips(rows, sheet.pixels)


def _weigh(lines: Sequence[TextLine]) -> float:
    """Glyphs in long lines; a chain across lines has wider gaps than one along a line."""
    return sum(line.glyphs / (0.3 + max(line.gap, 0.0)) for line in lines if line.glyphs >= LINE_FROM_GLYPHS)


def _rate(text: Text) -> float:
    """Mean confidence of its letters."""
    letters = sum(len(word.text) for word in text.words)
    return sum(word.confidence * len(word.text) for word in text.words) / max(1, letters)


def _doubt(block: TextBlock, words: list[ReadWord]) -> list[ReadWord]:
    """The words that are believed; a line has two glyphs or more, so a single one is none."""
    if block.segmentation is Segmentation.PAGE and words:
        typical = statistics.median(word.confidence for word in words)
        if typical >= DOUBTFUL_PAGE_CONFIDENCE:
            return words
    sure = [word for word in words if word.confidence >= MIN_BLOCK_CONFIDENCE]
    return sure if sum(char.isalnum() for word in sure for char in word.text) >= 2 else []


def _is_read(box: Box, placed: Sequence[Word]) -> bool:
    """Whether a word was read there before, in a block that overlaps."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    boxes = (word.box for word in placed)
    return any(
        other.x <= x < other.x + other.width and other.y <= y < other.y + other.height for other in boxes
    )


def _turn(grey: Pixels, turn: int) -> Pixels:
    return cv2.rotate(grey, _ROTATIONS[turn]) if turn else grey


def _turn_size(picture: Picture, turn: int) -> tuple[int, int]:
    return (picture.height, picture.width) if turn % 180 else (picture.width, picture.height)


def _turn_back(sheet: Sheet, word: ReadWord, picture: Picture, turn: int) -> Box | None:
    left, top, right, bottom = sheet.place(word.left, word.top, word.right, word.bottom)
    width, height = picture.width, picture.height
    corners = {
        0: (left, top, right, bottom),
        90: (top, height - right, bottom, height - left),
        180: (width - right, height - bottom, width - left, height - top),
        270: (width - bottom, left, width - top, right),
    }
    return picture.fit_box(*corners[turn])


def _join_lines(words: Sequence[ReadWord]) -> str:
    lines = itertools.groupby(words, key=lambda word: word.line)
    return "\n".join(" ".join(word.text for word in line) for _, line in lines)
