"""EXIF: what cameras write is read, what anybody writes never raises."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.analyzer.decode import Decoder
from services.analyzer.detectors.exif import ExifDetector
from services.analyzer.exif import ExifFacts, Location

Encode = Callable[..., bytes]
PIXELS = np.zeros((8, 8, 3), np.uint8)


def camera_tags() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme\0\0", "  Box 3 "
    exif[0x0112] = 1
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0x9011: "+02:00", 0xA434: "50mm f/1.8"}
    exif[0x8825] = {
        1: "S", 2: (33.0, 51.0, 36.0), 3: "W", 4: (70.0, 30.0, 0.0), 5: b"\x01", 6: 12.5,
    }  # fmt: skip
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_camera_time_and_place_are_read(decoder: Decoder, encode: Encode, kind: str) -> None:
    facts = decoder.decode(encode(PIXELS, kind, exif=camera_tags())).exif
    assert (facts.make, facts.model, facts.lens) == ("Acme", "Box 3", "50mm f/1.8")
    assert facts.taken_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone(timedelta(hours=2)))
    assert facts.location is not None
    assert facts.location.latitude_deg == pytest.approx(-33.86)
    assert facts.location.longitude_deg == pytest.approx(-70.5)
    assert facts.location.altitude_m == pytest.approx(-12.5)


def test_the_place_is_told_only_where_the_operator_allows_it(decoder: Decoder, encode: Encode) -> None:
    picture = decoder.decode(encode(PIXELS, "JPEG", exif=camera_tags()))
    assert ExifDetector(with_location=False).detect(picture, None).location is None
    assert ExifDetector(with_location=False).detect(picture, None).location_withheld
    assert ExifDetector(with_location=False).detect(picture, None).model == "Box 3"
    assert isinstance(ExifDetector(with_location=True).detect(picture, None).location, Location)


def test_no_tags_are_no_facts(decoder: Decoder, encode: Encode) -> None:
    assert decoder.decode(encode(PIXELS)).exif == ExifFacts()


@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x0112, 9), (0x0112, 0), (0x0132, "yesterday"), (0x0110, "\0\0"), (0x8825, {2: (1.0,), 4: 3})],
)
def test_odd_values_are_left_out(decoder: Decoder, encode: Encode, tag: int, value: object) -> None:
    exif = Image.Exif()
    exif[tag] = value
    try:
        data = encode(PIXELS, "JPEG", exif=exif)
    except (TypeError, ValueError):
        pytest.skip("Pillow does not write this value")
    assert decoder.decode(data).exif == ExifFacts()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=120))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_tags_never_lose_the_picture(noise: bytes) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + noise)
    picture = Decoder(max_pixels=1000).decode(buffer.getvalue())
    assert (picture.width, picture.height) == (8, 8)
