"""One decode for every format: upright, bounded, honest about what is damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from services.analyzer.decode import PREVIEW_EDGE_PX, DecodeLimits, Decoder
from services.runtime.errors import InvalidArgumentError, Reason

Encode = Callable[..., bytes]
Photo = Callable[[str], bytes]

CORNERS = np.zeros((40, 60, 3), np.uint8)
CORNERS[:20, :30], CORNERS[:20, 30:], CORNERS[20:, :30], CORNERS[20:, 30:] = (
    (255, 0, 0), (0, 255, 0), (0, 0, 255), (240, 240, 240),
)  # fmt: skip
# How a camera stores the picture above so that the tag turns it upright again.
STORED_AS = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
}  # fmt: skip


def tag(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_upright(
    decoder: Decoder, encode: Encode, orientation: int, kind: str
) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](CORNERS)))
    quality = {} if kind == "TIFF" else {"quality": 95}
    if kind == "HEIF":
        # Its container turns the picture and overrules the tag; pillow-heif writes that from the info.
        stored.info["exif"] = tag(orientation).tobytes()
        picture = decoder.decode(encode(stored, kind, **quality))
    else:
        picture = decoder.decode(encode(stored, kind, exif=tag(orientation), **quality))
    assert (picture.width, picture.height) == (60, 40)
    assert picture.rgb.shape == (40, 60, 3)
    assert np.abs(picture.rgb[5::10, 5::10].astype(int) - CORNERS[5::10, 5::10]).max() < 40


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "L", {}), ("PNG", "LA", {}), ("PNG", "P", {}),
        ("PNG", "1", {}), ("PNG", "RGB", {"save_all": True, "append_images": "frames"}),
        ("JPEG", "RGB", {"quality": 95}), ("JPEG", "CMYK", {"quality": 95}), ("JPEG", "L", {}),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}), ("BMP", "RGB", {}), ("BMP", "P", {}),
        ("WEBP", "RGBA", {"lossless": True}), ("WEBP", "RGB", {"save_all": True, "append_images": "frames"}),
        ("GIF", "P", {}), ("GIF", "RGB", {"save_all": True, "append_images": "frames"}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "CMYK", {}), ("TIFF", "RGBA", {}),
        ("AVIF", "RGB", {"quality": 95}), ("HEIF", "RGB", {"quality": 95}),
    ],
)  # fmt: skip
def test_every_format_and_mode_gives_its_colours(
    decoder: Decoder, encode: Encode, kind: str, mode: str, options: dict[str, object]
) -> None:
    source = Image.fromarray(CORNERS)
    if mode in ("RGBA", "LA"):
        source.putalpha(Image.new("L", source.size, 90))
    several = "append_images" in options
    if several:
        options = {**options, "append_images": [Image.new("RGB", source.size, "black")]}
    picture = decoder.decode(encode(source.convert(mode), kind, **options))
    assert (picture.format, picture.frames) == (kind, 2 if several else 1)
    expected = np.asarray(source.convert("RGB").convert(mode).convert("RGB"))
    tolerance = 60 if kind in ("WEBP", "AVIF", "HEIF") else 12
    assert np.abs(picture.rgb[5::10, 5::10].astype(int) - expected[5::10, 5::10]).max() <= tolerance
    grey = cv2.cvtColor(np.asarray(picture.rgb), cv2.COLOR_RGB2GRAY).astype(int)
    assert np.abs(picture.grey - grey).max() <= 1


def test_a_phones_double_jpeg_is_a_jpeg(decoder: Decoder, encode: Encode) -> None:
    data = encode(CORNERS, "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))], quality=95)
    picture = decoder.decode(data)
    assert (picture.format, picture.frames, picture.truncated) == ("JPEG", 1, False)


def test_16_bits_are_scaled_to_8(decoder: Decoder, encode: Encode) -> None:
    ramp = (np.arange(256) * 256).astype(np.uint16).reshape(16, 16)
    colour = cv2.imencode(".png", np.dstack([ramp, ramp, ramp]))[1].tobytes()
    for data in (encode(Image.fromarray(ramp)), encode(Image.fromarray(ramp), "TIFF"), colour):
        assert np.abs(decoder.decode(data).grey.astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_transparency_is_dropped_not_blended(decoder: Decoder, encode: Encode) -> None:
    palette = Image.fromarray(CORNERS).quantize(4)
    # A colour profile, even a bad one, takes a PNG to Pillow.
    for options in ({}, {"icc_profile": b"profile" * 30}):
        data = encode(palette, transparency=bytes([0, 9, 0, 0]), **options)
        assert np.abs(decoder.decode(data).rgb[5::10, 5::10].astype(int) - CORNERS[5::10, 5::10]).max() <= 2


def test_the_first_frame_of_an_animation_is_the_default_picture(decoder: Decoder, encode: Encode) -> None:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("blue", "green")]
    data = encode(CORNERS, save_all=True, append_images=frames, default_image=True)
    assert (decoder.decode(data).rgb == CORNERS).all()


@pytest.mark.parametrize(("width", "reduction"), [(1900, 1), (2400, 2), (4000, 4), (4700, 4)])
def test_large_jpegs_keep_full_luma_and_reduce_colour(
    decoder: Decoder, encode: Encode, photo: Photo, width: int, reduction: int
) -> None:
    source = decoder.decode(photo("flower.jpg")).rgb
    large = cv2.resize(np.asarray(source), (width, width * 3 // 4 + 1), interpolation=cv2.INTER_CUBIC)
    data = encode(large.astype(np.uint8), "JPEG", quality=92, exif=tag(6))
    picture = decoder.decode(data)
    assert (picture.height, picture.width, picture.reduction) == (width, width * 3 // 4 + 1, reduction)
    assert picture.rgb.shape[0] == width // reduction
    whole, kind = decoder.decode_colour(data)
    assert kind == "JPEG"
    assert whole.shape == (picture.height, picture.width, 3)
    assert np.abs(cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY).astype(int) - picture.grey).mean() < 1
    rgb = cv2.resize(whole, picture.rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(rgb.astype(int) - picture.rgb).mean() < 2
    assert max(picture.preview.shape) <= PREVIEW_EDGE_PX
    small = cv2.resize(picture.grey, picture.preview.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - picture.preview).mean() < 3


def test_large_pngs_get_a_faithful_preview(decoder: Decoder, encode: Encode, photo: Photo) -> None:
    source = decoder.decode(photo("camera.png")).grey
    large = cv2.resize(np.asarray(source), (2300, 1500), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    preview = decoder.decode(encode(large)).preview
    assert preview.shape == (668, 1024)
    straight = cv2.resize(large, (1024, 668), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(preview - straight).mean() < 3


@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_keeps_the_part_that_is_there(
    decoder: Decoder, photo: Photo, encode: Encode, progressive: bool
) -> None:
    whole = decoder.decode(photo("china.jpg"))
    data = encode(np.array(whole.rgb), "JPEG", quality=90, progressive=progressive)
    picture = decoder.decode(data[: len(data) // 2])
    assert picture.truncated
    assert not whole.truncated
    assert (picture.width, picture.height) == (640, 427)
    assert np.abs(picture.rgb[:100].astype(int) - whole.rgb[:100]).mean() < 12


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_other_cut_files_are_refused(decoder: Decoder, photo: Photo, encode: Encode, kind: str) -> None:
    data = encode(np.array(decoder.decode(photo("coffee.png")).rgb), kind)
    assert_refused(decoder, data[: len(data) // 2], Reason.IMAGE_UNDECODABLE)


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 200, b"GIF89a",
     b"RIFF\0\0\0\0WEBP", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"],
)  # fmt: skip
def test_garbage_is_refused(decoder: Decoder, data: bytes) -> None:
    assert_refused(decoder, data, Reason.IMAGE_UNDECODABLE)


def test_formats_outside_the_list_are_refused(decoder: Decoder, encode: Encode) -> None:
    for kind in ("PPM", "ICO", "TGA", "PCX"):
        assert_refused(decoder, encode(CORNERS, kind), Reason.IMAGE_UNDECODABLE)


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (7_072, 7_072), (65_500, 1_000)])
def test_too_many_pixels_are_refused_by_the_header(decoder: Decoder, width: int, height: int) -> None:
    error = assert_refused(decoder, png_header(width, height), Reason.IMAGE_TOO_MANY_PIXELS)
    assert error.metadata == {"limit_pixels": "50000000", "pixels": str(width * height)}


def test_the_limit_itself_is_allowed(encode: Encode) -> None:
    pixels = CORNERS[:, :, 0].size
    assert Decoder(DecodeLimits(max_pixels=pixels)).decode(encode(CORNERS)).width == 60
    less = Decoder(DecodeLimits(max_pixels=pixels - 1))
    assert_refused(less, encode(CORNERS), Reason.IMAGE_TOO_MANY_PIXELS)


def test_a_picture_cannot_be_changed(decoder: Decoder, encode: Encode) -> None:
    picture = decoder.decode(encode(CORNERS))
    for pixels in (picture.grey, picture.rgb, picture.preview):
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 1


def assert_refused(decoder: Decoder, data: bytes, reason: int) -> InvalidArgumentError:
    with pytest.raises(InvalidArgumentError) as caught:
        decoder.decode(data)
    assert caught.value.reason == reason
    return caught.value
