"""From bytes to a header and pixels, in whichever process: OpenCV for what it decodes fast and right (JPEG,
PNG, WebP and BMP of one frame), Pillow, restricted to the formats below, for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageOps

from services.analyzer.decode.limits import DecodeLimits, undecodable
from services.analyzer.decode.upright import halve
from services.analyzer.exif import ExifFacts, read_exif
from services.analyzer.picture import Pixels
from services.analyzer.process import configure_threads
from services.runtime.errors import InvalidArgumentError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF", "AVIF")
# Above this a JPEG's colour is kept at 1/2 or 1/4; its luma never is.
REDUCE_ABOVE_PIXELS = 3_000_000
QUARTER_ABOVE_EDGE_PX = 3840
# Up to this a whole decode, averaged down, is a fifth faster than two (luma whole, colour reduced); above, it
# would take 3 bytes a pixel more.
WHOLE_UP_TO_PIXELS = 16_000_000

_OPENCV_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "BMP"})
_OPENCV_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16"})
_REDUCED_FLAGS = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Header:
    """What is known without decoding; fields as in Picture, size in pixels as stored."""

    format: str
    mode: str
    width: int
    height: int
    frames: int
    exif: ExifFacts


@dataclass(frozen=True, slots=True)
class Raster:
    """Decoded pixels; ``grey`` is None where it is but the luma of ``rgb``.

    ``turned`` says that the orientation is already applied.
    """

    rgb: Pixels
    grey: Pixels | None = None
    reduction: int = 1
    truncated: bool = False
    turned: bool = False


def prepare(max_pixels: int) -> None:
    """Readies the libraries of this process; call it before the first decode."""
    # What is wrong with an image goes to its caller; OpenCV would write it to standard error, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    pillow_heif.register_heif_opener()
    Image.init()
    # Pillow's own guard must not refuse what the operator allows; it is never made tighter for others.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def prepare_child(max_pixels: int) -> None:
    """Readies a child process, which nothing else uses: one thread, and no frame beyond the limit."""
    configure_threads()
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    prepare(max_pixels)
    # A GIF makes the picture of its first frame while it is opened, before anybody has seen its size.
    Image.MAX_IMAGE_PIXELS = max_pixels


def decode_any(data: bytes, limits: DecodeLimits, full_colour: bool) -> tuple[Header, Raster]:
    """Decode by whatever decodes it; ``full_colour`` at full resolution.

    Raises InvalidArgumentError with IMAGE_UNDECODABLE (not one of FORMATS, or damaged beyond a partial
    JPEG) or IMAGE_TOO_MANY_PIXELS (judged from the header, before any pixel is decoded).
    """
    with _opened(data, limits) as (header, image):
        return header, _decode_pixels(data, header, image, full_colour)


def decode_plain(data: bytes, limits: DecodeLimits, full_colour: bool) -> tuple[Header, Raster] | None:
    """As ``decode_any``, by OpenCV alone; None where it does not decode the image."""
    with _opened(data, limits) as (header, image):
        raster = _decode_with_opencv(data, header, image, full_colour)
    return None if raster is None else (header, raster)


@contextmanager
def _opened(data: bytes, limits: DecodeLimits) -> Iterator[tuple[Header, Image.Image]]:
    formats = tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow may be built without one
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            yield _read_header(image, limits), image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise limits.too_many_pixels(found[1] if found else "unknown") from error
    except (InvalidArgumentError, MemoryError):
        raise
    except Exception as error:
        # Pillow and its plugins answer damaged input with almost any type; this is the one place.
        raise undecodable() from error


def _read_header(image: Image.Image, limits: DecodeLimits) -> Header:
    pixels = image.width * image.height
    limits.check_pixels(pixels)
    # A phone's MPO is a JPEG with a second picture behind it.
    kind = "JPEG" if image.format == "MPO" else image.format or ""
    frames = 1 if kind == "JPEG" else int(getattr(image, "n_frames", 1))
    limits.check_frames(pixels, frames)
    return Header(kind, image.mode, image.width, image.height, frames, read_exif(image))


def _decode_pixels(data: bytes, header: Header, image: Image.Image, full_colour: bool) -> Raster:
    raster = _decode_with_opencv(data, header, image, full_colour)
    if raster is not None:
        return raster
    try:
        return _decode_with_pillow(image)
    except OSError:
        if header.format != "JPEG":
            raise
        # A JPEG cut short lacks its end marker; with one, the decoder returns the part that is there.
        raster = _decode_with_opencv(data + _END_OF_JPEG, header, image, full_colour, truncated=True)
        if raster is None:
            raise
        return raster


def _decode_with_opencv(
    data: bytes, header: Header, image: Image.Image, full_colour: bool, *, truncated: bool = False
) -> Raster | None:
    if not _suits_opencv(header, image):
        return None
    encoded = np.frombuffer(data, np.uint8)
    reduction = 1 if full_colour else _choose_reduction(header)
    if reduction > 1 and header.width * header.height > WHOLE_UP_TO_PIXELS:
        grey, colour = _imdecode(encoded, cv2.IMREAD_GRAYSCALE), _imdecode(encoded, _REDUCED_FLAGS[reduction])
        if grey is None or colour is None or grey.shape != (header.height, header.width):
            return None
        return Raster(cv2.cvtColor(colour, cv2.COLOR_BGR2RGB), grey, reduction, truncated)
    rgb = _imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    if rgb is None or rgb.shape[:2] != (header.height, header.width):
        return None
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if reduction > 1 else None
    return Raster(halve(rgb, reduction), grey, reduction, truncated)


def _suits_opencv(header: Header, image: Image.Image) -> bool:
    # libpng prints a line to stderr for each of the many PNGs whose colour profile it dislikes.
    profiled_png = header.format == "PNG" and "icc_profile" in image.info
    # OpenCV takes another frame of an animation for the first than browsers and Pillow do.
    known = header.format in _OPENCV_FORMATS and header.mode in _OPENCV_MODES
    return known and header.frames == 1 and not profiled_png


def _imdecode(encoded: Pixels, flags: int) -> Any:
    try:
        # OpenCV's own idea of orientation differs by format; it is applied once, when all is decoded.
        return cv2.imdecode(encoded, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None


def _choose_reduction(header: Header) -> int:
    if header.format != "JPEG" or header.width * header.height <= REDUCE_ABOVE_PIXELS:
        return 1
    return 4 if max(header.width, header.height) >= QUARTER_ABOVE_EDGE_PX else 2


def _decode_with_pillow(image: Image.Image) -> Raster:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    # Alpha is dropped, not blended; left in place, a palette's transparency would make Pillow warn.
    image.info.pop("transparency", None)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int32)
        grey = (np.clip(wide, 0, 0xFFFF) >> 8).astype(np.uint8)
        return Raster(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), grey, turned=True)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    # No copy more than needed: this is where a decode takes the most memory.
    return Raster(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), turned=True)
