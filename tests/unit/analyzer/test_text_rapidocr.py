"""The accurate engine, where it is installed; and what is said where it is not."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analyzer.decode import Decoder
from services.analyzer.detector import AnalysisCancelledError, DetectorUnavailableError
from services.analyzer.detectors.text import TextDetector
from services.analyzer.text.engine import TextTimeoutError

Encode = Callable[..., bytes]

installed = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="the extra 'rapidocr' is not installed"
)


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector.open(None, None, "eng", 60.0, "rapidocr")


@pytest.fixture(scope="module")
def sign() -> Image.Image:
    image = Image.new("L", (480, 200), 255)
    text = "Platform seven\nOpen every weekend"
    ImageDraw.Draw(image).multiline_text((40, 50), text, font=ImageFont.load_default(30), fill=0)
    return image


@installed
@pytest.mark.parametrize("turns", range(4))
def test_lines_words_boxes_and_orientation(
    detector: TextDetector, decoder: Decoder, encode: Encode, sign: Image.Image, turns: int
) -> None:
    image = np.rot90(np.asarray(sign), turns)
    result = detector.detect(decoder.decode(encode(np.ascontiguousarray(image))), None)
    assert (result.text, result.engine) == ("Platform seven\nOpen every weekend", "rapidocr")
    assert result.orientation == 90 * turns
    assert [word.text for word in result.words] == result.text.split()
    ink = image < 128
    for word in result.words:
        box = word.box
        assert 0.5 <= word.confidence <= 1
        assert ink[box.y : box.y + box.height, box.x : box.x + box.width].mean() > 0.05
        assert box.width * box.height < 0.2 * ink.size


@installed
@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3)])
def test_nothing_to_read_is_a_result(
    detector: TextDetector, decoder: Decoder, encode: Encode, size: tuple[int, int]
) -> None:
    result = detector.detect(decoder.decode(encode(np.full(size, 90, np.uint8))), None)
    assert (result.found, result.orientation) == (False, 0)


@installed
def test_it_stops_when_nobody_waits_or_time_is_up(
    detector: TextDetector, decoder: Decoder, encode: Encode, sign: Image.Image
) -> None:
    detector.detect(decoder.decode(encode(sign)), None)
    picture = decoder.decode(encode(sign.resize((1600, 1600))))
    left = threading.Event()
    timer = threading.Timer(0.1, left.set)
    timer.start()
    started_s = time.thread_time()
    with pytest.raises(AnalysisCancelledError):
        detector.detect(picture, left)
    # In time of the processor; to find the lines alone takes longer.
    assert time.thread_time() - started_s < 0.8
    with pytest.raises(TextTimeoutError):
        TextDetector.open(None, None, "eng", 0.1, "rapidocr").detect(picture, None)


def test_where_it_is_missing_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, decoder: Decoder, encode: Encode, sign: Image.Image
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    detector = TextDetector.open(None, None, "eng", 1.0, "rapidocr")
    assert detector.equipment.engine == ""
    with pytest.raises(DetectorUnavailableError, match="extra 'rapidocr'"):
        detector.detect(decoder.decode(encode(sign)), None)
