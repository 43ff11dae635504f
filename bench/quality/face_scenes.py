"""Photos without people into which the astronaut's face is blended; the same on every run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bench.quality.samples import Samples
from services.analyzer.picture import Box

BACKGROUNDS = ("china.jpg", "flower.jpg", "coffee.png", "rocket.jpg", "brick.png", "motorcycle_left.png")
SEED = 4
# The astronaut's head, and her face from hairline to chin, by hand.
_HEAD = (145, 5, 305, 215)
_FACE = Box(180, 62, 92, 116)


@dataclass(frozen=True, slots=True)
class FaceScene:
    """A photo with one face in it."""

    image: Image.Image
    face: Box
    height_px: int


def paste_faces(samples: Samples, heights_px: Sequence[int], edge_px: int) -> Iterator[FaceScene]:
    """One face of each height in each background, whose longer edge is ``edge_px``; every other mirrored."""
    random_ = random.Random(SEED)  # noqa: S311 - places of faces, not secrets
    head = samples.open("astronaut.png").crop(_HEAD)
    for number, name in enumerate(BACKGROUNDS):
        photo = samples.open(name)
        scale = edge_px / max(photo.size)
        background = photo.resize((round(photo.width * scale), round(photo.height * scale)))
        for step, height_px in enumerate(heights_px):
            mirrored = (number + step) % 2 == 1
            yield _paste(background.copy(), head, height_px, random_, mirrored=mirrored)


def _paste(
    photo: Image.Image, head: Image.Image, height_px: int, random_: random.Random, *, mirrored: bool
) -> FaceScene:
    left, top = _FACE.x - _HEAD[0], _FACE.y - _HEAD[1]
    if mirrored:
        head, left = ImageOps.mirror(head), head.width - left - _FACE.width
    scale = height_px / _FACE.height
    size = (round(head.width * scale), round(head.height * scale))
    cover = Image.new("L", head.size)
    ImageDraw.Draw(cover).ellipse((6, 6, head.width - 6, head.height - 6), fill=255)
    cover = cover.filter(ImageFilter.GaussianBlur(4)).resize(size, Image.Resampling.LANCZOS)
    x = random_.randrange(max(1, photo.width - size[0]))
    y = random_.randrange(max(1, photo.height - size[1]))
    photo.paste(head.resize(size, Image.Resampling.LANCZOS), (x, y), cover)
    face = Box(x + round(left * scale), y + round(top * scale), round(_FACE.width * scale), height_px)
    return FaceScene(photo, face, height_px)
