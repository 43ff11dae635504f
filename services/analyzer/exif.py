"""Camera facts from EXIF. Tags are written by anybody: nothing here raises, what is odd is left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

MAX_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Location:
    """Where a photo was taken: degrees north and east (WGS 84), metres above sea level if known."""

    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None = None


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What the tags say; empty text and None mean "not told". ``taken_at`` has a zone if the file has one."""

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
    """Read the facts of an opened image. Pixels are not touched."""
    try:
        tags = image.getexif()
        details = tags.get_ifd(ExifTags.IFD.Exif)
        gps = tags.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # noqa: BLE001 - damaged tags raise many types, and a photo is more than its tags
        return ExifFacts()
    return ExifFacts(
        orientation=_read_orientation(tags.get(ExifTags.Base.Orientation)),
        make=_clean_text(tags.get(ExifTags.Base.Make)),
        model=_clean_text(tags.get(ExifTags.Base.Model)),
        lens=_clean_text(details.get(ExifTags.Base.LensModel)),
        taken_at=_read_time(details, tags.get(ExifTags.Base.DateTime)),
        location=_read_location(gps),
    )


def _read_orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _clean_text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    text = value.split("\0", 1)[0]
    return "".join(char for char in text if char.isprintable()).strip()[:MAX_TEXT_LENGTH]


def _read_time(details: Mapping[int, Any], fallback: object) -> datetime | None:
    stamp = _clean_text(details.get(ExifTags.Base.DateTimeOriginal)) or _clean_text(fallback)
    offset = _clean_text(details.get(ExifTags.Base.OffsetTimeOriginal))
    for text, pattern in ((stamp + offset, "%Y:%m:%d %H:%M:%S%z"), (stamp, "%Y:%m:%d %H:%M:%S")):
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - cameras without a zone tell local time
        except ValueError:
            continue
    return None


def _read_location(gps: Mapping[int, Any]) -> Location | None:
    try:
        latitude = _read_degrees(gps[ExifTags.GPS.GPSLatitude], gps.get(ExifTags.GPS.GPSLatitudeRef), "S")
        longitude = _read_degrees(gps[ExifTags.GPS.GPSLongitude], gps.get(ExifTags.GPS.GPSLongitudeRef), "W")
        altitude = float(gps[ExifTags.GPS.GPSAltitude]) if ExifTags.GPS.GPSAltitude in gps else None
        below_sea = gps.get(ExifTags.GPS.GPSAltitudeRef) in (1, b"\x01")
    except Exception:  # noqa: BLE001 - any shape of value may stand here
        return None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    if altitude is not None and not math.isfinite(altitude):
        altitude = None
    return Location(latitude, longitude, -altitude if altitude is not None and below_sea else altitude)


def _read_degrees(parts: Any, reference: object, negative: str) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if _clean_text(reference).upper() == negative else value
