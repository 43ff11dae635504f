"""One decode an image: upright, bounded, shared by all detectors.

OpenCV takes what it decodes fast and right: JPEG, PNG, WebP and BMP of one frame. Everything else goes
through Pillow, restricted to the formats below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from services.analyzer.exif import ExifFacts, read_exif
from services.analyzer.picture import Picture, Pixels
from services.runtime.errors import InvalidArgumentError, Reason

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "HEIF", "AVIF")
PREVIEW_EDGE_PX = 1024
# Above this a JPEG's colour is decoded at 1/2 or 1/4 (the decoder skips the work); its luma never is.
REDUCE_ABOVE_PIXELS = 3_000_000
QUARTER_ABOVE_EDGE_PX = 3840

_OPENCV_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "BMP"})
_OPENCV_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I;16"})
_REDUCED_FLAGS = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}
# OpenCV's code of the mirroring that each EXIF orientation needs: 1 left-right, 0 top-bottom, -1 both.
_MIRROR_AXIS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class _Header:
    format: str
    mode: str
    width: int
    height: int
    frames: int
    exif: ExifFacts


@dataclass(frozen=True, slots=True)
class _Raster:
    """Decoded pixels; ``turned`` says that the EXIF orientation is already applied."""

    grey: Pixels
    rgb: Pixels
    reduction: int = 1
    truncated: bool = False
    turned: bool = False


class Decoder:
    """Decodes images of at most ``max_pixels`` pixels (first frame only). Safe to share between threads."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        _register_heif()
        Image.init()
        # Pillow's own guard must not refuse what the operator allows; it is never made tighter for others.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
        self._formats = tuple(name for name in FORMATS if name in Image.OPEN)

    def decode(self, data: bytes) -> Picture:
        """Decode to a Picture.

        Raises InvalidArgumentError with IMAGE_UNDECODABLE (not one of FORMATS, or damaged beyond a partial
        JPEG) or IMAGE_TOO_MANY_PIXELS (judged from the header, before any pixel is decoded).
        """
        header, raster = self._decode(data, full_colour=False)
        orientation = header.exif.orientation
        turn = 1 if raster.turned else orientation
        rgb = _turn_upright(raster.rgb, turn)
        grey = _turn_upright(raster.grey, turn)
        preview = _shrink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if raster.reduction > 1 else grey)
        for pixels in (grey, rgb, preview):
            pixels.setflags(write=False)
        return Picture(
            grey=grey,
            rgb=rgb,
            preview=preview,
            reduction=raster.reduction,
            format=header.format,
            mode=header.mode,
            frames=header.frames,
            orientation=orientation,
            truncated=raster.truncated,
            exif=header.exif,
        )

    def decode_colour(self, data: bytes) -> tuple[Pixels, str]:
        """Decode to a writable upright RGB array at full resolution, and the format; errors as ``decode``."""
        header, raster = self._decode(data, full_colour=True)
        return _turn_upright(raster.rgb, 1 if raster.turned else header.exif.orientation), header.format

    def _decode(self, data: bytes, *, full_colour: bool) -> tuple[_Header, _Raster]:
        try:
            with Image.open(BytesIO(data), formats=self._formats) as image:
                header = _read_header(image)
                self._check_pixels(header.width * header.height)
                raster = _decode_pixels(data, header, image, full_colour=full_colour)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            found = re.search(r"\((\d+) pixels\)", str(error))
            raise self._too_many_pixels(found[1] if found else "unknown") from error
        except InvalidArgumentError:
            raise
        except Exception as error:
            # Pillow and its plugins answer damaged input with almost any type; this is the one place.
            raise _undecodable() from error
        return header, raster

    def _check_pixels(self, pixels: int) -> None:
        if pixels > self._max_pixels:
            raise self._too_many_pixels(pixels)

    def _too_many_pixels(self, pixels: object) -> InvalidArgumentError:
        return InvalidArgumentError(
            Reason.IMAGE_TOO_MANY_PIXELS,
            f"The image has {pixels} pixels, the limit is {self._max_pixels}; scale it down.",
            limit_pixels=self._max_pixels,
            pixels=pixels,
        )


