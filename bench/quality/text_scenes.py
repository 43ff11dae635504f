"""Rendered text with its truth: pages, and signs in photos. The same on every run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Size = tuple[int, int]
Colour = tuple[int, int, int]

PHRASES = (
    "Platform seven", "Fresh bread today", "Mind the step", "Open every weekend", "Harbour Street",
    "Coffee and cake", "No parking here", "Ticket office", "Lost property\nsecond floor", "Emergency exit",
    "Please ring\nthe bell", "Rooms to let", "Tram stop 14\nCentral Station", "Wet paint",
    "Boat trips\nat 9:30 and 15:45",
    "Museum of Maps", "Keep this door closed", "Garden centre\n250 m ahead", "Cash only",
    "Welcome to Ashford",
)  # fmt: skip
PARAGRAPH = (
    "The old mill stood at the bend of the river, where the road from the village turns north. For nearly"
    " two hundred years its wheel had ground the corn of five parishes; then, in 1931, it stopped. Nobody"
    " could say why. The miller's daughter kept the ledgers (all 46 of them) in a chest under the stairs,"
    " and each spring she opened the windows, swept the floor and oiled the great oak axle. Visitors paid"
    " 3.50 for a tour and a slice of plum cake."
)
# (ink, ground); a ground of None draws straight on to the photo.
PAINTS: Sequence[tuple[Colour, Colour | None]] = (
    ((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 60, 140)), ((255, 255, 255), (0, 100, 50)),
    ((20, 20, 20), (240, 200, 40)), ((120, 20, 20), (235, 225, 200)), ((240, 230, 120), (40, 40, 40)),
    ((255, 255, 255), None), ((0, 0, 0), None),
)  # fmt: skip
TEXT_HEIGHTS_PX = (14, 18, 24, 32, 44, 64)
TILTS_DEGREES = (0, 0, 0, 2, -3, 5, -8)
# Drawn by Pillow and OpenCV themselves, so that they are there on every machine.
_STROKES = {
    "duplex": cv2.FONT_HERSHEY_DUPLEX,
    "complex": cv2.FONT_HERSHEY_COMPLEX,
    "triplex": cv2.FONT_HERSHEY_TRIPLEX,
}
Stamp = Callable[[str, int], Image.Image]


@dataclass(frozen=True, slots=True)
class TextScene:
    """A picture, the text on it, and (left, top, right, bottom) of the tight crop."""

    image: Image.Image
    truth: str
    crop: tuple[int, int, int, int]
    kind: str
    height_px: int


def render_signs(backgrounds: Sequence[Image.Image], number: int, seed: int) -> Iterator[TextScene]:
    """Signs in photos: heights, colours, polarity, fonts, tilt and place drawn from the seed."""
    random_ = random.Random(seed)  # noqa: S311 - places of signs, not secrets
    stamps = fonts()
    made = 0
    while made < number:
        name, stamp = random_.choice(stamps)
        height_px, phrase = random_.choice(TEXT_HEIGHTS_PX), random_.choice(PHRASES)
        ink, ground = random_.choice(PAINTS)
        tilt = random_.choice(TILTS_DEGREES)
        sign, cover = _paint(stamp(phrase, height_px), ink, ground, tilt)
        photo = backgrounds[made % len(backgrounds)].copy()
        if sign.width > photo.width or sign.height > photo.height:
            continue
        x = random_.randrange(photo.width - sign.width + 1)
        y = random_.randrange(photo.height - sign.height + 1)
        photo.paste(sign, (x, y), cover)
        crop = (x, y, x + sign.width, y + sign.height)
        kind = f"{name}, {'plate' if ground else 'bare'}, tilted by {tilt} degrees"
        yield TextScene(photo, phrase, crop, kind, height_px)
        made += 1


def render_pages() -> Iterator[TextScene]:
    """Pages of running text: sizes, fonts, light on dark, faint, shaded, tilted."""
    plain, serif = fonts()[0][1], fonts()[2][1]
    looks: Sequence[tuple[str, Stamp, int]] = (
        ("page, 12 px", plain, 12), ("page, 16 px", plain, 16), ("page, 24 px", plain, 24),
        ("page, 40 px", plain, 40), ("page, serif", serif, 24),
    )  # fmt: skip
    for kind, stamp, height_px in looks:
        yield _page(stamp, height_px, kind)
    page = _page(plain, 20, "page")
    yield _changed(page, Image.fromarray(255 - np.asarray(page.image)), "page, light on dark")
    faint = np.asarray(page.image).astype(np.float32) * 0.2 + 190
    yield _changed(page, Image.fromarray(faint.astype(np.uint8)), "page, faint")
    shade = np.linspace(1, 0.4, page.image.width, dtype=np.float32)[None, :, None]
    yield _changed(page, Image.fromarray((np.asarray(page.image) * shade).astype(np.uint8)), "page, shaded")
    tilted = page.image.rotate(1.5, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    yield _changed(page, tilted, "page, tilted by 1.5 degrees")
    yield _page(plain, 20, "three short lines", PARAGRAPH.partition(".")[0])


def fonts() -> list[tuple[str, Stamp]]:
    """Names and drawers: each makes a grey coverage mask of a text at a line height."""
    return [("sans", _stamp_sans), *((name, _stroke_stamp(face)) for name, face in _STROKES.items())]


def _changed(page: TextScene, image: Image.Image, kind: str) -> TextScene:
    return TextScene(image, page.truth, (0, 0, image.width, image.height), kind, page.height_px)


def _page(stamp: Stamp, height_px: int, kind: str, text: str = PARAGRAPH) -> TextScene:
    lines = "\n".join(_wrap(text, 58))
    mask = stamp(lines, height_px)
    margin = 2 * height_px
    image = Image.new("RGB", (mask.width + 2 * margin, mask.height + 2 * margin), "white")
    image.paste((0, 0, 0), (margin, margin), mask)
    return TextScene(image, lines, (0, 0, image.width, image.height), kind, height_px)


def _wrap(text: str, columns: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if len(line) + len(word) >= columns:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line


def _stamp_sans(text: str, height_px: int) -> Image.Image:
    font = ImageFont.load_default(height_px)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    mask = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(mask).multiline_text((-left, -top), text, fill=255, font=font)
    return mask


def _stroke_stamp(face: int) -> Stamp:
    """A drawer with one of OpenCV's stroke fonts: drawn four times as large, then averaged down."""

    def stamp(text: str, height_px: int) -> Image.Image:
        # A font "of 20 px" has capitals of about 14.
        scale = cv2.getFontScaleFromHeight(face, round(height_px * 0.72 * 4), 1)
        thickness = max(2, round(height_px * 0.25))
        lines, pitch = text.split("\n"), round(height_px * 1.35 * 4)
        width = max(cv2.getTextSize(line, face, scale, thickness)[0][0] for line in lines)
        mask = np.zeros((pitch * len(lines) + thickness, width + 2 * thickness), np.uint8)
        for number, line in enumerate(lines):
            origin = (thickness, number * pitch + round(height_px * 0.9 * 4))
            cv2.putText(mask, line, origin, face, scale, 255, thickness, cv2.LINE_AA)
        return Image.fromarray(mask).reduce(4)

    return stamp


def _paint(
    mask: Image.Image, ink: Colour, ground: Colour | None, tilt: int
) -> tuple[Image.Image, Image.Image]:
    """The sign and where it covers the photo."""
    margin = max(6, mask.height // 3)
    size = (mask.width + 2 * margin, mask.height + 2 * margin)
    sign, cover = Image.new("RGB", size, ground or ink), Image.new("L", size, 255 if ground else 0)
    if ground:
        sign.paste(ink, (margin, margin), mask)
    else:
        cover.paste(mask, (margin, margin))
    if not tilt:
        return sign, cover
    turned = [each.rotate(tilt, Image.Resampling.BICUBIC, expand=True) for each in (sign, cover)]
    return (Image.new("RGB", turned[1].size, ink), turned[1]) if not ground else (turned[0], turned[1])
