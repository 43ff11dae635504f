"""Image files that the tests make themselves: good ones of every format, and bombs."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image, TiffImagePlugin
from pillow_heif import register_heif_opener

register_heif_opener()

WIDTH, HEIGHT = 48, 32


def picture(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A gradient: no two rows alike, so that damage shows."""
    width, height = size
    gradient = Image.linear_gradient("L").resize((width, height))
    if mode in {"I;16", "I"}:
        return gradient.convert("I").point(lambda value: value * 257).convert(mode)
    if mode in {"CMYK", "RGBA", "LA", "P", "1"}:
        colour = gradient.convert("RGB")
        if mode in {"RGBA", "LA"}:
            colour.putalpha(gradient)
        return colour.convert(mode)
    return gradient.convert(mode)


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def turned(format_: str, orientation: int, **options: Any) -> bytes:
    """A file that says in its EXIF how it lies."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(), format_, exif=exif.tobytes(), **options)


def _frames(count: int) -> list[Image.Image]:
    return [picture().rotate(90 * turn) for turn in range(count)]


def _animated(format_: str, count: int) -> bytes:
    first, *rest = _frames(count)
    return encode(first, format_, save_all=True, append_images=rest)


# name -> (maker, sniffed format, frames, mode)
GOOD: dict[str, tuple[Callable[[], bytes], str, int, str]] = {
    "jpeg": (lambda: encode(picture(), "JPEG"), "JPEG", 1, "RGB"),
    "jpeg-progressive": (lambda: encode(picture(), "JPEG", progressive=True), "JPEG", 1, "RGB"),
    "jpeg-cmyk": (lambda: encode(picture("CMYK"), "JPEG"), "JPEG", 1, "CMYK"),
    "jpeg-grey": (lambda: encode(picture("L"), "JPEG"), "JPEG", 1, "L"),
    "mpo": (lambda: _animated("MPO", 2), "JPEG", 1, "RGB"),
    "png": (lambda: encode(picture(), "PNG"), "PNG", 1, "RGB"),
    "png-alpha": (lambda: encode(picture("RGBA"), "PNG"), "PNG", 1, "RGBA"),
    "png-grey-alpha": (lambda: encode(picture("LA"), "PNG"), "PNG", 1, "LA"),
    "png-palette": (lambda: encode(picture("P"), "PNG"), "PNG", 1, "P"),
    "png-1-bit": (lambda: encode(picture("1"), "PNG"), "PNG", 1, "1"),
    "png-16-bit": (lambda: encode(picture("I;16"), "PNG"), "PNG", 1, "I;16"),
    "png-16-bit-colour": (lambda: png(WIDTH, HEIGHT, bit_depth=16, color_type=2), "PNG", 1, "RGB"),
    "apng": (lambda: _animated("PNG", 3), "PNG", 3, "RGB"),
    "webp": (lambda: encode(picture(), "WEBP"), "WEBP", 1, "RGB"),
    "webp-lossless-alpha": (lambda: encode(picture("RGBA"), "WEBP", lossless=True), "WEBP", 1, "RGBA"),
    "webp-animated": (lambda: _animated("WEBP", 3), "WEBP", 3, "RGB"),
    "gif": (lambda: encode(picture("P"), "GIF"), "GIF", 1, "P"),
    "gif-animated": (lambda: _animated("GIF", 3), "GIF", 3, "P"),
    "bmp": (lambda: encode(picture(), "BMP"), "BMP", 1, "RGB"),
    "bmp-palette": (lambda: encode(picture("P"), "BMP"), "BMP", 1, "P"),
    "tiff": (lambda: encode(picture(), "TIFF"), "TIFF", 1, "RGB"),
    "tiff-big-endian": (lambda: encode(picture("I;16"), "TIFF"), "TIFF", 1, "I;16"),
    "tiff-lzw": (lambda: encode(picture(), "TIFF", compression="tiff_lzw"), "TIFF", 1, "RGB"),
    "tiff-fax": (lambda: encode(picture("1"), "TIFF", compression="group4"), "TIFF", 1, "1"),
    "tiff-pages": (lambda: _animated("TIFF", 3), "TIFF", 3, "RGB"),
    "heic": (lambda: encode(picture(), "HEIF"), "HEIC", 1, "RGB"),
    "avif": (lambda: encode(picture(), "AVIF"), "AVIF", 1, "RGB"),
    "avif-animated": (lambda: _animated("AVIF", 3), "AVIF", 3, "RGB"),
}


@functools.cache
def good(name: str) -> bytes:
    """One of the good files."""
    return GOOD[name][0]()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    *,
    bit_depth: int = 8,
    color_type: int = 0,
    before: bytes = b"",
    exif: bytes = b"",
) -> bytes:
    """A valid PNG of zeros; ``before`` are chunks before the pixels, ``exif`` comes after them."""
    channels = {0: 1, 2: 3, 6: 4}[color_type]
    row_bytes = 1 + (width * channels * bit_depth + 7) // 8
    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    after = png_chunk(b"eXIf", exif) if exif else b""
    pixels = zeros(row_bytes * height)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", pixels)
        + after
        + png_chunk(b"IEND", b"")
    )


def zeros(count: int) -> bytes:
    """A zlib stream of so many zero bytes; made in no time however many they are."""
    block_bytes = 1 << 20
    compressor = zlib.compressobj(9)
    head = compressor.compress(bytes(block_bytes)) + compressor.flush(zlib.Z_FULL_FLUSH)
    block = compressor.compress(bytes(block_bytes)) + compressor.flush(zlib.Z_FULL_FLUSH)
    whole, rest = divmod(count, block_bytes)
    tail = zlib.compressobj(9, wbits=-15)
    end = tail.compress(bytes(rest)) + tail.flush()
    # Adler-32 of n zeros: 1 in the low half, n in the high one.
    checksum = struct.pack(">HH", count % 65_521, 1)
    return (head + block * (whole - 1) if whole else head[:2]) + end + checksum


def gif(screen: tuple[int, int], frames: list[tuple[int, int]], disposal: int = 0) -> bytes:
    """A GIF of frames of any announced size, with hardly any data."""
    control = b"\x21\xf9\x04" + bytes([disposal << 2, 0, 0, 0, 0])
    parts = [b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"]
    for width, height in frames:
        parts += [control, b",", struct.pack("<HHHHB", 0, 0, width, height, 0), b"\x02\x02\x44\x01\x00"]
    return b"".join(parts) + b";"


def jpeg_that_lies(width: int, height: int) -> bytes:
    """A small JPEG whose frame header announces another size."""
    file = bytearray(good("jpeg"))
    at = file.index(b"\xff\xc0")
    file[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(file)


def jpeg_with_repeated_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = encode(picture(size=(256, 256)), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * count + file[-2:]


def bmp_that_lies(width: int, height: int) -> bytes:
    """A small BMP whose header announces another size."""
    file = bytearray(good("bmp"))
    file[18:26] = struct.pack("<ii", width, height)
    return bytes(file)


def tiff_that_lies(
    *tags: tuple[int, int], strip: bytes = bytes(100), compression: int = 1, strip_rows: int = 30_000
) -> bytes:
    """A grey TIFF of one strip with these size tags, repeated ones included."""
    fixed = [(258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, strip_rows), (279, len(strip))]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, *fixed]]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\x00" + struct.pack("<I", 8 + len(strip)) + strip + directory


def tiff_pages(count: int) -> bytes:
    """As many pages of one pixel."""
    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for _ in range(count):
            Image.new("L", (1, 1)).save(writer, "TIFF")
            writer.newFrame()
    return file.getvalue()


def webp_that_lies(width: int, height: int) -> bytes:
    """A small lossless WebP whose header announces another size."""
    file = bytearray(encode(picture(), "WEBP", lossless=True))
    at = file.index(b"VP8L") + 9
    bits = (width - 1) | (height - 1) << 14
    file[at : at + 4] = struct.pack("<I", bits)
    return bytes(file)


def boxed_that_lies(name: str, width: int, height: int) -> bytes:
    """A small HEIC or AVIF whose size property announces another size."""
    file = bytearray(good(name))
    at = file.index(b"ispe") + 8
    file[at : at + 8] = struct.pack(">II", width, height)
    return bytes(file)
