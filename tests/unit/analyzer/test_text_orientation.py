"""Text that lies on its side or stands on its head: read, and its direction told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analyzer.decode import Decoder
from services.analyzer.detectors.text import TextDetector

Photo = Callable[[str], bytes]
Encode = Callable[..., bytes]

TURNED = {
    0: None,
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
LINES = "\n".join(f"Row {word} of the page reads well" for word in ("one", "two", "six", "ten") * 3)


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector.open(None, None, "eng", 30.0)


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turn counterclockwise, so that the text must be turned clockwise by as much."""
    transpose = TURNED[orientation]
    return image if transpose is None else image.transpose(transpose)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(("text", "size"), [(LINES, 22), ("Platform seven\nOpen every weekend", 34)])
def test_text_is_read_in_each_direction(
    detector: TextDetector, decoder: Decoder, encode: Encode, orientation: int, text: str, size: int
) -> None:
    image = Image.new("L", (640, 480), 255)
    ImageDraw.Draw(image).multiline_text((40, 60), text, font=ImageFont.load_default(size), fill=0)
    image = turn(image, orientation)
    result = detector.detect(decoder.decode(encode(image)), None)
    assert (result.text, result.orientation) == (text, orientation)
    ink = np.asarray(image) < 128
    covered = np.zeros_like(ink)
    for word in result.words:
        box = word.box
        covered[max(0, box.y - 3) : box.y + box.height + 3, max(0, box.x - 3) : box.x + box.width + 3] = True
    assert (ink & ~covered).sum() == 0


@pytest.mark.parametrize("orientation", [90, 270])
def test_a_sign_on_its_side_in_a_photo_is_read(
    detector: TextDetector, decoder: Decoder, photo: Photo, encode: Encode, orientation: int
) -> None:
    image = Image.fromarray(np.array(decoder.decode(photo("coffee.png")).rgb))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 330, 80), fill="beige")
    draw.text((35, 32), "Fresh bread today", font=ImageFont.load_default(30), fill="maroon")
    result = detector.detect(decoder.decode(encode(turn(image, orientation))), None)
    assert (result.text, result.orientation) == ("Fresh bread today", orientation)


def test_no_text_has_no_orientation(detector: TextDetector, decoder: Decoder, photo: Photo) -> None:
    assert detector.detect(decoder.decode(photo("brick.png")), None).orientation == 0
