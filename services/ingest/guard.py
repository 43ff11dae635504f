"""Decides whether bytes are an image that the suite will look at. Trusts no name and no declared type.

Order of the tests: bytes are limited while they are read; the format is sniffed from the first bytes; size
and frames are judged from the header alone; only then are pixels decoded. Small plain images are decoded in
this process, in milliseconds; all others in a child process, within a deadline and a memory limit.
"""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageSequence
from prometheus_client import CollectorRegistry

from services.ingest.gif_frames import count_gif_frames
from services.runtime.child_processes import (
    ChildDiedError,
    ChildProcesses,
    ChildrenBusyError,
    JobOutOfMemoryError,
    JobTimedOutError,
)
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError, ServiceError

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
# To search more than this costs as much as to send it to a child process.
MAX_PLAIN_BYTES = 1 << 20
# What makes a file more than plain: metadata that Pillow parses or unpacks, and frames.
_NOT_PLAIN = {
    "JPEG": (b"Exif\0\0", b"MPF\0"),
    "PNG": (b"eXIf", b"acTL", b"iCCP", b"zTXt", b"iTXt", b"Raw profile"),
    "WEBP": (b"VP8X",),
    "BMP": (),
}
_START_OF_SCAN = b"\xff\xda"
# Run-length codes are Pillow's, byte by byte in Python.
_BMP_UNPACKED = {bytes(4), b"\3\0\0\0"}
_END_OF_JPEG = b"\xff\xd9"
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows: pixels of one frame and of all frames together, and a child process."""

    max_pixels: int
    max_total_pixels: int
    decode_timeout_s: float = 4.0
    decode_memory_mb: int = 1_024


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
    pillow_heif.register_heif_opener()
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.init()
    # The guard judges pixels itself, and exactly. This stops what Pillow allocates while it opens a file:
    # a GIF makes the picture of its first frame then.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels


def open_guard_children(
    limits: Limits, size: int, registry: CollectorRegistry | None = None
) -> ChildProcesses:
    """At most ``size`` processes for ``inspect`` with the same limits."""
    return ChildProcesses(
        "guard", size, memory_mb=limits.decode_memory_mb, prepare=partial(prepare, limits), registry=registry
    )


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


def inspect(
    data: bytes,
    limits: Limits,
    children: ChildProcesses | None = None,
    cancelled: threading.Event | None = None,
) -> Inspection:
    """Judges and verifies one image; blocks, so call it in a thread.

    Without ``children`` everything is decoded in this process, where neither time nor memory is bounded.
    Raises InvalidArgumentError with IMAGE_EMPTY, IMAGE_FORMAT_UNSUPPORTED, IMAGE_TOO_MANY_PIXELS,
    IMAGE_DECODE_TIMEOUT or IMAGE_UNDECODABLE, and ResourceExhaustedError (OVERLOADED). Once ``cancelled`` is
    set a child's work ends, and nobody is to look at the answer.
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
        if children is None or _is_plain(data, name):
            return _inspect_here(data, name, limits)
        return children.call(
            _inspect_here, data, name, limits, timeout_s=limits.decode_timeout_s, cancelled=cancelled
        )
    except JobTimedOutError as error:
        raise decode_timeout(limits.decode_timeout_s) from error
    except (MemoryError, JobOutOfMemoryError) as error:
        raise _too_much_memory(limits.decode_memory_mb) from error
    except ChildrenBusyError as error:
        raise decoders_busy() from error
    except ChildDiedError as error:
        raise _undecodable(name) from error


def _is_plain(data: bytes, name: str) -> bool:
    if (
        name not in _NOT_PLAIN
        or len(data) > MAX_PLAIN_BYTES
        or any(mark in data for mark in _NOT_PLAIN[name])
    ):
        return False
    if name == "JPEG":  # each further scan visits every pixel again
        return data.count(_START_OF_SCAN) == 1
    return name != "BMP" or data[30:34] in _BMP_UNPACKED


def _inspect_here(data: bytes, name: str, limits: Limits) -> Inspection:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _inspect(data, name, limits)
    except (ServiceError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels("far too many", limits.max_pixels, 2 * limits.max_pixels) from None
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


def _too_much_memory(limit_mb: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.IMAGE_UNDECODABLE,
        f"Decoding the image takes more than {limit_mb} MB of memory; scale it down.",
        limit_memory_mb=limit_mb,
    )


def decode_timeout(timeout_s: float) -> InvalidArgumentError:
    """The refusal of what takes too long to decode."""
    return InvalidArgumentError(
        Reason.IMAGE_DECODE_TIMEOUT,
        f"Decoding the image took longer than {timeout_s:g} seconds.",
        limit_seconds=f"{timeout_s:g}",
    )


def decoders_busy() -> ResourceExhaustedError:
    """The answer when no decoder becomes free in time, which is no fault of the image."""
    return ResourceExhaustedError(
        Reason.OVERLOADED,
        "All decoders are busy with other images; come back in a moment.",
        retry_after_s=2.0,
    )
