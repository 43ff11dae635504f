"""Contact sheets for the report, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from services.analyzer.picture import Box

CELL_PX = (240, 160)
FOUND = (0, 200, 0)
CAPTION_PX = 14


def draw_boxes(image: Image.Image, boxes: Iterable[Box], colour: tuple[int, int, int] = FOUND) -> Image.Image:
    """A copy with rectangles whose lines stay visible when it is shrunk to a cell."""
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    width = max(2, round(2 * max(copy.width / CELL_PX[0], copy.height / CELL_PX[1])))
    for box in boxes:
        draw.rectangle((box.x, box.y, box.x + box.width, box.y + box.height), outline=colour, width=width)
    return copy


def lay_out(images: Sequence[Image.Image], columns: int, captions: Sequence[str] = ()) -> Image.Image:
    """Put pictures into equal cells, row by row, each over its caption where there are captions."""
    across, down = CELL_PX[0], CELL_PX[1] + (CAPTION_PX + 4 if captions else 0)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * across, rows * down), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION_PX - 3)
    for number, image in enumerate(images):
        left, top = number % columns * across, number // columns * down
        small = image.copy()
        small.thumbnail((across - 4, CELL_PX[1] - 4))
        sheet.paste(small, (left + (across - small.width) // 2, top + (CELL_PX[1] - small.height) // 2))
        if captions:
            draw.text((left + 4, top + CELL_PX[1]), captions[number][:40], fill="black", font=font)
    return sheet
