"""Camera facts from EXIF. Tags are written by anybody: nothing here raises, what is odd is left out."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image

MAX_TEXT_LENGTH = 200
# From the first photograph on; up to where every zone still has a time of its own.
YEARS = range(1826, 9999)
# From the deepest trench to the highest orbit with a crew.
ALTITUDES_M = (-12_000.0, 2_000_000.0)
# A PNG may carry its tags behind its pixels; more bytes than these are no tags, more chunks no photo.
MAX_PNG_TAGS_BYTES = 1 << 20
MAX_PNG_CHUNKS = 100_000

_TIME = re.compile(r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2}):(\d{1,2})", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})", re.ASCII)
_TIMES = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.OffsetTime),
)

Tags = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class Location:
    """Where a photo was taken (WGS 84): degrees north, -90..90, and east, -180..180; metres above the sea."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What the tags say; empty text and None mean "not told". ``taken_at`` has a zone if the file has one.

    ``orientation`` 1..8; texts of at most 200 printable characters; ``taken_at`` in YEARS.
    """

    orientation: int = 1
    make: str = ""
    model: str = ""
    lens: str = ""
    taken_at: datetime | None = None
    location: Location | None = None
    location_withheld: bool = False

    def without_location(self) -> ExifFacts:
        """The same facts, the place withheld, and that it was."""
        return replace(self, location=None, location_withheld=self.location is not None)


def read_exif(image: Image.Image) -> ExifFacts:
    """Read the facts of an opened image. Pixels are not decoded."""
    try:
        tags = _load_tags(image)
        values = _list_values(tags)
    except Exception:  # noqa: BLE001 - damaged tags raise many types, and a photo is more than its tags
        return ExifFacts()
    # Some writers put a camera's tags beside the others instead of one level down.
    details = {**values, **_load_part(tags, ExifTags.IFD.Exif)}
    return ExifFacts(
        orientation=_read_orientation(values.get(ExifTags.Base.Orientation)),
        make=_clean_text(values.get(ExifTags.Base.Make)),
        model=_clean_text(values.get(ExifTags.Base.Model)),
        lens=_clean_text(details.get(ExifTags.Base.LensModel))
        or _clean_text(details.get(ExifTags.Base.LensMake)),
        taken_at=next(_read_times(details), None),
        location=_read_location(_load_part(tags, ExifTags.IFD.GPSInfo)),
    )


def _load_tags(image: Image.Image) -> Image.Exif:
    if image.format != "PNG":
        return image.getexif()
    if "exif" not in image.info and (late := _find_png_tags(image)):
        tags = Image.Exif()
        tags.load(late)
        return tags
    # PngImageFile's own method decodes every pixel in search of tags behind them.
    return Image.Image.getexif(image)


def _find_png_tags(image: Image.Image) -> bytes:
    """The content of an eXIf chunk behind the pixels, found by the lengths of the chunks before it."""
    stream = getattr(image, "fp", None) or BytesIO()
    place = stream.tell()
    found = b""
    stream.seek(8)
    for _ in range(MAX_PNG_CHUNKS):
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"eXIf" and length <= MAX_PNG_TAGS_BYTES:
            found = stream.read(length)
        if len(head) < 8 or kind in (b"eXIf", b"IEND"):
            break
        stream.seek(length + 4, 1)
    stream.seek(place)
    return bytes(found)


def _load_part(tags: Image.Exif, part: int) -> dict[int, Any]:
    try:
        return _list_values(tags.get_ifd(part))
    except Exception:  # noqa: BLE001 - one damaged part does not take the others with it
        return {}


def _list_values(tags: Tags) -> dict[int, Any]:
    values = {}
    for tag in list(tags):
        # One damaged value does not take the others with it.
        with contextlib.suppress(Exception):
            values[tag] = tags[tag]
    return values


def _read_orientation(value: object) -> int:
    # Equality, not type: a rational 6/1 turns the picture in Pillow, too.
    return next((number for number in range(1, 9) if value == number), 1)


def _clean_text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    text = value.split("\0", 1)[0]
    # Pillow reads texts as Latin-1; what is valid UTF-8 was meant as that.
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return "".join(char for char in text if char.isprintable()).strip()[:MAX_TEXT_LENGTH].strip()


def _read_times(details: Tags) -> Iterator[datetime]:
    """The times that make sense, the taking of the photo first, the change of its file last."""
    for time_tag, offset_tag in _TIMES:
        found = _TIME.match(_clean_text(details.get(time_tag)))
        if found is None or int(found[1]) not in YEARS:
            continue
        zone = _read_zone(_clean_text(details.get(offset_tag)))
        try:
            year, month, day, hour, minute, second = map(int, found.groups())
            yield datetime(year, month, day, hour, minute, second, tzinfo=zone)
        except ValueError:
            continue


def _read_zone(text: str) -> tzinfo | None:
    """The zone of an offset like "+02:00" or "Z"; None, which is local time, for anything else."""
    if text == "Z":
        return UTC
    found = _OFFSET.fullmatch(text)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _read_location(gps: Tags) -> Location | None:
    latitude = _read_degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS", 90)
    longitude = _read_degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW", 180)
    # Cameras without a fix write zeros; nobody takes photos in the sea at 0, 0.
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    return Location(latitude, longitude, _read_altitude(gps))


def _read_degrees(gps: Tags, tag: int, reference_tag: int, references: str, limit: int) -> float | None:
    """Degrees from up to three numbers; None without a hemisphere: the other one is an ocean away."""
    value = gps.get(tag)
    parts = value if isinstance(value, tuple | list) else (value,)
    numbers = [_read_number(part) for part in parts]
    reference = _clean_text(gps.get(reference_tag))[:1].upper()
    if not 1 <= len(numbers) <= 3 or not reference or reference not in references:
        return None
    if not (0 <= numbers[0] <= limit and all(0 <= number <= 60 for number in numbers[1:])):
        return None
    degrees = float(sum(number / 60**power for power, number in enumerate(numbers)))
    if degrees > limit:
        return None
    return -degrees if reference == references[1] else degrees


def _read_altitude(gps: Tags) -> float | None:
    altitude = _read_number(gps.get(ExifTags.GPS.GPSAltitude))
    # 1 is below the sea, 3 (EXIF 3.0) below the ellipsoid; written as a byte or as a number.
    if gps.get(ExifTags.GPS.GPSAltitudeRef) in (1, b"\x01", 3, b"\x03"):
        altitude = -altitude
    return altitude if ALTITUDES_M[0] <= altitude <= ALTITUDES_M[1] else None


def _read_number(value: object) -> float:
    """A number, NaN for anything else; Pillow's rationals divide by zero to NaN, too."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return float("nan")
