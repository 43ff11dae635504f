"""Signs in photos: short words, tilted, faint and large ones are found; what lies beside them is not read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.analyzer.decode import Decoder
from services.analyzer.detectors.text import TextDetector

Photo = Callable[[str], bytes]
Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector.open(None, None, "eng", 10.0)


def hang(photo: Image.Image, text: str, size: int, tilt: float, ink: str, ground: str) -> Image.Image:
    """The photo with a plate in its middle."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    plate = Image.new("RGBA", (right - left + size, bottom - top + size), ground)
    ImageDraw.Draw(plate).text((size // 2 - left, size // 2 - top), text, font=font, fill=ink)
    plate = plate.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    photo = photo.copy()
    photo.paste(plate, ((photo.width - plate.width) // 2, (photo.height - plate.height) // 2), plate)
    return photo


@pytest.mark.parametrize("name", ["flower.jpg", "astronaut.png"])
@pytest.mark.parametrize("text", ["EXIT", "STOP", "24", "Open"])
def test_short_words_are_found(
    detector: TextDetector, decoder: Decoder, photo: Photo, encode: Encode, text: str, name: str
) -> None:
    image = Image.fromarray(np.asarray(decoder.decode(photo(name)).rgb))
    hung = hang(image, text, 40, 0, "white", "darkgreen")
    assert detector.detect(decoder.decode(encode(hung, "JPEG", quality=90)), None).text == text


@pytest.mark.parametrize("tilt", [-10, -5, 5, 10])
def test_tilted_signs_are_read_and_their_words_placed(
    detector: TextDetector, decoder: Decoder, photo: Photo, encode: Encode, tilt: float
) -> None:
    image = Image.fromarray(np.asarray(decoder.decode(photo("coffee.png")).rgb))
    hung = hang(image, "Open every weekend", 30, tilt, "black", "white")
    result = detector.detect(decoder.decode(encode(hung)), None)
    assert result.text == "Open every weekend"
    first, _, last = (word.box for word in result.words)
    run = last.x + last.width / 2 - first.x - first.width / 2
    rise = last.y + last.height / 2 - first.y - first.height / 2
    assert rise / run == pytest.approx(-np.tan(np.radians(tilt)), abs=0.03)
    middle = (first.x + last.x + last.width) / 2
    assert middle == pytest.approx(image.width / 2, abs=6)


@pytest.mark.parametrize(("size", "ink", "ground"), [(28, "#787878", "#505050"), (110, "yellow", "navy")])
def test_faint_and_large_signs_are_read(
    detector: TextDetector, decoder: Decoder, photo: Photo, encode: Encode, size: int, ink: str, ground: str
) -> None:
    image = Image.fromarray(np.asarray(decoder.decode(photo("flower.jpg")).rgb))
    hung = hang(image, "Museum", size, 0, ink, ground)
    assert detector.detect(decoder.decode(encode(hung)), None).text == "Museum"


def test_letters_that_run_into_a_light_ground_are_read(
    detector: TextDetector, decoder: Decoder, encode: Encode
) -> None:
    image = Image.new("L", (400, 120), 150)
    draw = ImageDraw.Draw(image)
    for x in (150, 210):
        draw.line((x, 0, x - 20, 120), fill=20, width=8)
    draw.text((40, 50), "Platform seven", font=ImageFont.load_default(22), fill=255)
    assert detector.detect(decoder.decode(encode(image)), None).text == "Platform seven"
