"""The pictures of docs/insights.md: free photos with what was found in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zxingcpp
from PIL import Image, ImageDraw

from bench.quality.samples import encode
from bench.quality.sheets import draw_boxes, lay_out
from bench.quality.workbench import Workbench
from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.codes import CodeDetector
from services.analyzer.detectors.colours import Palette

PALETTE_PHOTOS = ("china.jpg", "flower.jpg", "coffee.png", "chelsea.png")
STRIP_SHARE = 0.15
CODE_TEXT = "https://example.org/tickets/4711"


def draw_gallery(bench: Workbench, folder: Path) -> None:
    """Write insights.jpg (a face with its landmarks, words, a code) and insights-palettes.jpg."""
    face, words, code = _draw_face(bench), _draw_words(bench), _draw_code(bench)
    captions = ["face, landmarks", "words", f"QR code: {CODE_TEXT}"]
    lay_out([face, words, code], 3, captions).save(folder / "insights.jpg", quality=85)
    painted = [_add_palette(bench, bench.samples.open(name)) for name in PALETTE_PHOTOS]
    lay_out(painted, len(painted)).save(folder / "insights-palettes.jpg", quality=85)


def _draw_face(bench: Workbench) -> Image.Image:
    photo = bench.samples.open("astronaut.png")
    faces = bench.faces(encode(photo)).faces
    drawn = draw_boxes(photo, [face.box for face in faces])
    pen = ImageDraw.Draw(drawn)
    for x, y in (point for face in faces for point in face.landmarks):
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(255, 210, 0))
    return drawn


def _draw_words(bench: Workbench) -> Image.Image:
    page = bench.samples.open("page.png")
    return draw_boxes(page, [word.box for word in bench.text(encode(page)).words])


def _draw_code(bench: Workbench) -> Image.Image:
    photo = bench.samples.open("coffee.png")
    barcode = zxingcpp.create_barcode(CODE_TEXT, zxingcpp.BarcodeFormat.QRCode)
    photo.paste(Image.fromarray(np.array(zxingcpp.write_barcode_to_image(barcode, scale=4))), (40, 30))
    found = CodeDetector().detect(Decoder(DecodeLimits()).decode(encode(photo)), None)
    return draw_boxes(photo, [code.box for code in found.codes])


def _add_palette(bench: Workbench, photo: Image.Image) -> Image.Image:
    strip = _paint_strip(bench.colours(encode(photo)), photo.width, round(photo.height * STRIP_SHARE))
    whole = Image.new("RGB", (photo.width, photo.height + strip.height))
    whole.paste(photo, (0, 0))
    whole.paste(strip, (0, photo.height))
    return whole


def _paint_strip(palette: Palette, width: int, height: int) -> Image.Image:
    strip = Image.new("RGB", (width, height))
    left = 0.0
    for colour in palette.colours:
        right = left + colour.share * width
        strip.paste((colour.red, colour.green, colour.blue), (round(left), 0, round(right), height))
        left = right
    return strip
