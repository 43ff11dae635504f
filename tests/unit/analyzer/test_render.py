"""Thumbnails and annotated pictures, judged by their pixels."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.analyzer.decode import Decoder
from services.analyzer.picture import Box
from services.analyzer.render import Rendition, render_annotated, render_thumbnail

Encode = Callable[..., bytes]
Photo = Callable[[str], bytes]


def open_rendition(rendition: Rendition) -> Image.Image:
    image = Image.open(io.BytesIO(rendition.data))
    assert image.size == (rendition.width, rendition.height)
    assert Image.MIME[image.format or ""] == rendition.media_type
    assert not image.getexif()
    return image


def test_a_box_is_pure_green_two_pixels_wide_and_nothing_else_changes(decoder: Decoder, photo: Photo) -> None:
    before = np.array(decoder.decode(photo("coffee.png")).rgb)
    rendition = render_annotated(before.copy(), [Box(50, 60, 100, 80)], "PNG")
    after = np.asarray(open_rendition(rendition))
    frame = np.zeros(before.shape[:2], bool)
    frame[60:141, 50:151] = True
    frame[62:139, 52:149] = False
    assert (after[frame] == (0, 255, 0)).all()
    assert (after[~frame] == before[~frame]).all()


@pytest.mark.parametrize(
    ("box", "green"),
    [
        (Box(0, 0, 10, 10), {(0, 0), (1, 5), (9, 5), (10, 10), (5, 9)}),
        (Box(0, 0, 20, 20), {(0, 0), (1, 1), (19, 7), (7, 19)}),
        (Box(5, 5, 1, 1), {(5, 5), (6, 6)}),
        (Box(15, 15, 5, 5), {(15, 15), (19, 19), (19, 17)}),
        (Box(-5, -5, 10, 10), {(5, 0), (4, 3), (0, 5), (2, 4)}),
        (Box(-9, -9, 3, 3), set()),
        (Box(30, 30, 5, 5), set()),
    ],
)
def test_boxes_at_the_edge_stay_in_the_picture(box: Box, green: set[tuple[int, int]]) -> None:
    after = np.asarray(open_rendition(render_annotated(np.zeros((20, 20, 3), np.uint8), [box], "PNG")))
    for x, y in green:
        assert tuple(after[y, x]) == (0, 255, 0)
    right, bottom = box.x + box.width, box.y + box.height
    for y, x in np.argwhere(after[:, :, 1] == 255):
        assert box.x <= x <= right
        assert box.y <= y <= bottom
        assert min(x - box.x, right - x, y - box.y, bottom - y) < 2


def test_a_line_outside_the_picture_is_not_drawn_inside() -> None:
    after = np.asarray(
        open_rendition(render_annotated(np.zeros((20, 20, 3), np.uint8), [Box(10, 10, 10, 10)], "PNG"))
    )
    assert tuple(after[15, 19]) == (0, 255, 0)
    assert tuple(after[15, 18]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/jpeg"),
        ("HEIF", "image/jpeg"),
    ],
)
def test_the_family_of_the_original_is_kept(kind: str, media_type: str) -> None:
    rendition = render_annotated(np.full((50, 70, 3), 90, np.uint8), [Box(10, 10, 30, 20)], kind)
    assert rendition.media_type == media_type
    pixels = np.asarray(open_rendition(rendition).convert("RGB")).astype(int)
    assert np.abs(pixels[20, 11] - (0, 255, 0)).max() < 60
    assert np.abs(pixels[25, 25] - 90).max() < 12


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1200, 600), (300, 150)), ((600, 1200), (150, 300)), ((200, 100), (200, 100)), ((3000, 2), (300, 1))],
)
def test_thumbnails_fit_and_are_never_enlarged(
    decoder: Decoder, encode: Encode, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = decoder.decode(encode(Image.new("RGB", size, (200, 30, 60))))
    thumbnail = render_thumbnail(picture, 300)
    image = open_rendition(thumbnail)
    assert image.size == expected
    assert thumbnail.media_type == "image/jpeg"
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() < 8


def test_a_thumbnail_of_a_reduced_decode_has_the_full_proportions(decoder: Decoder, encode: Encode) -> None:
    picture = decoder.decode(encode(Image.new("RGB", (4001, 1503)), "JPEG"))
    assert picture.reduction == 4
    assert open_rendition(render_thumbnail(picture, 300)).size == (300, 113)