def _undecodable() -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_UNDECODABLE,
        "The bytes do not decode; send a complete JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF image.",
    )


def _register_heif() -> None:
    try:
        import pillow_heif  # noqa: PLC0415 - HEIC needs this plugin, the other formats do not
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _read_header(image: Image.Image) -> _Header:
    # A phone's MPO is a JPEG with a second picture behind it.
    kind = "JPEG" if image.format == "MPO" else image.format or ""
    frames = 1 if kind == "JPEG" else int(getattr(image, "n_frames", 1))
    return _Header(kind, image.mode, image.width, image.height, frames, read_exif(image))


def _decode_pixels(data: bytes, header: _Header, image: Image.Image, *, full_colour: bool) -> _Raster:
    raster = None
    if _suits_opencv(header, image):
        raster = _decode_with_opencv(data, header, full_colour=full_colour)
    if raster is not None:
        return raster
    try:
        return _decode_with_pillow(image)
    except OSError:
        if header.format != "JPEG":
            raise
        # A JPEG cut short lacks its end marker; with one, the decoder returns the part that is there.
        raster = _decode_with_opencv(data + _END_OF_JPEG, header, full_colour=full_colour, truncated=True)
        if raster is None:
            raise
        return raster


def _suits_opencv(header: _Header, image: Image.Image) -> bool:
    # libpng prints a line to stderr for each of the many PNGs whose colour profile it dislikes.
    profiled_png = header.format == "PNG" and "icc_profile" in image.info
    # OpenCV takes another frame of an animation for the first than browsers and Pillow do.
    known = header.format in _OPENCV_FORMATS and header.mode in _OPENCV_MODES
    return known and header.frames == 1 and not profiled_png


def _decode_with_opencv(
    data: bytes, header: _Header, *, full_colour: bool, truncated: bool = False
) -> _Raster | None:
    encoded = np.frombuffer(data, np.uint8)
    reduction = 1 if full_colour else _choose_reduction(header)
    colour = _imdecode(encoded, _REDUCED_FLAGS[reduction])
    if colour is None or colour.shape[:2] != (-(-header.height // reduction), -(-header.width // reduction)):
        return None
    if reduction == 1:
        grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    else:
        grey = _imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        if grey is None or grey.shape != (header.height, header.width):
            return None
    return _Raster(grey, cv2.cvtColor(colour, cv2.COLOR_BGR2RGB), reduction, truncated)


def _imdecode(encoded: Pixels, flags: int) -> Any:
    # OpenCV's own idea of orientation differs by format; it is applied once, by _turn_upright.
    return cv2.imdecode(encoded, flags | cv2.IMREAD_IGNORE_ORIENTATION)


def _choose_reduction(header: _Header) -> int:
    if header.format != "JPEG" or header.width * header.height <= REDUCE_ABOVE_PIXELS:
        return 1
    return 4 if max(header.width, header.height) >= QUARTER_ABOVE_EDGE_PX else 2


def _decode_with_pillow(image: Image.Image) -> _Raster:
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    # Alpha is dropped, not blended; left in place, a palette's transparency would make Pillow warn.
    image.info.pop("transparency", None)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        grey = (np.clip(wide, 0, 0xFFFF) >> 8).astype(np.uint8)
        return _Raster(grey, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), turned=True)
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    rgb = np.array(image.convert("RGB"))
    return _Raster(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), rgb, turned=True)


def _turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply EXIF orientation 1..8: transpose, then mirror."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    mirror = _MIRROR_AXIS.get(orientation)
    return pixels if mirror is None else cv2.flip(pixels, mirror)


def _shrink(grey: Pixels) -> Pixels:
    """Average down to PREVIEW_EDGE_PX: first by a whole factor, which OpenCV does many times faster."""
    height, width = grey.shape
    factor = max(height, width) // PREVIEW_EDGE_PX
    if factor >= 2:
        size = (max(1, width // factor), max(1, height // factor))
        grey = cv2.resize(grey[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
    scale = PREVIEW_EDGE_PX / max(grey.shape)
    if scale >= 1:
        return grey
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
