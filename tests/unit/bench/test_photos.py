"""Photos to measure with: real sizes, all different, the same on every run."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from bench import photos


def test_small_photos_differ_and_come_again() -> None:
    made = photos.small_photos(16)
    assert len(set(made)) == 16
    assert made == photos.small_photos(16)
    assert all(_open(photo).width * _open(photo).height <= 1_000_000 for photo in made)


def test_small_photos_shrink() -> None:
    (photo,) = photos.small_photos(1, scale=0.25)
    assert _open(photo).size == (128, 128)


def test_enlarged_photo_is_as_large_as_asked_and_compresses_like_a_photo() -> None:
    original = photos.source_photo("flower")
    large = photos.enlarge(original, 2_000_000)
    assert abs(large.width * large.height / 2_000_000 - 1) < 0.01
    assert abs(large.width / large.height - original.width / original.height) < 0.01
    assert 1.5 < 8 * len(photos.encode(large)) / 2_000_000 < 3.5
    assert photos.encode(large) == photos.encode(photos.enlarge(original, 2_000_000))
    back = np.asarray(large.resize(original.size, Image.Resampling.BOX), np.int16)
    assert np.abs(back - np.asarray(original, np.int16)).mean() < 4


def test_copies_differ_in_bytes_and_not_in_pixels() -> None:
    (photo,) = photos.small_photos(1, scale=0.25)
    made = photos.copies(photo, 3) + photos.copies(photo, 2, first=3)
    assert len({photo, *made}) == 6
    assert all(_open(copy).tobytes() == _open(photo).tobytes() for copy in made)
    assert [int(_open(copy).info["comment"]) for copy in made] == [0, 1, 2, 3, 4]


def _open(photo: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(photo))
    image.load()
    return image
