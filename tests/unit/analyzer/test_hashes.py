"""Hashes and colour signatures: by their definitions, near for copies and far for other photos."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.decode import Decoder
from services.analyzer.detectors.hashes import (
    HashDetector,
    Hashes,
    compare_colours,
    compare_hashes,
    hash_steps,
)

Rgb = npt.NDArray[np.uint8]
PHOTOS = ("astronaut.png", "chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "rocket.jpg")


@pytest.fixture(scope="module")
def originals(decoder: Decoder, photo: Callable[[str], bytes]) -> dict[str, Rgb]:
    return {name: np.asarray(decoder.decode(photo(name)).rgb, np.uint8) for name in PHOTOS}


@pytest.fixture(scope="module")
def take_hashes(decoder: Decoder, encode: Callable[..., bytes]) -> Callable[[Rgb, int], Hashes]:
    return lambda rgb, quality: HashDetector().detect(
        decoder.decode(encode(rgb, "JPEG", quality=quality)), None
    )


def scale(rgb: Rgb, factor: float) -> Rgb:
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)


def crop(rgb: Rgb, share: float) -> Rgb:
    down, across = (round(edge * share / 2) for edge in rgb.shape[:2])
    return np.ascontiguousarray(rgb[down : rgb.shape[0] - down, across : rgb.shape[1] - across])


def turn(rgb: Rgb, degrees: float) -> Rgb:
    height, width = rgb.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned.astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "quality"),
    [
        pytest.param(lambda rgb: scale(rgb, 0.5), 90, id="half"),
        pytest.param(lambda rgb: scale(rgb, 0.25), 90, id="quarter"),
        pytest.param(lambda rgb: rgb, 30, id="quality 30"),
        pytest.param(lambda rgb: crop(rgb, 0.02), 90, id="crop 2 %"),
        pytest.param(lambda rgb: turn(rgb, 1), 90, id="turn 1"),
    ],
)
def test_copies_are_near_in_all_three(
    originals: dict[str, Rgb],
    take_hashes: Callable[[Rgb, int], Hashes],
    change: Callable[[Rgb], Rgb],
    quality: int,
) -> None:
    for rgb in originals.values():
        here, there = take_hashes(rgb, 95), take_hashes(change(rgb), quality)
        assert compare_hashes(here.phash, there.phash) <= 10
        assert compare_hashes(here.dhash, there.dhash) <= 10
        assert compare_colours(here.color_signature, there.color_signature) <= 4


def test_other_photos_are_far_in_all_three(
    originals: dict[str, Rgb], take_hashes: Callable[[Rgb, int], Hashes]
) -> None:
    hashes = [take_hashes(rgb, 95) for rgb in originals.values()]
    for number, one in enumerate(hashes):
        for other in hashes[number + 1 :]:
            assert compare_hashes(one.phash, other.phash) >= 18
            assert compare_hashes(one.dhash, other.dhash) >= 18
            assert compare_colours(one.color_signature, other.color_signature) >= 6


def test_light_changes_colours_but_not_hashes(
    originals: dict[str, Rgb], take_hashes: Callable[[Rgb, int], Hashes]
) -> None:
    for rgb in originals.values():
        here, there = take_hashes(rgb, 95), take_hashes((rgb * 0.7).astype(np.uint8), 95)
        assert compare_hashes(here.phash, there.phash) <= 6
        assert compare_hashes(here.dhash, there.dhash) <= 6
        assert compare_colours(here.color_signature, there.color_signature) > 4


def test_steps_say_where_it_gets_brighter() -> None:
    ramp = np.tile(np.arange(72, dtype=np.uint8), (64, 1))
    assert hash_steps(ramp) == 2**64 - 1
    assert hash_steps(np.ascontiguousarray(ramp[:, ::-1])) == 0
    halves = np.vstack([ramp[:32], ramp[:32, ::-1]])
    assert hash_steps(halves) == 0xFFFFFFFF_00000000


def test_the_signature_is_the_colour_of_each_cell(picture: Callable[[Rgb], object]) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (4, 4, 3), np.uint8)
    rgb = np.kron(colours, np.ones((40, 50, 1), np.uint8))
    signature = HashDetector().detect(picture(rgb), None).color_signature  # type: ignore[arg-type]
    lab = cv2.cvtColor((colours / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    exact = np.stack([lab[:, :, 0] * 2.55, lab[:, :, 1] + 128, lab[:, :, 2] + 128], axis=2)
    assert len(signature) == 48
    assert np.abs(np.frombuffer(signature, np.uint8).reshape(4, 4, 3) - exact).max() <= 1.5


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_bits_are_counted(one: int, other: int) -> None:
    assert compare_hashes(one, one) == 0
    assert compare_hashes(one, other) == compare_hashes(other, one) == f"{one ^ other:b}".count("1")


@given(st.binary(min_size=48, max_size=48), st.binary(min_size=48, max_size=48))
def test_colours_are_apart_by_the_mean(one: bytes, other: bytes) -> None:
    mean = sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 48
    assert compare_colours(one, other) == pytest.approx(mean)
