"""Which of several duplicates to keep, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.catalog.model import ImageRecord


def tied_on_pixels(images: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Those with the most pixels: only among them the quality matters."""
    return _best(images, _pixels)


def choose_keeper(images: Sequence[ImageRecord], qualities: Mapping[str, float]) -> tuple[ImageRecord, str]:
    """The one to keep, and the reason as a sentence: most pixels, best quality, most bytes, the oldest.

    ``images`` are two at least. ``qualities`` are scores (0 to 100) by digest, of those that have one.
    """
    best = _best(images, _pixels)
    if len(best) == 1:
        second = max((image for image in images if image is not best[0]), key=_pixels)
        return best[0], f"{_size(best[0])} pixels, the others have {_size(second)} at most."

    def quality(image: ImageRecord) -> float:
        return qualities.get(image.image.sha256, -1.0)

    sharpest = _best(best, quality)
    if len(sharpest) == 1:
        others = max(quality(image) for image in best if image is not sharpest[0])
        rest = "the others of that size were not measured" if others < 0 else f"the next has {others:g}"
        return sharpest[0], f"{_size(sharpest[0])} pixels and a quality of {quality(sharpest[0]):g}; {rest}."
    heaviest = _best(sharpest, _bytes)
    if len(heaviest) == 1:
        others = max(_bytes(image) for image in sharpest if image is not heaviest[0])
        return heaviest[0], (
            f"As many pixels and as good as the others, and less compressed: {_bytes(heaviest[0]):,} bytes, "
            f"the next has {others:,.0f}."
        )
    same = len({image.image.sha256 for image in images}) == 1
    why = "All have the same bytes" if same else "The best of them are equal in pixels, quality and bytes"
    return min(heaviest, key=_age), f"{why}; this one is the oldest."


def _best(images: Sequence[ImageRecord], worth: Callable[[ImageRecord], float]) -> list[ImageRecord]:
    most = max(map(worth, images))
    return [image for image in images if worth(image) == most]


def _pixels(image: ImageRecord) -> int:
    return image.image.width * image.image.height


def _bytes(image: ImageRecord) -> int:
    return image.image.size_bytes


def _age(image: ImageRecord) -> tuple[int, int]:
    return image.create_time_us, image.number


def _size(image: ImageRecord) -> str:
    return f"{image.image.width} x {image.image.height}"
