"""EXIF: what cameras write is read, what anybody writes never raises."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from PIL.TiffImagePlugin import IFDRational

from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.exif import ExifDetector
from services.analyzer.exif import ALTITUDES_M, MAX_TEXT_LENGTH, YEARS, ExifFacts, Location, read_exif

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
    picture = Decoder(DecodeLimits(max_pixels=1000)).decode(buffer.getvalue())
    assert (picture.width, picture.height) == (8, 8)


def facts_of(tags: dict[int, object], details: object = None, gps: object = None) -> ExifFacts:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    if details is not None:
        exif[0x8769] = details
    if gps is not None:
        exif[0x8825] = gps
    return read_with_tags(exif.tobytes())


def read_with_tags(content: bytes) -> ExifFacts:
    image = Image.new("RGB", (1, 1))
    image.info["exif"] = content
    return read_exif(image)


LOCAL = datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001 - cameras without a zone tell local time
PLACE = {1: "N", 2: (47.0, 22.0, 12.0), 3: "E", 4: (8.0, 32.0, 24.0)}


def test_tiff_tags_are_read(decoder: Decoder, encode: Encode) -> None:
    tags = Image.Exif()
    tags.load(camera_tags().tobytes())
    facts = decoder.decode(encode(PIXELS, "TIFF", exif=tags)).exif
    assert (facts.make, facts.model, facts.lens) == ("Acme", "Box 3", "50mm f/1.8")
    assert facts.location is not None


def test_the_raw_profile_of_a_png_is_read(decoder: Decoder, encode: Encode) -> None:
    content = camera_tags().tobytes()
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(content):8d}\n{content.hex()}\n", zip=True)
    assert decoder.decode(encode(PIXELS, "PNG", pnginfo=text)).exif.model == "Box 3"


def test_tags_behind_the_pixels_of_a_png_are_read_without_decoding_them(encode: Encode) -> None:
    tags = Image.Exif()
    tags[0x0110], tags[0x0112] = "Late", 6
    kind_and_content = b"eXIf" + tags.tobytes().removeprefix(b"Exif\0\0")
    plain = encode(PIXELS, "PNG")
    end = plain.index(b"IEND") - 4
    chunk = (len(kind_and_content) - 4).to_bytes(4, "big") + kind_and_content
    late = plain[:end] + chunk + zlib.crc32(kind_and_content).to_bytes(4, "big") + plain[end:]
    with Image.open(io.BytesIO(late)) as image:
        facts = read_exif(image)
        assert (facts.model, facts.orientation) == ("Late", 6)
        assert np.array_equal(np.asarray(image), PIXELS)


def test_no_png_is_decoded_in_search_of_tags(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PngImageFile, "load", lambda _: pytest.fail("decoded"))
    with Image.open(io.BytesIO(encode(PIXELS, "PNG"))) as image:
        assert read_exif(image) == ExifFacts()


@pytest.mark.parametrize("name", ["Zürich", "写真", "Ωmega"])
def test_texts_are_utf_8(name: str) -> None:
    assert facts_of({0x010F: name.encode()}).make == name


def test_texts_that_are_not_utf_8_are_read_as_latin_1() -> None:
    assert facts_of({0x010F: b"Z\xfcrich"}).make == "Zürich"


def test_the_maker_of_the_lens_stands_in_for_its_model() -> None:
    assert facts_of({}, {0xA433: "Acme Optics"}).lens == "Acme Optics"
    assert facts_of({}, {0xA433: "Acme Optics", 0xA434: "50mm"}).lens == "50mm"


@pytest.mark.parametrize(
    ("tags", "details", "taken_at"),
    [
        ({0x0132: "2020:01:02 03:04:05"}, {0x9003: "0000:00:00 00:00:00"}, LOCAL),
        ({0x0132: "2020:01:02 03:04:05"}, {0x9004: "2019:01:02 03:04:05"}, LOCAL.replace(year=2019)),
        ({}, {0x9003: "2020-01-02T03:04:05"}, LOCAL),
        ({}, {0x9003: "2020:01:02 03:04:05", 0x9011: "Z"}, LOCAL.replace(tzinfo=UTC)),
        ({}, {0x9003: "2020:01:02 03:04:05", 0x9011: "   :  "}, LOCAL),
        ({}, {0x9003: "2020:01:02 03:04:05", 0x9011: "+99:00"}, LOCAL),
        ({0x9003: "2020:01:02 03:04:05"}, None, LOCAL),
        ({}, {0x9003: "0001:01:01 00:00:00", 0x9011: "+02:00"}, None),
        ({}, {0x9003: "    :  :     :  :  "}, None),
        ({}, {0x9003: "2020:02:30 03:04:05"}, None),
        ({}, {0x9003: "2020:02:20 24:00:00"}, None),
    ],
)
def test_the_first_time_that_makes_sense_counts(
    tags: dict[int, object], details: object, taken_at: datetime | None
) -> None:
    assert facts_of(tags, details).taken_at == taken_at


@pytest.mark.parametrize(
    "change",
    [
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},
        {2: (IFDRational(0, 0), 22.0, 12.0)},
        {2: (47.0, 22.0, IFDRational(1, 0))},
        {2: (IFDRational(2**32 - 1, 1), 0.0, 0.0)},
        {2: (90.0, 0.0, 1.0)},
        {4: (180.0, 1.0, 0.0)},
        {4: (8.0, 61.0, 0.0)},
        {2: (47.0, 22.0, 12.0, 1.0)},
        {1: ""},
        {3: "Q"},
    ],
)
def test_a_place_that_makes_no_sense_is_left_out(change: dict[int, object]) -> None:
    assert facts_of({}, None, PLACE).location is not None
    assert facts_of({}, None, {**PLACE, **change}).location is None


def test_a_place_may_have_a_direction_and_whole_or_decimal_degrees() -> None:
    gps = {**PLACE, 2: (47.5,), 4: (8.0, 32.4), 16: "T", 17: 12.0, 24: 4.0}
    location = facts_of({}, None, gps).location
    assert location is not None
    assert location.latitude_deg == 47.5
    assert location.longitude_deg == pytest.approx(8.54)


@pytest.mark.parametrize(
    ("change", "altitude"),
    [
        ({6: 12.5}, 12.5),
        ({5: b"\x01", 6: 12.5}, -12.5),
        ({6: IFDRational(5, 0)}, None),
        ({6: IFDRational(2**32 - 1, 1)}, None),
        ({5: b"\x01"}, None),
    ],
)
def test_heights_are_above_the_sea(change: dict[int, object], altitude: float | None) -> None:
    location = facts_of({}, None, {**PLACE, **change}).location
    assert location is not None
    assert location.altitude_m == altitude


def write_orientation(kind: int, count: int, value: bytes) -> bytes:
    """One tag in a type of one's own choice: 2 text, 3 short, 4 long, 5 rational."""
    entry = struct.pack("<HHI", 0x0112, kind, count)
    place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", 8 + 2 + 12 + 4)
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + place + b"\0\0\0\0" + value


