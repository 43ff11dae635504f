"""What leaves the house is small, upright and anonymous."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageCms, PngImagePlugin

from services.captioner.upload_picture import Upload, glance_at, prepare_pillow, scale_for_upload
from services.runtime.errors import InvalidArgumentError, Reason

MAX_PIXELS = 80_000_000
HOSTILE = Path(__file__).parents[4] / "shared" / "data" / "hostile"
ASTRONAUT = Path(skimage.__file__).parent / "data" / "astronaut.png"
PRIVATE = "Erika Mustermann, 52.5N 13.4E"


@pytest.fixture(autouse=True)
def _pillow() -> None:
    prepare_pillow(MAX_PIXELS)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    target = BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def opened(upload: Upload) -> Image.Image:
    image = Image.open(BytesIO(upload.jpeg))
    assert image.size == (upload.width, upload.height)
    image.load()
    return image


def photo() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB").resize((1600, 1200))


def with_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = PRIVATE
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_metadata_stays_behind(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    original = encoded(photo(), kind, exif=with_exif().tobytes(), icc_profile=profile)
    assert PRIVATE.encode() in original

    upload = scale_for_upload(original, 1024, MAX_PIXELS)

    assert PRIVATE.encode() not in upload.jpeg
    assert not opened(upload).getexif()
    assert set(opened(upload).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_comments_and_text_chunks_stay_behind() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", PRIVATE)
    for original in (
        encoded(photo(), "JPEG", comment=PRIVATE),
        encoded(photo(), "PNG", pnginfo=text),
        encoded(photo().convert("P"), "GIF", comment=PRIVATE),
    ):
        assert PRIVATE.encode() in original
        assert PRIVATE.encode() not in scale_for_upload(original, 1024, MAX_PIXELS).jpeg


@pytest.mark.parametrize(("edge_px", "size"), [(1024, (1024, 768)), (768, (768, 576))])
def test_large_pictures_shrink_to_the_edge(edge_px: int, size: tuple[int, int]) -> None:
    upload = opened(scale_for_upload(encoded(photo(), "JPEG"), edge_px, MAX_PIXELS))

    assert (upload.format, upload.mode, upload.size) == ("JPEG", "RGB", size)


def test_small_pictures_keep_their_size() -> None:
    small = photo().resize((40, 30))

    assert opened(scale_for_upload(encoded(small, "PNG"), 1024, MAX_PIXELS)).size == (40, 30)


def test_the_upload_looks_like_the_original() -> None:
    expected = np.asarray(photo().resize((1024, 768), Image.Resampling.LANCZOS), dtype=np.float64)

    upload = opened(scale_for_upload(encoded(photo(), "PNG"), 1024, MAX_PIXELS))

    assert np.abs(np.asarray(upload, dtype=np.float64) - expected).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_upload_is_upright(kind: str) -> None:
    lying = Image.new("RGB", (60, 30), "blue")
    lying.paste("red", (0, 0, 20, 30))

    upload = opened(scale_for_upload(encoded(lying, kind, exif=with_exif(6).tobytes()), 1024, MAX_PIXELS))
    glance = glance_at(encoded(lying, kind, exif=with_exif(6).tobytes()), MAX_PIXELS)

    assert upload.size == (30, 60)
    red, _, blue = upload.getpixel((15, 5))  # type: ignore[misc]  # an RGB pixel is a tuple
    assert red > 150 > blue
    assert (glance.width, glance.height) == (30, 60)


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("CMYK", (0, 0, 0, 0)), ("1", 1), ("I;16", 65_535), ("L", 255)],
)
def test_every_mode_becomes_rgb_and_what_is_transparent_white(mode: str, colour: object) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    original = encoded(Image.new(mode, (16, 16), colour), kind)  # type: ignore[arg-type]  # any mode's colour

    pixel = opened(scale_for_upload(original, 1024, MAX_PIXELS)).getpixel((8, 8))

    assert isinstance(pixel, tuple)
    assert min(pixel) > 245


def test_a_glance_gives_size_colour_and_light() -> None:
    seen = glance_at(encoded(Image.new("RGB", (300, 100), (10, 20, 200)), "PNG"), MAX_PIXELS)

    assert (seen.width, seen.height, seen.brightness) == (300, 100, 38)
    assert [(each.red, each.green, each.blue) for each in seen.colours] == [(10, 20, 200)]
    assert seen.face_count is None
    assert seen.text is None


def test_a_jpeg_cut_short_still_gives_its_upper_part() -> None:
    whole = encoded(photo(), "JPEG")

    assert opened(scale_for_upload(whole[: len(whole) // 2], 1024, MAX_PIXELS)).size == (1024, 768)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.IMAGE_EMPTY),
        (b"no picture at all", Reason.IMAGE_UNDECODABLE),
        (encoded(Image.new("RGB", (50, 50)), "PNG")[:60], Reason.IMAGE_UNDECODABLE),
        (b"%PDF-1.7", Reason.IMAGE_UNDECODABLE),
    ],
)
def test_what_is_no_picture_says_so(content: bytes, reason: int) -> None:
    for look in (lambda: scale_for_upload(content, 1024, MAX_PIXELS), lambda: glance_at(content, MAX_PIXELS)):
        with pytest.raises(InvalidArgumentError) as refused:
            look()
        assert refused.value.reason == reason


def test_too_many_pixels_are_refused_by_the_header() -> None:
    wide = encoded(Image.new("1", (40_000, 3_000)), "PNG")

    with pytest.raises(InvalidArgumentError) as refused:
        scale_for_upload(wide, 1024, MAX_PIXELS)

    assert refused.value.reason == Reason.IMAGE_TOO_MANY_PIXELS
    assert refused.value.metadata == {"limit_pixels": "80000000", "pixels": "120000000"}


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the hostile files are not here")
def test_hostile_files_give_a_small_jpeg_or_a_clear_error() -> None:
    for path in sorted(HOSTILE.iterdir()):
        # Any other error than this one fails the test.
        with suppress(InvalidArgumentError):
            upload = scale_for_upload(path.read_bytes(), 768, MAX_PIXELS)
            assert max(opened(upload).size) <= 768, path.name
