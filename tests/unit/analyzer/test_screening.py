"""What is plain is decoded where the service is; what is odd in any way is not."""

from __future__ import annotations

import pytest
from PIL import Image

from services.analyzer.decode.screening import is_plain
from tests.contract.hostile import bombs
from tests.unit.ingest import pictures
from tests.unit.ingest.pictures import encode, picture

PLAIN = {
    *("jpeg", "jpeg-progressive", "jpeg-grey", "mpo", "webp", "webp-lossless-alpha", "bmp", "bmp-palette"),
    *("png", "png-alpha", "png-grey-alpha", "png-palette", "png-1-bit", "png-16-bit", "png-16-bit-colour"),
}


@pytest.mark.parametrize("name", pictures.GOOD)
def test_still_pictures_of_four_formats_are_plain(name: str) -> None:
    assert is_plain(pictures.good(name)) == (name in PLAIN)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_tags_of_a_camera_are_plain(kind: str) -> None:
    assert is_plain(pictures.turned(kind, 6))


@pytest.mark.parametrize(
    "data",
    [
        bombs.jpeg_with_exif(5_000), bombs.jpeg_with_exif(40_000), bombs.bmp_run_length(10),
        pictures.png(8, 8, exif=bombs.exif_of_many_tags(300)[6:]),
        pictures.png(8, 8, before=pictures.png_chunk(b"zTXt", b"Comment\0\0" + pictures.zeros(10))),
        pictures.png(8, 8, before=pictures.png_chunk(b"tEXt", b"Raw profile type exif\0" + bytes(10))),
        pictures.png(8, 8, before=pictures.png_chunk(b"tEXt", bytes(2_000_000))),
        pictures.png(8, 8, before=pictures.png_chunk(b"tEXt", b"a\0b") * 20_000),
        encode(picture(), "WEBP", exif=bombs.exif_of_many_tags(300)),
        pictures.jpeg_that_lies(0, 100), b"", b"\xff\xd8\xff", b"BM", b"RIFF\0\0\0\0WEBPVP8 ",
    ],
    ids=lambda data: f"{data[:4]!r}-{len(data)}",
)  # fmt: skip
def test_heavy_metadata_and_damage_are_not_plain(data: bytes) -> None:
    assert not is_plain(data)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"quality": 10}), ("WEBP", {"lossless": True})]
)
@pytest.mark.parametrize(("width", "plain"), [(4_000, True), (4_001, False)])
def test_what_takes_long_to_unpack_can_be_broken_off(
    kind: str, options: dict[str, object], width: int, plain: bool
) -> None:
    data = encode(Image.new("RGB", (width, 4_000)), kind, **options)
    assert is_plain(data) == plain


def test_scans_are_counted_by_the_pixels_that_they_visit() -> None:
    small, large = pictures.jpeg_with_repeated_scans(400), bombs.jpeg_of_scans(2_000, 200)
    assert is_plain(small)
    assert not is_plain(large)
