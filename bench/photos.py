"""Photos to measure with: real ones from wheels, cut, enlarged or lettered, so that all bytes differ.

The same on every run. What is enlarged gets grain on top, so that it decodes and compresses as a photo of
that size does.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SOURCES = {
    "skimage": (
        "data/astronaut.png",
        "data/coffee.png",
        "data/chelsea.png",
        "data/rocket.jpg",
        "data/page.png",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
QUALITY = 90
# Standard deviation in grey levels: at this quality 2 to 3 bits a pixel, as cameras write them.
GRAIN = 5.0
SIGN = ("HARBOUR STREET", "Open daily 9 to 5")
_COMMENT = b"\xff\xfe"


def sources() -> list[Path]:
    """The photos themselves."""
    found = []
    for package, files in SOURCES.items():
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError(f"{package} is not installed: run `make setup-dev`")
        found += [Path(spec.submodule_search_locations[0]) / file for file in files]
    return found


def small_photos(count: int, scale: float = 1.0) -> list[bytes]:
    """``count`` distinct JPEG files of at most one megapixel: crops of real photos, the same on every run.

    ``scale`` shrinks them on both sides.
    """
    originals = [Image.open(path).convert("RGB") for path in sources()]
    photos = []
    for number in range(count):
        original = originals[number % len(originals)]
        shift = number // len(originals)
        box = (shift, shift // 2, original.width - shift % 7, original.height - shift % 5)
        photo = original.crop(box)
        if scale != 1:
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
        photos.append(encode(photo))
    return photos


def source_photo(name: str) -> Image.Image:
    """One of the sources by its name without extension, as RGB."""
    path = next(path for path in sources() if path.stem == name)
    return Image.open(path).convert("RGB")


def encode(photo: Image.Image) -> bytes:
    """A JPEG file."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def enlarge(photo: Image.Image, pixels: int) -> Image.Image:
    """The photo with ``pixels`` pixels, up to rounding, and with grain: a smooth enlargement is no photo."""
    factor = (pixels / (photo.width * photo.height)) ** 0.5
    large = photo.resize(
        (round(photo.width * factor), round(photo.height * factor)), Image.Resampling.LANCZOS
    )
    grain = np.random.default_rng(large.width).normal(0, GRAIN, (large.height, large.width, 1))
    grained = np.asarray(large) + np.asarray(grain, np.float32)
    return Image.fromarray(grained.clip(0, 255).astype(np.uint8))


def add_sign(photo: Image.Image, lines: Sequence[str] = SIGN) -> Image.Image:
    """The photo with a white sign across its lower part, as high as a seventh of it."""
    signed = photo.copy()
    draw = ImageDraw.Draw(signed)
    text, margin = "\n".join(lines), photo.height // 50
    font = ImageFont.load_default(photo.height // 22)
    box = draw.multiline_textbbox((photo.width // 8, photo.height * 3 // 4), text, font=font)
    board = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
    draw.rectangle(board, fill="white", outline="black")
    draw.multiline_text((photo.width // 8, photo.height * 3 // 4), text, font=font, fill="black")
    return signed


def copies(photo: bytes, count: int, first: int = 0) -> list[bytes]:
    """``count`` JPEG files of the same pixels, each with a comment of its own: numbers from ``first`` on."""
    return [photo[:2] + _segment(number) + photo[2:] for number in range(first, first + count)]


def _segment(number: int) -> bytes:
    text = b"%012d" % number
    return _COMMENT + (len(text) + 2).to_bytes(2, "big") + text
