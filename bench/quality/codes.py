"""Bar and matrix codes: read in photos, in every format and turned, and not made up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import zxingcpp
from PIL import Image

from bench.quality.samples import WITH_PEOPLE, WITHOUT_PEOPLE, encode, to_rgb
from bench.quality.section import Section, Table, count, percentage, share
from bench.quality.workbench import Workbench
from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.codes import CodeDetector

CONTENTS = {
    "QRCode": "https://example.org/tickets/4711", "MicroQRCode": "12345", "DataMatrix": "PART 0815-42",
    "Aztec": "GATE 7 SEAT 21C", "PDF417": "Boarding pass 0042", "EAN13": "4006381333931", "EAN8": "73513537",
    "Code128": "SHELF-0092", "Code39": "ROOM 12", "Code93": "CRATE 93", "ITF": "00012345678905",
    "Codabar": "A40156B",
}  # fmt: skip
ANGLES_DEGREES = (0, 7, 45, 90, 180, 250)
MODULE_PX = (2, 3, 5)
BACKGROUNDS = ("coffee.png", "china.jpg", "rocket.jpg", "brick.png", "flower.jpg", "motorcycle_left.png")
SEED = 17


@dataclass(frozen=True, slots=True)
class Reading:
    """One code in a photo: whether we read it, and whether zxing-cpp does that looks everywhere for all."""

    format: str
    angle_degrees: int
    ours: bool
    ungated: bool


def measure(bench: Workbench) -> Section:
    """All formats, angles and sizes."""
    detector, decoder = CodeDetector(), Decoder(DecodeLimits())
    readings = [
        Reading(kind, angle, _read(detector, decoder, data, kind), _read_ungated(data, kind))
        for kind, angle, data in _render(bench)
    ]
    readable = [reading for reading in readings if reading.ungated]
    pictures = (*WITH_PEOPLE, *WITHOUT_PEOPLE)
    made_up = sum(
        len(detector.detect(decoder.decode(bench.samples.free(name).read_bytes()), None).codes)
        for name in pictures
    )
    return Section(
        "Codes",
        f"{len(CONTENTS)} kinds of codes, {MODULE_PX[0]} to {MODULE_PX[-1]} pixels a module, turned by"
        f" {', '.join(map(str, ANGLES_DEGREES))} degrees on a white label in photos, JPEG quality 85. A code"
        " is read if its text is right. The yardstick is zxing-cpp itself, all formats on the whole picture.",
        {
            "recall": percentage(
                share(sum(reading.ours for reading in readable), len(readable)),
                f"read of the {len(readable)} (of {len(readings)}) that zxing-cpp reads",
                97,
            ),
            "false_codes": count(made_up, f"codes in {len(pictures)} pictures without any", 0),
        },
        (_list_formats(readings), _list_angles(readings)),
    )


def _render(bench: Workbench) -> Iterator[tuple[str, int, bytes]]:
    random_ = random.Random(SEED)  # noqa: S311 - places of codes, not secrets
    photos = [bench.samples.open(name) for name in BACKGROUNDS]
    photos = [photo.resize((photo.width * 3 // 2, photo.height * 3 // 2)) for photo in photos]
    for kind, content in CONTENTS.items():
        barcode = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat[kind])
        for module_px in MODULE_PX:
            drawn = np.asarray(barcode.to_image(scale=module_px, add_quiet_zones=True))
            for angle in ANGLES_DEGREES:
                photo = random_.choice(photos).copy()
                label = Image.fromarray(drawn).rotate(angle, Image.Resampling.BICUBIC, True, fillcolor=255)
                cover = Image.new("L", drawn.shape[::-1], 255).rotate(angle, expand=True)
                x = random_.randrange(max(1, photo.width - label.width))
                y = random_.randrange(max(1, photo.height - label.height))
                photo.paste(label.convert("RGB"), (x, y), cover)
                yield kind, angle, encode(photo, "JPEG", quality=85)


def _read(detector: CodeDetector, decoder: Decoder, data: bytes, kind: str) -> bool:
    found = detector.detect(decoder.decode(data), None).codes
    return any(code.text == CONTENTS[kind] for code in found)


def _read_ungated(data: bytes, kind: str) -> bool:
    grey = np.asarray(to_rgb(data).convert("L"))
    return any(barcode.text == CONTENTS[kind] for barcode in zxingcpp.read_barcodes(grey))


def _list_formats(readings: Sequence[Reading]) -> Table:
    rows = [
        [kind, *_counts([reading for reading in readings if reading.format == kind])] for kind in CONTENTS
    ]
    return Table("By format", ("format", "codes", "read", "zxing-cpp"), rows)


def _list_angles(readings: Sequence[Reading]) -> Table:
    rows = [
        [str(angle), *_counts([reading for reading in readings if reading.angle_degrees == angle])]
        for angle in ANGLES_DEGREES
    ]
    return Table("By angle", ("degrees", "codes", "read", "zxing-cpp"), rows)


def _counts(readings: Sequence[Reading]) -> tuple[str, str, str]:
    ours = sum(reading.ours for reading in readings)
    return str(len(readings)), str(ours), str(sum(reading.ungated for reading in readings))
