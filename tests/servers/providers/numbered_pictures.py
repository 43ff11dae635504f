"""Pictures that differ in their pixels, so that they stay distinct however they are scaled and encoded."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw

BITS = 16


def numbered_jpeg(number: int, width: int = 320, height: int = 240) -> bytes:
    """A JPEG with the bits of ``number``, 0 to 65,535, as bars over a gradient."""
    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for bit in range(BITS):
        if number >> bit & 1:
            left, right = width * bit // BITS, width * (bit + 1) // BITS - 1
            draw.rectangle((left, 0, right, height // 2), fill=(250, 90, 20))
    encoded = BytesIO()
    picture.save(encoded, "JPEG")
    return encoded.getvalue()
