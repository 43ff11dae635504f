"""Text: read on pages and signs of either polarity, not made up in photos, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analyzer.decode import Decoder
from services.analyzer.detector import AnalysisCancelledError, DetectorUnavailableError
from services.analyzer.detectors.text import Text, TextDetector
from services.analyzer.picture import Pixels
from services.analyzer.resources import ResourceMissingError, find_tessdata, find_tesseract
from services.analyzer.text.blocks import plan_blocks
from services.analyzer.text.chains import find_shapes
from services.analyzer.text.engine import ReadWord, Segmentation, TextEngine, TextTimeoutError, parse_table
from services.analyzer.text.gate import TextLine, find_lines
from services.analyzer.text.line_reader import LineReader
from services.analyzer.text.pytesseract_engine import PytesseractEngine
from services.analyzer.text.tesserocr_engine import TesserocrEngine

Photo = Callable[[str], bytes]
Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector.open(None, None, "eng", 10.0)


def sign(
    text: str, size: int = 28, ink: str = "black", ground: str = "white", canvas: tuple[int, int] = (640, 240)
) -> Image.Image:
    image = Image.new("RGB", canvas, ground)
    ImageDraw.Draw(image).multiline_text((60, 70), text, font=ImageFont.load_default(size), fill=ink)
    return image


def character_errors(read: str, truth: str) -> float:
    """Edit distance over the length of the truth, white space normalized."""
    read, truth = " ".join(read.split()), " ".join(truth.split())
    row = list(range(len(truth) + 1))
    for i, char in enumerate(read, 1):
        above, row = row, [i]
        for j, (other, (diagonal, up)) in enumerate(zip(truth, pairwise(above), strict=True), 1):
            row.append(min(up + 1, row[-1] + 1, diagonal + (char != other)))
            assert len(row) == j + 1
    return row[-1] / len(truth)


@pytest.mark.parametrize(
    ("ink", "ground"), [("black", "white"), ("white", "black"), ("yellow", "navy"), ("darkred", "khaki")]
)
@pytest.mark.parametrize("size", [14, 28, 60])
def test_signs_are_read_dark_on_light_and_light_on_dark(
    detector: TextDetector, decoder: Decoder, encode: Encode, size: int, ink: str, ground: str
) -> None:
    truth = "Platform seven" if size == 60 else "Platform seven\nOpen every weekend"
    result = detector.detect(decoder.decode(encode(sign(truth, size, ink, ground))), None)
    assert character_errors(result.text, truth) <= 0.05
    assert result.found
    assert result.word_count == len(truth.split()) == len(result.words)
    assert result.text == result.text.strip()


def test_words_have_boxes_and_confidence(detector: TextDetector, decoder: Decoder, encode: Encode) -> None:
    image = sign("Hello wonderful world", 30)
    words = detector.detect(decoder.decode(encode(image)), None).words
    assert [word.text for word in words] == ["Hello", "wonderful", "world"]
    ink = np.asarray(image.convert("L")) < 128
    covered = np.zeros_like(ink)
    for word in words:
        assert 0.7 <= word.confidence <= 1
        box = word.box
        covered[box.y - 2 : box.y + box.height + 2, box.x - 2 : box.x + box.width + 2] = True
    assert (ink & ~covered).sum() == 0
    assert covered.sum() < 3 * (np.ptp(np.nonzero(ink)[0]) * np.ptp(np.nonzero(ink)[1]))
    assert all(left.box.x + left.box.width <= right.box.x + 2 for left, right in pairwise(words))


def test_boxes_are_in_full_resolution_pixels(
    detector: TextDetector, decoder: Decoder, encode: Encode
) -> None:
    small = sign("Hello wonderful world", 30)
    large = cv2.resize(np.asarray(small), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    here = detector.detect(decoder.decode(encode(small)), None).words
    there = detector.detect(decoder.decode(encode(large)), None).words
    for near, far in zip(here, there, strict=True):
        assert far.text == near.text
        assert (far.box.x, far.box.y) == pytest.approx((near.box.x * 3, near.box.y * 3), abs=6)


def test_a_shaded_page_is_read_whole(detector: TextDetector, decoder: Decoder, photo: Photo) -> None:
    text = detector.detect(decoder.decode(photo("page.png")), None).text
    truth = (
        "Region-based segmentation Let us first determine markers of the coins and the background. These"
        " markers are pixels that we can label unambiguously as either object or background. Here, the"
        " markers are found at the two extreme parts of the histogram of grey values:"
    )
    assert character_errors("\n".join(text.splitlines()[:6]), truth) < 0.05


def test_a_sign_in_a_photo_is_read(
    detector: TextDetector, decoder: Decoder, photo: Photo, encode: Encode
) -> None:
    image = Image.fromarray(np.array(decoder.decode(photo("coffee.png")).rgb))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 330, 80), fill="beige")
    draw.text((35, 32), "Fresh bread today", font=ImageFont.load_default(30), fill="maroon")
    assert (
        detector.detect(decoder.decode(encode(image, "JPEG", quality=85)), None).text == "Fresh bread today"
    )


@pytest.mark.parametrize(
    "name", ["astronaut.png", "china.jpg", "flower.jpg", "coffee.png", "chelsea.png", "retina.jpg"]
)
def test_textless_photos_have_no_text(
    detector: TextDetector, decoder: Decoder, photo: Photo, name: str
) -> None:
    result = detector.detect(decoder.decode(photo(name)), None)
    assert (result.text, result.words, result.word_count, result.found) == ("", (), 0, False)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (40, 40)])
def test_odd_sizes_are_looked_at(
    detector: TextDetector, decoder: Decoder, encode: Encode, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert not detector.detect(decoder.decode(encode(noise)), None).found


def test_many_threads_read_at_once(detector: TextDetector, decoder: Decoder, encode: Encode) -> None:
    texts = [f"Carriage number {word}" for word in ("seven", "eleven", "twenty", "ninety")]
    pictures = [decoder.decode(encode(sign(text))) for text in texts]
    read: dict[int, Text] = {}

    def work(index: int) -> None:
        for _ in range(3):
            read[index] = detector.detect(pictures[index], None)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [read[index].text for index in range(len(texts))] == texts


def test_both_engines_read_the_same(encode: Encode) -> None:
    tessdata = find_tessdata(None, None, "eng")
    grey = np.asarray(sign("Both engines agree").convert("L"))
    engines: list[TextEngine] = [
        TesserocrEngine(tessdata, "eng"),
        PytesseractEngine(find_tesseract(), tessdata, "eng"),
    ]
    for engine in engines:
        assert [word.text for word in engine.read(grey, Segmentation.BLOCK, 30)] == [
            "Both",
            "engines",
            "agree",
        ]
        assert engine.settings()["engine"] == engine.name


class StubEngine:
    """Reads what it is told, runs a hook at each call and counts the calls."""

    name = "stub"

    def __init__(self, after_read: Callable[[], None] = lambda: None, *words: ReadWord) -> None:
        self.calls = 0
        self._after_read = after_read
        self._words = list(words)

    def settings(self) -> Mapping[str, object]:
        return {}

    def read(self, _grey: Pixels, _segmentation: Segmentation, _timeout_s: float, /) -> list[ReadWord]:
        self.calls += 1
        self._after_read()
        return self._words


def two_signs(encode: Encode) -> bytes:
    image = sign("Upper platform", 24, canvas=(640, 480))
    ImageDraw.Draw(image).text((60, 400), "Lower platform", font=ImageFont.load_default(24), fill="black")
    return encode(image)


def test_a_given_up_call_stops_before_the_next_block(decoder: Decoder, encode: Encode) -> None:
    cancelled = threading.Event()
    engine = StubEngine(cancelled.set)
    with pytest.raises(AnalysisCancelledError):
        TextDetector(LineReader(engine)).detect(decoder.decode(two_signs(encode)), cancelled)
    assert engine.calls == 1


@pytest.mark.parametrize(("words", "calls"), [((), 1), ((ReadWord("uanas", 0.3, 0, 0, 9, 9, (1,)),), 3)])
def test_only_where_the_engine_makes_out_something_is_text_sought_upside_down(
    decoder: Decoder, encode: Encode, words: tuple[ReadWord, ...], calls: int
) -> None:
    engine = StubEngine(lambda: None, *words)
    picture = decoder.decode(encode(sign("Platform seven")))
    assert not TextDetector(LineReader(engine)).detect(picture, None).found
    assert engine.calls == calls


@pytest.mark.parametrize(("doubt", "kept"), [(0.6, ["sure", "doubtful"]), (0.2, ["sure"])])
def test_a_page_read_badly_keeps_only_what_is_sure(
    decoder: Decoder, encode: Encode, doubt: float, kept: list[str]
) -> None:
    words = [ReadWord("sure", 0.9, 0, 0, 9, 9, (1,))]
    words += [ReadWord("doubtful", doubt, 10, 0, 19, 9, (1,))] * 2
    lines = "\n".join(["the quick brown fox jumps over the lazy dog"] * 12)
    page = decoder.decode(encode(sign(lines, 18, canvas=(640, 480))))
    text = TextDetector(LineReader(StubEngine(lambda: None, *words))).detect(page, None).text
    assert list(dict.fromkeys(text.split())) == kept


def test_used_up_time_is_an_error_not_a_result(decoder: Decoder, encode: Encode) -> None:
    engine = StubEngine(lambda: None)
    with pytest.raises(TextTimeoutError):
        TextDetector(LineReader(engine), timeout_s=0).detect(decoder.decode(two_signs(encode)), None)


def test_engines_stop_at_their_time_limit() -> None:
    lines = "\n".join(["the quick brown fox jumps over the lazy dog and runs"] * 25)
    grey = np.asarray(sign(lines, 16, canvas=(640, 700)).convert("L"))
    tessdata = find_tessdata(None, None, "eng")
    for engine in (TesserocrEngine(tessdata, "eng"), PytesseractEngine(find_tesseract(), tessdata, "eng")):
        with pytest.raises(TextTimeoutError):
            engine.read(grey, Segmentation.PAGE, 0.01)
    words = TesserocrEngine(tessdata, "eng").read(grey, Segmentation.PAGE, 60)
    assert len(words) > 200


def test_texture_is_not_worth_reading(decoder: Decoder, photo: Photo) -> None:
    names = (
        "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "grass.png", "gravel.png", "brick.png",
        "camera.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "ihc.png", "china.jpg",
        "flower.jpg", "hubble_deep_field.jpg",
    )  # fmt: skip
    lines = {name: len(find_lines(decoder.decode(photo(name)).preview)) for name in names}
    assert max(lines.values()) <= 2, lines
    assert sum(lines.values()) <= 9, lines


@pytest.mark.parametrize("edge", [500, 640])
def test_a_glyph_among_many_specks_is_found_where_it_is(edge: int) -> None:
    ink = np.zeros((edge, edge), np.uint8)
    ink[::2, ::2] = 255
    ink[-40:, -40:] = 0
    ink[-30:-10, -25:-15] = 255
    assert find_shapes(ink, 5, 96).tolist() == [[edge - 25, edge - 30, 10, 20, 200]]


def test_faint_print_is_read(detector: TextDetector, decoder: Decoder, encode: Encode) -> None:
    faint = sign("Platform seven\nOpen every weekend", 28, "#d0d0d0", "#f4f4f4")
    assert detector.detect(decoder.decode(encode(faint)), None).text == "Platform seven\nOpen every weekend"


def test_missing_language_data_is_unavailable_and_named(
    decoder: Decoder, encode: Encode, tmp_path: Path
) -> None:
    for detector in (
        TextDetector.open(tmp_path, None, "eng", 1),
        TextDetector.open(None, None, "eng+xyz", 1),
    ):
        with pytest.raises(DetectorUnavailableError, match="traineddata") as caught:
            detector.detect(decoder.decode(encode(sign("Hello"))), None)
        assert str(tmp_path) not in caught.value.message
        assert detector.settings()["engine"] == "none"


def test_language_data_is_sought_in_order(tmp_path: Path) -> None:
    packaged = find_tessdata(None, None, "eng")
    assert find_tessdata(None, tmp_path, "eng") == packaged
    (tmp_path / "eng.traineddata").write_bytes(b"")
    assert find_tessdata(None, tmp_path, "eng") == tmp_path
    assert find_tessdata(packaged, tmp_path, "eng") == packaged
    with pytest.raises(ResourceMissingError, match=r"deu\.traineddata"):
        find_tessdata(tmp_path, None, "eng+deu")


def test_the_longest_of_many_blocks_are_read_in_reading_order() -> None:
    lines = [
        TextLine(10, 200 * n, 90, 200 * n + 20, 20, glyphs=3 + n, light_on_dark=n % 2 == 0) for n in range(14)
    ]
    blocks = plan_blocks(lines, 100, 3000)
    assert [block.top for block in blocks] == [200 * n - 6 for n in range(2, 14)]
    assert {block.segmentation for block in blocks} == {Segmentation.LINE}
    assert [block.segmentation for block in plan_blocks(lines[::2] * 2, 100, 3000)] == [Segmentation.PAGE]


def test_the_table_gives_words_only() -> None:
    rows = [
        "1\t1\t0\t0\t0\t0\t0\t0\t50\t50\t-1\t",
        "5\t1\t2\t1\t3\t1\t10\t20\t30\t40\t91.5\tHi",
        "5\t1\t1\t1\t1\t2\t0\t0\t1\t1\t95\t ",
    ]
    table = "\n".join(rows) + "\n"
    assert parse_table(table) == [ReadWord("Hi", 0.915, 10, 20, 40, 60, (2, 1, 3))]


@pytest.mark.parametrize("name", ["phototest", "eurotext"])
def test_pages_are_read_no_worse_than_by_plain_tesseract(
    detector: TextDetector, decoder: Decoder, shared_data: Path, name: str
) -> None:
    truth = (shared_data / "ocr" / f"{name}.txt").read_text()
    data = (shared_data / "ocr" / f"{name}.tif").read_bytes()
    picture = decoder.decode(data)
    plain = PytesseractEngine(find_tesseract(), find_tessdata(None, None, "eng"), "eng")
    words = plain.read(picture.grey, Segmentation.PAGE, 60)
    baseline = character_errors(" ".join(word.text for word in words), truth)
    assert character_errors(detector.detect(picture, None).text, truth) <= baseline + 1e-9
