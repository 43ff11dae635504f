"""Bar and matrix codes with zxing-cpp: QR codes are sought everywhere, the others where a gate sees signs.

Evidence, on generated pictures (15 formats, modules of 2 to 9 pixels, 8 angles, 6 backgrounds, sharp, soft
and inverted): the gate loses under 1 % of what an ungated search finds, and finds as many others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from services.analyzer.decode import PREVIEW_EDGE_PX, average_down
from services.analyzer.detector import Cancellation, DetectorUnavailableError, Equipment, raise_if_cancelled
from services.analyzer.detectors.code_gate import find_code_regions
from services.analyzer.picture import Box, Picture, Pixels

try:
    import zxingcpp
except ImportError:  # the codes answer then says what is missing
    zxingcpp = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from zxingcpp import Barcode, BarcodeFormats

ENGINE = "zxing-cpp"
THOROUGH_SEARCH_EDGE_PX = 2048
# Smaller than this there is no room for a code and its quiet zone.
MIN_EDGE_PX = 24
MAX_CODES = 64
MAX_TEXT_LENGTH = 4096
EVERYWHERE = ("QRCode",)
SQUARES = ("DataMatrix", "Aztec", "PDF417")
STRIPES = ("PDF417", "EANUPC", "Code39", "Code93", "Code128", "ITF", "Codabar")


@dataclass(frozen=True, slots=True)
class Code:
    """One code.

    ``format`` as in "QRCode", "MicroQRCode", "EAN13"; a UPC-A is the EAN13 that starts with 0, and the text
    of a UPCE is the 13 digits that it stands for. ``text`` is what is printable of it (line breaks and tabs
    stay), at most 4,096 characters. ``box`` encloses the code, upright, at full resolution.
    """

    format: str
    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Codes:
    """At most 64 codes, top to bottom, then left to right."""

    codes: tuple[Code, ...]


class CodeDetector:
    """Finds QR, Micro QR, rMQR, PDF417, EAN, UPC, Code 39/93/128, ITF and Codabar.

    ``thorough`` finds Data Matrix and Aztec, too, and more of the PDF417. That takes three times as long on
    a photo without any: many things look like a matrix of dots.
    """

    name: ClassVar[str] = "codes"
    version: ClassVar[str] = "1"

    def __init__(self, *, thorough: bool = True) -> None:
        self._thorough = thorough

    @property
    def equipment(self) -> Equipment:
        """The library that reads codes."""
        return (
            Equipment(ENGINE)
            if zxingcpp
            else Equipment("", missing=f"The package {ENGINE} is not installed.")
        )

    def settings(self) -> Mapping[str, object]:
        """Engine, what it looks for, and at which size."""
        return {
            "engine": ENGINE if zxingcpp else "none",
            "formats": sorted({*EVERYWHERE, *STRIPES, *(SQUARES if self._thorough else ())}),
            "search_edge_px": THOROUGH_SEARCH_EDGE_PX if self._thorough else PREVIEW_EDGE_PX,
        }

    def detect(self, picture: Picture, cancelled: Cancellation) -> Codes:
        """Search ``picture.preview``; if thorough ``picture.grey``, reduced to 2,048 pixels at most.

        Raises DetectorUnavailableError without zxing-cpp.
        """
        if zxingcpp is None:
            raise DetectorUnavailableError(self.name, self.equipment.missing)
        grey = picture.preview
        if self._thorough:
            grey = average_down(picture.grey, -(-max(picture.grey.shape) // THOROUGH_SEARCH_EDGE_PX))
        factor = max(picture.width, picture.height) / max(grey.shape)
        found: list[Code] = []
        for barcode, left, top, scale in _search(grey, self._thorough, cancelled):
            if len(found) == MAX_CODES:
                break
            code = _place(barcode, picture, left, top, scale * factor)
            if code and not any(_is_same(code, other) for other in found):
                found.append(code)
        found.sort(key=lambda code: (code.box.y, code.box.x, code.format, code.text))
        return Codes(tuple(found))


def _search(grey: Pixels, thorough: bool, cancelled: Cancellation) -> Iterator[tuple[Barcode, int, int, int]]:
    """Barcodes with the place of the part they were found in (at their scale), and that scale."""
    everywhere, squares, stripes = (_choose(names) for names in (EVERYWHERE, SQUARES, STRIPES))
    for barcode in _read(grey, everywhere):
        yield barcode, 0, 0, 1
    scale = 1
    while min(grey.shape) >= MIN_EDGE_PX:
        regions = find_code_regions(grey, with_squares=thorough)
        searches = [(part, squares, True) for part in regions.squares]
        searches += [(part, stripes, False) for part in regions.upright]
        searches += [(part, stripes, True) for part in regions.lying]
        for (rows, columns), formats, turned in searches:
            raise_if_cancelled(cancelled)
            part = grey[rows, columns]
            for barcode in _read(part, formats, turned=turned, pyramid=False):
                yield barcode, columns.start or 0, rows.start or 0, scale
        grey, scale = average_down(grey, 2), scale * 2


def _read(
    grey: Pixels, formats: BarcodeFormats, *, turned: bool = True, pyramid: bool = True
) -> list[Barcode]:
    return zxingcpp.read_barcodes(
        grey,
        formats,
        try_rotate=turned,
        try_downscale=pyramid,
        text_mode=zxingcpp.TextMode.Plain,  # the default spells line breaks as <LF>
    )


def _choose(names: tuple[str, ...]) -> BarcodeFormats:
    return zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat[name] for name in names])


def _place(barcode: Barcode, picture: Picture, left: int, top: int, scale: float) -> Code | None:
    corners = barcode.position
    points = (corners.top_left, corners.top_right, corners.bottom_right, corners.bottom_left)
    across, down = [left + point.x for point in points], [top + point.y for point in points]
    edges = (min(across), min(down), max(across) + 1, max(down) + 1)
    box = picture.fit_box(*(scale * edge for edge in edges))
    return Code(barcode.format.name, _clean_text(_decode_text(barcode)), box) if box else None


def _decode_text(barcode: Barcode) -> str:
    try:
        # What says nothing of its encoding is UTF-8 more often than what the library guesses.
        return barcode.bytes.decode("utf-8")
    except UnicodeDecodeError:
        return barcode.text


def _clean_text(text: str) -> str:
    return "".join(char for char in text if char.isprintable() or char in "\n\r\t")[:MAX_TEXT_LENGTH]


def _is_same(code: Code, other: Code) -> bool:
    """Whether two finds are one code, seen at two scales or in two overlapping parts."""
    a, b = code.box, other.box
    apart_x = a.x >= b.x + b.width or b.x >= a.x + a.width
    apart_y = a.y >= b.y + b.height or b.y >= a.y + a.height
    return (code.format, code.text) == (other.format, other.text) and not (apart_x or apart_y)
