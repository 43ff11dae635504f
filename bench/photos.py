"""Photos to measure with: real ones from wheels, each cut a little differently so that all bytes differ."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

from PIL import Image

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
        buffer = io.BytesIO()
        photo = original.crop(box)
        if scale != 1:
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
        photo.save(buffer, "JPEG", quality=90)
        photos.append(buffer.getvalue())
    return photos