@pytest.mark.parametrize(
    ("content", "orientation"),
    [
        (write_orientation(3, 1, b"\x06\0"), 6),
        (write_orientation(4, 1, b"\x08\0\0\0"), 8),
        (write_orientation(5, 1, struct.pack("<II", 6, 1)), 6),
        (write_orientation(5, 1, struct.pack("<II", 6, 0)), 1),
        (write_orientation(2, 2, b"6\0"), 1),
        (write_orientation(3, 2, b"\x06\0\x08\0"), 6),
        (write_orientation(3, 1, b"\x09\0"), 1),
        (write_orientation(77, 1, b"\x06\0"), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:Metadata Warning")
def test_orientation_is_one_number(content: bytes, orientation: int) -> None:
    assert read_with_tags(content).orientation == orientation


def assert_in_range(facts: ExifFacts) -> None:
    assert facts.orientation in range(1, 9)
    assert all(
        text.isprintable() and len(text) <= MAX_TEXT_LENGTH for text in (facts.make, facts.model, facts.lens)
    )
    if facts.taken_at is not None:
        assert facts.taken_at.year in YEARS
        facts.taken_at.replace(tzinfo=facts.taken_at.tzinfo or UTC).timestamp()
    if facts.location is not None:
        assert abs(facts.location.latitude_deg) <= 90
        assert abs(facts.location.longitude_deg) <= 180
        altitude = facts.location.altitude_m
        assert altitude is None or (math.isfinite(altitude) and ALTITUDES_M[0] <= altitude <= ALTITUDES_M[1])


numbers = st.one_of(
    st.integers(0, 2**32 - 1),
    st.floats(0, 400),
    st.builds(IFDRational, st.integers(0, 2**32 - 1), st.integers(0, 3)),
)
values = st.one_of(
    numbers,
    st.lists(numbers, min_size=1, max_size=4).map(tuple),
    st.text(max_size=30),
    st.binary(max_size=30),
    st.sampled_from(["N", "S", "E", "W", "0000:00:00 00:00:00", "9999:12:31 23:59:59", "+14:00", "-14:00"]),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([0x010F, 0x0110, 0x0112, 0x0132, 0x9010]), values),
    st.dictionaries(st.sampled_from([0x9003, 0x9004, 0x9011, 0x9012, 0xA433, 0xA434]), values),
    st.dictionaries(st.integers(0, 31), values),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_whatever_the_tags_say_the_facts_are_in_range(
    tags: dict[int, object], details: dict[int, object], gps: dict[int, object]
) -> None:
    exif = camera_tags()
    for tag, value in {**tags, 0x8769: details, 0x8825: {**PLACE, **gps}}.items():
        exif[tag] = value
        try:
            exif.tobytes()
        except (struct.error, TypeError, ValueError, AttributeError, OverflowError, IndexError):
            del exif[tag]  # Pillow does not write every value
    assert_in_range(read_with_tags(exif.tobytes()))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changed_bytes_never_raise(changes: list[tuple[int, int]]) -> None:
    content = bytearray(camera_tags().tobytes())
    for place, value in changes:
        content[6 + place % (len(content) - 6)] = value
    assert_in_range(read_with_tags(bytes(content)))
