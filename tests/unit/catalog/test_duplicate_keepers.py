"""Which duplicate to keep, and why."""

from __future__ import annotations

import uuid

import pytest

from services.catalog.looks.duplicate_keepers import choose_keeper, tied_on_pixels
from services.catalog.model import ImageRecord, NewImage


def image(
    number: int,
    width: int = 800,
    height: int = 600,
    size_bytes: int = 1_000,
    digest: str = "",
    time_us: int = 0,
) -> ImageRecord:
    new = NewImage(digest or f"{number:064x}", "key", size_bytes, 1, width, height)
    return ImageRecord(uuid.UUID(int=number), number, new, b"", time_us, 0, None, None, 1)


@pytest.mark.parametrize(
    ("images", "qualities", "keeper", "reason"),
    [
        pytest.param(
            [image(1, 1600, 1200), image(2, 4000, 3000), image(3, 1024, 768)],
            {},
            2,
            "4000 x 3000 pixels, the others have 1600 x 1200 at most.",
            id="most pixels",
        ),
        pytest.param(
            [image(1), image(2), image(3), image(4, 80, 60)],
            {f"{1:064x}": 60.25, f"{2:064x}": 87.5},
            2,
            "800 x 600 pixels and a quality of 87.5; the next has 60.25.",
            id="best quality of the largest",
        ),
        pytest.param(
            [image(1), image(2)],
            {f"{2:064x}": 0.0},
            2,
            "800 x 600 pixels and a quality of 0; the others of that size were not measured.",
            id="measured before not measured",
        ),
        pytest.param(
            [image(1, size_bytes=12_000), image(2, size_bytes=3_456_789), image(3, size_bytes=1_234_567)],
            {f"{number:064x}": 50.0 for number in (1, 2, 3)},
            2,
            "As many pixels and as good as the others, and less compressed: 3,456,789 bytes, "
            "the next has 1,234,567.",
            id="most bytes",
        ),
        pytest.param(
            [
                image(1, digest="a", time_us=9),
                image(2, digest="a", time_us=8),
                image(3, digest="a", time_us=8),
            ],
            {},
            2,
            "All have the same bytes; this one is the oldest.",
            id="same bytes",
        ),
        pytest.param(
            [image(1, time_us=9), image(2, time_us=8)],
            {},
            2,
            "The best of them are equal in pixels, quality and bytes; this one is the oldest.",
            id="the oldest",
        ),
    ],
)
def test_the_keeper_and_the_reason(
    images: list[ImageRecord], qualities: dict[str, float], keeper: int, reason: str
) -> None:
    for order in (images, images[::-1]):
        chosen, said = choose_keeper(order, qualities)
        assert (chosen.number, said) == (keeper, reason)


def test_quality_matters_among_the_largest_only() -> None:
    assert [one.number for one in tied_on_pixels([image(1, 2, 3), image(2, 9, 9), image(3, 27, 3)])] == [2, 3]
