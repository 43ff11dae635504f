"""Pictures that the analyzer makes: a thumbnail, and the original with boxes drawn on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2

from services.analyzer.decode import average_down
from services.analyzer.picture import Box, Picture, Pixels

BOX_COLOUR = (0, 255, 0)
LINE_PX = 2
JPEG_QUALITY = 90
THUMBNAIL_QUALITY = 85

_MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_OPTIONS: dict[str, tuple[int, ...]] = {
    # Full colour resolution: otherwise thin green lines bleed into their surroundings.
    ".jpg": (
        cv2.IMWRITE_JPEG_QUALITY,
        JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ),
    ".png": (cv2.IMWRITE_PNG_COMPRESSION, 3),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, JPEG_QUALITY),
}
_EXTENSIONS = {"PNG": ".png", "WEBP": ".webp"}


@dataclass(frozen=True, slots=True)
class Rendition:
    """An encoded picture without metadata, its media type and its size in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int


def render_thumbnail(picture: Picture, edge_px: int) -> Rendition:
    """A JPEG whose longer edge is at most ``edge_px``; never enlarged, at least 1 pixel either way."""
    scale = min(1.0, edge_px / max(picture.width, picture.height))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return _encode(_shrink(picture.rgb, size), ".jpg", (cv2.IMWRITE_JPEG_QUALITY, THUMBNAIL_QUALITY))


def _shrink(rgb: Pixels, size: tuple[int, int]) -> Pixels:
    """Average down by a whole factor, then interpolate the rest: a fifth of the time of one exact average."""
    factor = min(rgb.shape[1] // size[0], rgb.shape[0] // size[1])
    if factor >= 2:
        rgb = average_down(rgb, factor)
    return cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)


def render_annotated(rgb: Pixels, boxes: Iterable[Box], source_format: str) -> Rendition:
    """Draw ``boxes`` into ``rgb`` (changed in place) and encode it in the family of the original.

    A box covers (x, y) to (x + width, y + height), both inclusive, in pure green, 2 pixels wide inwards, no
    fill. PNG stays PNG and WebP WebP; all else becomes JPEG. No orientation tag: the pixels are upright.
    """
    for box in boxes:
        _draw_box(rgb, box)
    extension = _EXTENSIONS.get(source_format, ".jpg")
    return _encode(rgb, extension, _OPTIONS[extension])


def _draw_box(rgb: Pixels, box: Box) -> None:
    right, bottom = box.x + box.width + 1, box.y + box.height + 1
    down, across = _clip(box.y, bottom), _clip(box.x, right)
    rgb[_clip(box.y, min(box.y + LINE_PX, bottom)), across] = BOX_COLOUR
    rgb[_clip(max(bottom - LINE_PX, box.y), bottom), across] = BOX_COLOUR
    rgb[down, _clip(box.x, min(box.x + LINE_PX, right))] = BOX_COLOUR
    rgb[down, _clip(max(right - LINE_PX, box.x), right)] = BOX_COLOUR


def _clip(first: int, end: int) -> slice:
    """A slice without the negative numbers that would count from the far edge."""
    return slice(max(0, first), max(0, end))


def _encode(rgb: Pixels, extension: str, options: tuple[int, ...]) -> Rendition:
    done, encoded = cv2.imencode(extension, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"OpenCV does not encode {extension} of {rgb.shape[1]} x {rgb.shape[0]} pixels")
    return Rendition(encoded.tobytes(), _MEDIA_TYPES[extension], rgb.shape[1], rgb.shape[0])
