"""Decides whether bytes are an image that the suite will look at. Trusts no name and no declared type.

Order of the tests: bytes are limited while they are read; the format is sniffed from the first bytes; size
and frames are judged from the header alone; only then are pixels decoded, within a deadline.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageSequence
from pillow_heif import register_heif_opener

from services.ingest.gif_frames import count_gif_frames
from services.runtime.errors import InvalidArgumentError, Reason, ServiceError

# Sniffed names and the Pillow plug-ins that may open them. Nothing else is ever opened: some of Pillow's
# other formats take hundreds of megabytes on a crafted file.
PLUGINS = {
    "JPEG": ("JPEG", "MPO"),
    "PNG": ("PNG",),
    "WEBP": ("WEBP",),
    "GIF": ("GIF",),
    "BMP": ("BMP", "DIB"),
    "TIFF": ("TIFF",),
    "HEIC": ("HEIF",),
    "AVIF": ("AVIF",),
}
ORIENTATION_TAG = 0x0112
# More frames are no picture, and walking over millions of tiny ones would keep a decoder for minutes.
MAX_FRAMES = 10_000
_END_OF_JPEG = b"\xff\xd9"
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows: pixels of one frame, and of all frames together."""

    max_pixels: int
    max_total_pixels: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the bytes are. ``width`` and ``height`` are of the upright image, in pixels."""

    format: str
    width: int
    height: int
    frame_count: int
    color_mode: str


def prepare(limits: Limits) -> None:
    """Readies the decoders of this process; call once, at start."""
    cv2.setNumThreads(1)
    # What is wrong with an image goes to its uploader; OpenCV would write it to standard error, too.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    register_heif_opener()
    Image.init()
    # The guard judges pixels itself, and exactly. This stops what Pillow allocates while it opens a file:
    # a GIF makes the picture of its first frame then.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels


def sniff(head: bytes) -> str | None:
    """The format of an image by its first 32 bytes, or None."""
    for magic, name in (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"BM", "BMP"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00*", "TIFF"),
    ):
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), 32), 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return None


def inspect(data: bytes, limits: Limits) -> Inspection:
    """Judges and verifies one image; runs in a thread and releases the GIL while it decodes.

    Raises InvalidArgumentError with IMAGE_EMPTY, IMAGE_FORMAT_UNSUPPORTED, IMAGE_TOO_MANY_PIXELS or
    IMAGE_UNDECODABLE.
    """
    if not data:
        raise InvalidArgumentError(Reason.IMAGE_EMPTY, "The image has no bytes.")
    name = sniff(data[:32])
    if name is None:
        supported = ", ".join(PLUGINS)
        raise InvalidArgumentError(
            Reason.IMAGE_FORMAT_UNSUPPORTED,
            f"The bytes are of none of the supported formats: {supported}.",
            supported=supported,
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _inspect(data, name, limits)
    except ServiceError:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels("far too many", limits.max_pixels, 2 * limits.max_pixels) from None
    except MemoryError:
        raise _undecodable(name) from None
    except Exception as error:  # decoders raise anything, TypeError included, on crafted bytes
        raise _undecodable(name) from error


def _inspect(data: bytes, name: str, limits: Limits) -> Inspection:
    with Image.open(io.BytesIO(data), formats=PLUGINS[name]) as header:
        frame_count = _judge(data, header, limits)
        color_mode = header.mode
        if not _opencv_decodes(data, name):
            header.load()
        # After the pixels: Pillow decodes a PNG to find out its orientation, and forgives no second try.
        return Inspection(name, *_upright_size(header), frame_count, color_mode)


def _judge(data: bytes, header: Image.Image, limits: Limits) -> int:
    """Refuses by pixels from the header alone; returns the number of frames."""
    pixels = header.width * header.height
    if pixels == 0:
        raise _undecodable(header.format or "image")
    if pixels > limits.max_pixels:
        raise _too_many_pixels(f"{header.width} x {header.height}", limits.max_pixels, pixels)
    allowed_frames = min(limits.max_total_pixels // pixels, MAX_FRAMES)
    frame_count = _count_frames(data, header, allowed_frames + 1)
    if frame_count > allowed_frames:
        raise _too_many_pixels(
            f"more than {allowed_frames} frames of {header.width} x {header.height}",
            limits.max_total_pixels,
            frame_count * pixels,
        )
    return frame_count


def _count_frames(data: bytes, header: Image.Image, enough: int) -> int:
    if header.format in {"PNG", "WEBP", "HEIF", "AVIF"}:  # told by the header
        return int(getattr(header, "n_frames", 1))
    if header.format == "GIF":  # Pillow would decode them all
        return max(count_gif_frames(data, enough), 1)
    if header.format != "TIFF":
        return 1
    count = 0
    for _ in ImageSequence.Iterator(header):
        count += 1
        if count >= enough:
            break
    header.seek(0)
    return max(count, 1)


def _upright_size(header: Image.Image) -> tuple[int, int]:
    try:
        turned = header.getexif().get(ORIENTATION_TAG, 1) in {5, 6, 7, 8}
    except Exception:  # noqa: BLE001  damaged EXIF raises anything, and makes no picture worse
        turned = False
    return (header.height, header.width) if turned else (header.width, header.height)


def _opencv_decodes(data: bytes, name: str) -> bool:
    """Decodes what OpenCV is fast at. Nothing is drawn: the question is only whether it can be.

    A JPEG is decoded at an eighth of its size: all bytes are read, few pixels made. PNG is Pillow's, which
    decodes it for its orientation anyway, and so is TIFF: where a file has two sizes OpenCV takes the one
    that nobody judged.
    """
    if name == "JPEG":
        flags = cv2.IMREAD_REDUCED_GRAYSCALE_8
        # A photo that was cut off lacks its end marker; with one, the decoder gives the part that is there.
        return _imdecode(data, flags) or _imdecode(data + _END_OF_JPEG, flags)
    return name in {"WEBP", "BMP"} and _imdecode(data, cv2.IMREAD_UNCHANGED)


def _imdecode(data: bytes, flags: int) -> bool:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags) is not None
    except cv2.error:
        return False


def _undecodable(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_UNDECODABLE,
        f"The bytes look like {name} but do not decode; the file is damaged or incomplete.",
    )


def _too_many_pixels(found: str, limit: int, pixels: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_TOO_MANY_PIXELS,
        f"The image has {found} pixels; at most {limit} pixels and {MAX_FRAMES} frames are allowed.",
        limit_pixels=limit,
        pixels=pixels,
    )
