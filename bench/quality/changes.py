"""What happens to photos on their way through the world; each change gives the bytes of a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from bench.quality.samples import encode

Change = Callable[[Image.Image], bytes]


def _scaled(scale: float) -> Change:
    def change(photo: Image.Image) -> Image.Image:
        size = (max(16, round(photo.width * scale)), max(16, round(photo.height * scale)))
        return photo.resize(size, Image.Resampling.LANCZOS)

    return _edited(change)


def _cropped(part: float) -> Change:
    def change(photo: Image.Image) -> Image.Image:
        across, down = round(photo.width * part / 2), round(photo.height * part / 2)
        return photo.crop((across, down, photo.width - across, photo.height - down))

    return _edited(change)


def _turned(degrees: float) -> Change:
    return _edited(lambda photo: photo.rotate(degrees, Image.Resampling.BICUBIC))


def _compressed(kind: str, quality: int) -> Change:
    return lambda photo: encode(photo, kind, quality=quality)


def _edited(edit: Callable[[Image.Image], Image.Image]) -> Change:
    return lambda photo: encode(edit(photo), "JPEG", quality=90)


def _watermark(photo: Image.Image) -> Image.Image:
    marked = photo.copy()
    font = ImageFont.load_default(max(10, photo.width // 12))
    ImageDraw.Draw(marked).text((photo.width // 6, photo.height // 2), "SAMPLE 2026", font=font, fill="white")
    return marked


# The same picture to anybody who looks.
SLIGHT: Mapping[str, Change] = {
    "half size": _scaled(0.5),
    "quarter size": _scaled(0.25),
    "double size": _scaled(2),
    "JPEG 85": _compressed("JPEG", 85),
    "JPEG 50": _compressed("JPEG", 50),
    "JPEG 20": _compressed("JPEG", 20),
    "WebP 60": _compressed("WEBP", 60),
    "cropped by 2 %": _cropped(0.02),
    "rotated by 1 degree": _turned(1),
    "25 % brighter": _edited(lambda photo: ImageEnhance.Brightness(photo).enhance(1.25)),
    "25 % darker": _edited(lambda photo: ImageEnhance.Brightness(photo).enhance(0.75)),
    "more contrast": _edited(lambda photo: ImageEnhance.Contrast(photo).enhance(1.4)),
    "less colour": _edited(lambda photo: ImageEnhance.Color(photo).enhance(0.5)),
    "blurred": _edited(lambda photo: photo.filter(ImageFilter.GaussianBlur(2))),
    "watermark": _edited(_watermark),
}
# Edited on purpose.
STRONG: Mapping[str, Change] = {
    "cropped by 5 %": _cropped(0.05),
    "cropped by 10 %": _cropped(0.1),
    "cropped by 20 %": _cropped(0.2),
    "rotated by 3 degrees": _turned(3),
    "rotated by 5 degrees": _turned(5),
    "black and white": _edited(lambda photo: photo.convert("L")),
    "white frame of 3 %": _edited(lambda photo: ImageOps.expand(photo, photo.width // 33, "white")),
}
# Another picture to hashes of this kind.
UNEXPECTED: Mapping[str, Change] = {
    "mirrored": _edited(ImageOps.mirror),
    "turned by 90 degrees": _edited(lambda photo: photo.transpose(Image.Transpose.ROTATE_90)),
}
