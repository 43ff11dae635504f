"""Dense pages are read in parts: nothing lost, in reading order, and given up within a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analyzer.decode import Decoder
from services.analyzer.detector import AnalysisCancelledError
from services.analyzer.detectors.text import TextDetector
from services.analyzer.text.strips import Row, Strip, cut_strips

Encode = Callable[..., bytes]


def draw_rows(
    *rows: tuple[int, int, int],
) -> tuple[list[Row], np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """Black bars of height 10 at left, top, right on white, and the rows that say so."""
    pixels = np.full((400, 1200), 255, np.uint8)
    for left, top, right in rows:
        pixels[top : top + 10, left:right] = 0
    return [Row(left, top - 2, right, top + 12, 1.0) for left, top, right in rows], pixels


def test_a_small_page_is_one_part() -> None:
    rows, pixels = draw_rows((10, 20, 210), (10, 60, 210))
    assert cut_strips(rows, pixels) == [Strip(0, 0, 1200, 400)]


def test_columns_under_a_heading_are_read_one_after_the_other() -> None:
    columns = [(left, top, left + 500) for left in (20, 600) for top in range(120, 360, 40)]
    rows, pixels = draw_rows((20, 20, 1100), *columns)
    strips = cut_strips(rows, pixels)
    order = [
        next(
            n
            for n, strip in enumerate(strips)
            if strip.left <= left < strip.right and strip.top <= top < strip.bottom
        )
        for left, top, _ in [(20, 20, 0), *columns]
    ]
    assert order == sorted(order)
    assert len(strips) == 13
    assert sum((strip.right - strip.left) * (strip.bottom - strip.top) for strip in strips) == pixels.size


def test_a_line_that_the_gate_missed_is_not_cut_through() -> None:
    rows, pixels = draw_rows(*((10, top, 1000) for top in range(20, 380, 18)))
    strips = cut_strips(rows[::3], pixels)
    assert len(strips) > 3
    for strip in strips[1:]:
        assert pixels[strip.top].min() == 255


def test_where_there_is_no_gap_nothing_is_cut() -> None:
    rows, pixels = draw_rows((10, 20, 1000), (10, 25, 1000), (10, 30, 1000))
    assert len(cut_strips(rows, pixels)) == 1
    rows, pixels = draw_rows((10, 20, 1000), (10, 100, 1000), (10, 200, 1000))
    pixels[:, 400:600] = 0
    assert len(cut_strips(rows, pixels)) == 1


@pytest.fixture(scope="module")
def dense_page() -> tuple[Image.Image, str]:
    """2200 x 2200 pixels with about 6,000 letters."""
    page = Image.new("L", (2200, 2200), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(28)
    words = ["toast", "before", "seven", "wizards", "make", "noon", "while", "nobody", "asks", "why"]
    lines = [" ".join(words[(n + k) % 10] for k in range(24)) for n in range(50)]
    for n, line in enumerate(lines):
        draw.text((80, 80 + 41 * n), line, font=font, fill=0)
    return page, " ".join(lines)


def test_a_dense_page_is_given_up_within_a_second(
    decoder: Decoder, encode: Encode, dense_page: tuple[Image.Image, str]
) -> None:
    detector = TextDetector.open(None, None, "eng", 60.0)
    picture = decoder.decode(encode(dense_page[0]))
    left = threading.Event()
    spent_s: list[float] = []

    def work() -> None:
        started_s = time.thread_time()
        with pytest.raises(AnalysisCancelledError):
            detector.detect(picture, left)
        spent_s.append(time.thread_time() - started_s)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(0.2)
    left.set()
    worker.join(30)
    # In time of the processor: how long that takes on the wall is up to the other tests' load.
    assert spent_s
    assert spent_s[0] < 1.2


def test_a_dense_page_is_read_whole_and_in_order(
    decoder: Decoder, encode: Encode, dense_page: tuple[Image.Image, str]
) -> None:
    page, truth = dense_page
    detector = TextDetector.open(None, None, "eng", 60.0)
    picture = decoder.decode(encode(page.crop((0, 0, 2200, 80 + 41 * 12))))
    read = detector.detect(picture, None).text.split()
    assert read == truth.split()[: 24 * 12]
