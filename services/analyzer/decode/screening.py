"""Which files may be decoded in the service's own process: those whose cost their first bytes bound.

Plain is a still JPEG, PNG, WebP or BMP that OpenCV decodes in time linear in its pixels, with little
metadata beside. A file that is odd in any way is not plain: it is no worse for that, only a child process
decodes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

MAX_CHUNKS = 10_000
MAX_METADATA_BYTES = 1 << 20
# Pillow copies the value of each tag, and the values of all tags may be the same bytes.
MAX_EXIF_BYTES, MAX_TAGS = 1 << 16, 200
# A decode in this process can't be broken off, and whoever gives up on a call is to have the core back within
# a second: half a second is what the ten scans of a progressive JPEG of 25 megapixels take, or a PNG of 16.
MAX_SCANNED_PIXELS = 250_000_000
MAX_PACKED_PIXELS = 16_000_000

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# No animation, no compressed text; a colour profile makes libpng write to standard error.
_PNG_CHUNKS = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA sRGB cHRM pHYs bKGD tIME sBIT hIST tEXt eXIf".split())
_SOI, _SOS, _APP1, _APP2 = 0xD8, 0xDA, 0xE1, 0xE2
_PROGRESSIVE = 0xC2
_SIMPLE_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)
_OTHER_FRAMES = frozenset({*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC})
_EXIF_HEAD = b"Exif\0\0"
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_BMP_RGB, _BMP_BIT_FIELDS = 0, 3


def is_plain(data: bytes) -> bool:
    """Whether this process may decode the image. Reads some hundred bytes, and a progressive JPEG once."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _is_plain_jpeg(data)
        if data.startswith(_PNG_MAGIC):
            width, height = struct.unpack_from(">II", data, 16)
            return width * height <= MAX_PACKED_PIXELS and _is_plain_png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _is_plain_webp(data)
        if data.startswith(b"BM"):
            header_bytes, compression = struct.unpack_from("<I12xI", data, 14)
            return header_bytes >= 40 and compression in {_BMP_RGB, _BMP_BIT_FIELDS}
    except (struct.error, IndexError):
        return False
    return False


def _is_plain_jpeg(data: bytes) -> bool:
    frames: list[tuple[int, bytes]] = []
    exifs = 0
    for kind, body, at in _walk_jpeg(data):
        if kind == _SOS:
            return len(frames) == 1 and exifs <= 1 and _is_light(data, at, *frames[0], scan=body)
        if kind in _OTHER_FRAMES:
            break
        if kind in _SIMPLE_FRAMES:
            frames.append((kind, body))
        exif = body if kind == _APP1 and body.startswith(_EXIF_HEAD) else b""
        exifs += bool(exif)
        pictures = body[4:] if kind == _APP2 and body.startswith(b"MPF\0") else b""
        if any(tags and not _is_plain_exif(tags) for tags in (exif, pictures)):
            break
    return False


def _walk_jpeg(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Kind, body and position of each segment up to the pixels."""
    at = 2
    while at < MAX_METADATA_BYTES:
        mark, kind, size = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF or size < 2:
            return
        yield kind, data[at + 4 : at + 2 + size], at
        at += 2 + size


def _is_light(data: bytes, at: int, kind: int, frame: bytes, *, scan: bytes) -> bool:
    """Whether the scans from ``at`` on visit few pixels; CMYK is Pillow's."""
    height, width, components = struct.unpack_from(">xHHB", frame)
    pixels = int(width * height)
    if not pixels or components > 3:
        return False
    # A sequential scan of all components is the last one that a decoder reads.
    only_scan = bool(kind != _PROGRESSIVE and scan[0] == components)
    return only_scan or pixels * data.count(b"\xff\xda", at) <= MAX_SCANNED_PIXELS


def _is_plain_png(data: bytes) -> bool:
    metadata_bytes = 0
    for kind, body_at, size in _walk(data, 8, ">I4s", 4):
        if kind not in _PNG_CHUNKS:
            return False
        if kind == b"IDAT":
            continue
        metadata_bytes += size
        if metadata_bytes > MAX_METADATA_BYTES:
            return False
        if kind == b"eXIf" and not _is_plain_exif(data[body_at : body_at + size]):
            return False
        if kind == b"tEXt" and data.startswith(b"Raw profile", body_at):  # EXIF in hexadecimal
            return False
        if kind == b"IEND":
            return True
    return False


def _is_plain_webp(data: bytes) -> bool:
    for kind, body_at, size in _walk(data, 12, "<4sI", 0):
        if kind in {b"ANIM", b"ANMF"}:
            return False
        if kind in {b"VP8 ", b"VP8L"} and _count_webp_pixels(data, kind, body_at) > MAX_PACKED_PIXELS:
            return False
        if kind == b"EXIF" and not _is_plain_exif(data[body_at : body_at + size]):
            return False
        if kind not in {b"VP8 ", b"VP8L"} and size > MAX_METADATA_BYTES:
            return False
    return True


def _count_webp_pixels(data: bytes, kind: bytes, body_at: int) -> int:
    if kind == b"VP8 ":  # after a frame tag of three bytes and three of magic
        width, height = struct.unpack_from("<HH", data, body_at + 6)
        return int((width & 0x3FFF) * (height & 0x3FFF))
    (bits,) = struct.unpack_from("<I", data, body_at + 1)
    return int(((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))


def _walk(data: bytes, at: int, head: str, tail_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, position and size of each chunk; IndexError where there are too many or one is cut short."""
    for _ in range(MAX_CHUNKS):
        if at >= len(data):
            return
        first, second = struct.unpack_from(head, data, at)
        kind, size = (second, first) if head.startswith(">") else (first, second)
        yield kind, at + 8, size
        at += 8 + size + tail_bytes
        if not tail_bytes:  # RIFF pads to even addresses
            at += size & 1
        if at > len(data):
            break
    raise IndexError("no end of the chunks")


def _is_plain_exif(blob: bytes) -> bool:
    """Whether the three directories that are read have few tags."""
    tiff = blob.removeprefix(_EXIF_HEAD)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) > MAX_EXIF_BYTES:
        return False
    (first_at,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first_at)
    if count > MAX_TAGS:
        return False
    for entry_at in range(first_at + 2, first_at + 2 + 12 * count, 12):
        tag, value = struct.unpack_from(order + "H6xI", tiff, entry_at)
        if tag in {_EXIF_IFD, _GPS_IFD} and struct.unpack_from(order + "H", tiff, value)[0] > MAX_TAGS:
            return False
    return True
