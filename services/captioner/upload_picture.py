"""Images made small and anonymous for a provider, or just glanced at. Blocking: runs in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageFile, ImageOps, ImageStat

from services.captioner.measurements import ColourShare, Measurements
from services.runtime.errors import InvalidArgumentError, Reason

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF")
JPEG_QUALITY = 80
ORIENTATION_TAG = 0x0112
_GLANCE_EDGE_PX = 64
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it is sent out: JPEG bytes without metadata, and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def prepare_pillow(max_pixels: int) -> None:
    """Teaches Pillow HEIC where the plugin is installed; call once, before the first picture."""
    try:
        import pillow_heif  # noqa: PLC0415  HEIC needs this plugin, the other formats do not
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    # Pillow's own guard must not refuse what the operator allows; the real limit is judged per picture.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def scale_for_upload(data: bytes, edge_px: int, max_pixels: int) -> Upload:
    """The upright first frame as JPEG without metadata, longest edge at most ``edge_px``, never enlarged.

    Transparent parts become white. Raises InvalidArgumentError with IMAGE_EMPTY, IMAGE_TOO_MANY_PIXELS
    (judged by the header) or IMAGE_UNDECODABLE.
    """
    with _opened(data, max_pixels) as image:
        small = _shrunk(image, edge_px)
        # A fresh canvas: comments, profiles, EXIF and text of the original stay behind.
        canvas = Image.new("RGB", small.size, "white")
        canvas.paste(small, mask=small.getchannel("A") if small.mode == "RGBA" else None)
        encoded = BytesIO()
        canvas.save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        return Upload(encoded.getvalue(), *canvas.size)


def glance_at(data: bytes, max_pixels: int) -> Measurements:
    """Upright size, average colour and brightness; errors as ``scale_for_upload``."""
    with _opened(data, max_pixels) as image:
        stored_size = image.size
        small = _shrunk(image, _GLANCE_EDGE_PX).convert("RGB")
        # Some plugins turn the picture themselves; after loading the tag says what is left to do.
        turned = image.getexif().get(ORIENTATION_TAG, 1) in (5, 6, 7, 8)
        width, height = stored_size[::-1] if turned else stored_size
        red, green, blue = (round(mean) for mean in ImageStat.Stat(small).mean)
        brightness = int(ImageStat.Stat(small.convert("L")).mean[0])
    return Measurements(
        width=width,
        height=height,
        colours=(ColourShare(red, green, blue, 1.0),),
        brightness=brightness,
    )


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    if not data:
        raise InvalidArgumentError(Reason.IMAGE_EMPTY, "The image has no bytes; send the encoded file.")
    if data.startswith(b"\xff\xd8"):
        # A JPEG cut short lacks its end marker; with one, the decoder gives the part that is there.
        data += _END_OF_JPEG
    try:
        with Image.open(BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
            _check_pixels(image.width * image.height, max_pixels)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise _too_many_pixels(found[1] if found else "too many", max_pixels) from error
    except InvalidArgumentError:
        raise
    except Exception as error:
        # Pillow and its plugins answer damaged input with almost any type; this is the one place.
        raise InvalidArgumentError(
            Reason.IMAGE_UNDECODABLE,
            "The bytes do not decode as an image; send a complete JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or "
            "AVIF file.",
        ) from error


def _check_pixels(pixels: int, limit_pixels: int) -> None:
    if pixels > limit_pixels:
        raise _too_many_pixels(pixels, limit_pixels)


def _too_many_pixels(pixels: object, limit_pixels: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_TOO_MANY_PIXELS,
        f"The image has {pixels} pixels, more than the {limit_pixels} this server decodes; scale it down.",
        limit_pixels=limit_pixels,
        pixels=pixels,
    )


def _shrunk(image: ImageFile.ImageFile, edge_px: int) -> Image.Image:
    """Upright, RGB or RGBA, at most ``edge_px`` on either side."""
    # JPEG decodes at 1/2, 1/4 or 1/8 when that is still large enough: a fifth of the time.
    image.draft("RGB", (edge_px, edge_px))
    image.load()
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    picture = _as_colour(image)
    picture.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    picture.getexif()[ORIENTATION_TAG] = orientation
    return ImageOps.exif_transpose(picture)


def _as_colour(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Sixteen bits: conversion alone would clip instead of scale.
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.upper())
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")
