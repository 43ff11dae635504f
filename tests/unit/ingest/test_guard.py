"""What the guard says of images of every format, good and damaged."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.ingest.guard import PLUGINS, Inspection, Limits, inspect, sniff
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import common_pb2, errors_pb2
from tests.unit.ingest import pictures
from tests.unit.ingest.pictures import GOOD, HEIGHT, WIDTH, encode, good, picture

SMALL = Limits(max_pixels=1_000_000, max_total_pixels=2_000_000)


def refusal(data: bytes, limits: Limits = SMALL) -> errors_pb2.ErrorReason.ValueType:
    with pytest.raises(InvalidArgumentError) as caught:
        inspect(data, limits)
    return caught.value.reason


@pytest.mark.parametrize("name", GOOD)
def test_good_files_of_every_format(name: str) -> None:
    _, format_, frames, mode = GOOD[name]
    assert inspect(good(name), SMALL) == Inspection(format_, WIDTH, HEIGHT, frames, mode)


def test_every_format_has_a_value_in_the_contract() -> None:
    assert {f"IMAGE_FORMAT_{name}" for name in PLUGINS} == set(common_pb2.ImageFormat.keys()[1:])


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_image(format_: str, orientation: int) -> None:
    found = inspect(pictures.turned(format_, orientation), SMALL)
    expected = (HEIGHT, WIDTH) if orientation >= 5 else (WIDTH, HEIGHT)
    assert (found.width, found.height) == expected


def test_the_orientation_of_a_png_may_come_after_its_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = inspect(pictures.png(40, 20, exif=exif.tobytes().removeprefix(b"Exif\0\0")), SMALL)
    assert (found.width, found.height) == (20, 40)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09"]
)
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "PNG"])
def test_damaged_exif_makes_no_picture_worse(format_: str, exif: bytes) -> None:
    found = inspect(encode(picture(), format_, exif=exif), SMALL)
    assert (found.width, found.height) == (WIDTH, HEIGHT)


def test_no_bytes() -> None:
    assert refusal(b"") == Reason.IMAGE_EMPTY


@pytest.mark.parametrize(
    "data",
    [b"\0", b"not an image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE",
     b"\0\0\0\x18ftypmp42", b"\0\0\x01\0ico", b"8BPS", b"\xff\xd8"],
)  # fmt: skip
def test_other_files_are_refused_by_their_first_bytes(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        inspect(data, SMALL)
    assert caught.value.reason == Reason.IMAGE_FORMAT_UNSUPPORTED
    assert caught.value.metadata == {"supported": "JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIC, AVIF"}


@pytest.mark.parametrize("format_", ["ICO", "PCX", "TGA", "JPEG2000", "PPM", "SGI", "DDS"])
def test_other_formats_of_pillow_are_refused(format_: str) -> None:
    assert refusal(encode(picture(), format_)) == Reason.IMAGE_FORMAT_UNSUPPORTED


@pytest.mark.parametrize("name", GOOD)
def test_the_head_of_a_file_alone_does_not_decode(name: str) -> None:
    assert refusal(good(name)[:32]) in {Reason.IMAGE_UNDECODABLE, Reason.IMAGE_TOO_MANY_PIXELS}


@pytest.mark.parametrize("name", ["png", "gif", "tiff", "webp", "heic", "avif", "bmp"])
def test_half_a_file_does_not_decode(name: str) -> None:
    data = good(name)
    assert refusal(data[: len(data) // 2]) == Reason.IMAGE_UNDECODABLE


def test_a_jpeg_that_was_cut_off_is_still_a_photo() -> None:
    data = encode(picture(size=(640, 480)), "JPEG", quality=95)
    found = inspect(data[: len(data) * 2 // 3], SMALL)
    assert (found.width, found.height) == (640, 480)


def test_pixels_that_are_damaged_inside_do_not_decode() -> None:
    data = bytearray(good("png"))
    at = data.index(b"IDAT") + 8
    data[at : at + 8] = bytes(8)
    assert refusal(bytes(data)) == Reason.IMAGE_UNDECODABLE


def test_pixels_are_limited_inclusively() -> None:
    exactly = Limits(WIDTH * HEIGHT, WIDTH * HEIGHT)
    assert inspect(good("png"), exactly).width == WIDTH
    with pytest.raises(InvalidArgumentError) as caught:
        inspect(good("png"), Limits(WIDTH * HEIGHT - 1, 10**9))
    assert caught.value.reason == Reason.IMAGE_TOO_MANY_PIXELS
    assert caught.value.metadata == {"limit_pixels": str(WIDTH * HEIGHT - 1), "pixels": str(WIDTH * HEIGHT)}
    assert f"{WIDTH} x {HEIGHT}" in caught.value.message


@pytest.mark.parametrize("name", ["apng", "webp-animated", "gif-animated", "tiff-pages", "avif-animated"])
def test_the_pixels_of_all_frames_are_limited_together(name: str) -> None:
    pixels = WIDTH * HEIGHT
    assert inspect(good(name), Limits(pixels, 3 * pixels)).frame_count == 3
    assert refusal(good(name), Limits(pixels, 3 * pixels - 1)) == Reason.IMAGE_TOO_MANY_PIXELS


@pytest.mark.parametrize("name", GOOD)
def test_what_is_sniffed_does_not_depend_on_the_rest(name: str) -> None:
    assert sniff(good(name)[:32]) == GOOD[name][1]


@given(st.binary(max_size=64))
def test_sniffing_never_fails(head: bytes) -> None:
    assert sniff(head) in {None, *PLUGINS}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(GOOD)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=6),
    cut=st.floats(0, 1) | st.just(1.0),
    tail=st.binary(max_size=8),
)
def test_no_mutation_raises_anything_else(
    name: str, edits: list[tuple[float, bytes]], cut: float, tail: bytes
) -> None:
    data = bytearray(good(name))
    for where, change in edits:
        at = int(where * (len(data) - 1))
        data[at : at + len(change)] = change
    mutant = bytes(data[: int(cut * len(data))]) + tail
    try:
        found = inspect(mutant, SMALL)
    except InvalidArgumentError as error:
        reason = error.reason_name
    else:
        assert 0 < found.width * found.height <= SMALL.max_pixels
        assert found.frame_count >= 1
        return
    assert reason.startswith("IMAGE_")
