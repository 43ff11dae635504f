"""Files that would take a decoder down: the maker of each, and what it is to be called."""

from __future__ import annotations

import struct
from collections.abc import Callable

import cv2
import numpy as np

from tests.unit.ingest import pictures

MP = 1_000_000


def exif_of_many_tags(count: int) -> bytes:
    """Each tag's value is the whole of the rest: Pillow would copy it ``count`` times."""
    size_bytes = 12 * count
    entries = b"".join(struct.pack("<HHII", tag, 7, size_bytes, 8) for tag in range(0x200, 0x200 + count))
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4)


def jpeg_with_exif(count: int) -> bytes:
    """The tags in as many segments as they need; Pillow joins them."""
    exif = exif_of_many_tags(count)
    parts = [exif[6:][at : at + 65_000] for at in range(0, len(exif) - 6, 65_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 8) + exif[:6] + part for part in parts]
    plain = pictures.encode(pictures.picture(), "JPEG")
    head = plain[:2]
    return head + b"".join(segments) + plain[2 + 2 + 16 :]  # without the JFIF segment, so that EXIF is asked


def jpeg_of_scans(edge_px: int, count: int) -> bytes:
    """A progressive JPEG of real size, its last scan again and again: minutes of work in a megabyte."""
    grey = np.zeros((edge_px, edge_px), np.uint8)
    file = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * count + file[-2:]


def bmp_run_length(edge_px: int) -> bytes:
    """Run-length codes of one pixel each, which Pillow reads in Python."""
    codes = b"\1\0" * (edge_px * edge_px)
    head = struct.pack("<IiiHHIIiiII", 40, edge_px, edge_px, 1, 8, 1, len(codes), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1_078 + len(codes), 0, 0, 1_078) + head + bytes(1_024) + codes


def tiff_of_pages(count: int) -> bytes:
    """Directories of one tag each, one behind the other; the first is a picture of a pixel."""
    size = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in size)
    first = struct.pack("<H", len(size)) + entries
    at, page_bytes = 16 + len(first) + 4, 18
    page = struct.pack("<HHHII", 1, 256, 4, 1, 1)
    pages = b"".join(page + struct.pack("<I", at + page_bytes * (i + 1)) for i in range(count))
    return b"II*\0" + struct.pack("<I", 16) + bytes(8) + first + struct.pack("<I", at) + pages + bytes(18)


def tiff(width: int, height: int, **options: int) -> bytes:
    return pictures.tiff_that_lies((256, width), (257, height), strip_rows=height, **options)  # type: ignore[arg-type]


def text_bomb(kind: bytes, head: bytes) -> bytes:
    return pictures.png(8, 8, before=pictures.png_chunk(kind, head + pictures.zeros(200 * MP)))


# Each is refused, whatever for: many break more than one rule.
REFUSED: dict[str, Callable[[], bytes]] = {
    "png-20000": lambda: pictures.png(20_000, 20_000),
    "png-12000-16-bit-alpha": lambda: pictures.png(12_000, 12_000, bit_depth=16, color_type=6),
    "png-30000-1-bit": lambda: pictures.png(30_000, 30_000, bit_depth=1),
    "png-zTXt": lambda: text_bomb(b"zTXt", b"Comment\0\0"),
    "png-iCCP": lambda: text_bomb(b"iCCP", b"icc\0\0"),
    "jpeg-256-mp": lambda: jpeg_of_size(16_000, 16_000, progressive=False),
    "jpeg-100-mp-progressive": lambda: jpeg_of_size(10_000, 10_000, progressive=True),
    "jpeg-that-lies": lambda: pictures.jpeg_that_lies(65_500, 65_500),
    "webp-16383": lambda: pictures.webp_that_lies(16_383, 16_383),
    "tiff-deflate-400-mp": lambda: pictures.tiff_that_lies(
        (256, 20_000), (257, 20_000), strip=pictures.zeros(400 * MP), compression=8
    ),
    "tiff-fax-3600-mp": lambda: tiff(60_000, 60_000, compression=4),
    "gif-60-frames": lambda: pictures.gif((4_000, 4_000), [(4_000, 4_000)] * 60),
    "gif-canvas": lambda: pictures.gif((65_535, 65_535), [(1, 1)]),
    "gif-frame-beyond-canvas": lambda: pictures.gif((1, 1), [(65_535, 65_535)]),
    "bmp-that-lies": lambda: pictures.bmp_that_lies(60_000, 60_000),
    "avif-144-mp": lambda: pictures.boxed_that_lies("avif", 12_000, 12_000),
    "heic-144-mp": lambda: pictures.boxed_that_lies("heic", 12_000, 12_000),
    "jpeg-scans": lambda: jpeg_of_scans(7_000, 2_000),
}

# Each is answered one way or the other.
ANSWERED: dict[str, Callable[[], bytes]] = {
    "jpeg-that-lies-a-little": lambda: pictures.jpeg_that_lies(7_000, 7_000),
    "jpeg-400-scans": lambda: pictures.jpeg_with_repeated_scans(400),
    "jpeg-many-tags": lambda: jpeg_with_exif(40_000),
    "jpeg-tags-of-one-segment": lambda: jpeg_with_exif(5_000),
    "png-many-tags": lambda: pictures.png(8, 8, exif=exif_of_many_tags(20_000)[6:]),
    "png-48-mp-16-bit-alpha": lambda: pictures.png(6_900, 6_900, bit_depth=16, color_type=6),
    "webp-7000": lambda: pictures.webp_that_lies(7_000, 7_000),
    "tiff-deflate-49-mp": lambda: pictures.tiff_that_lies(
        (256, 7_000), (257, 7_000), strip=pictures.zeros(49 * MP), compression=8
    ),
    "tiff-many-pages": lambda: tiff_of_pages(200_000),
    "bmp-run-length": lambda: bmp_run_length(5_000),
    "gif-9999-frames": lambda: pictures.gif((1, 1), [(1, 1)] * 9_999),
    "gif-later-frames-beyond-canvas": lambda: pictures.gif((1, 1), [(1, 1)] + [(60_000, 60_000)] * 3),
}


def jpeg_of_size(width: int, height: int, *, progressive: bool) -> bytes:
    """A file that is as large as it says, and small."""
    options = (cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive))
    return cv2.imencode(".jpg", np.zeros((height, width), np.uint8), options)[1].tobytes()
