"""ThumbHash: byte for byte the reference's, and a likeness of the picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import thumbhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.analyzer.decode import Decoder
from services.analyzer.detectors.thumbhash import ThumbHashDetector, encode_thumbhash

Rgb = npt.NDArray[np.uint8]
Photo = Callable[[str], bytes]


def encode_by_reference(rgb: Rgb) -> bytes:
    height, width = rgb.shape[:2]
    rgba = np.dstack([rgb, np.full((height, width), 255, np.uint8)])
    return bytes(thumbhash.rgba_to_thumb_hash(width, height, rgba.ravel().tolist()))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)).flatmap(lambda size: arrays(np.uint8, (*size, 3))),
    st.integers(0, 2**32 - 1),
)
def test_it_is_the_reference_byte_for_byte(rgb: Rgb, seed: int) -> None:
    # Noise keeps every wave well away from the rounding error that the reference takes for one.
    noise = np.random.default_rng(seed).integers(0, 64, rgb.shape, np.uint8)
    rgb = rgb // 2 + noise
    if rgb.shape[0] > 2 and rgb.shape[1] > 2:
        assert encode_thumbhash(rgb) == encode_by_reference(rgb)
    else:
        assert encode_thumbhash(rgb)[:5] == encode_by_reference(rgb)[:5]


@pytest.mark.parametrize("name", ["astronaut.png", "china.jpg", "chelsea.png"])
@pytest.mark.parametrize("size", [(100, 75), (60, 100), (31, 32), (100, 9)])
def test_photos_hash_as_by_the_reference(
    decoder: Decoder, photo: Photo, name: str, size: tuple[int, int]
) -> None:
    rgb = cv2.resize(decoder.decode(photo(name)).rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert encode_thumbhash(rgb) == encode_by_reference(rgb)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_one_colour_has_no_waves(colour: tuple[int, int, int]) -> None:
    even = np.full((30, 40, 3), colour, np.uint8)
    hashed = encode_thumbhash(even)
    assert hashed[:5] == encode_by_reference(even)[:5]
    assert not any(hashed[5:])


@pytest.mark.parametrize("name", ["astronaut.png", "china.jpg", "coffee.png", "flower.jpg", "rocket.jpg"])
def test_it_decodes_to_a_likeness(decoder: Decoder, photo: Photo, name: str) -> None:
    picture = decoder.decode(photo(name))
    hashed = ThumbHashDetector().detect(picture, None).data
    assert 5 < len(hashed) <= 25
    shown = draw(hashed)
    real = cv2.resize(picture.rgb, shown.shape[1::-1], interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(real.astype(np.float64), (0, 0), 4)
    assert np.abs(shown - blurred).mean() < 20
    assert np.abs(shown.mean(axis=(0, 1)) - real.mean(axis=(0, 1))).max() < 8
    assert np.corrcoef(shown.ravel(), blurred.ravel())[0, 1] > 0.9


def draw(hashed: bytes) -> npt.NDArray[np.float64]:
    """Decode an opaque hash as its author's page describes it, 32 pixels at the longer edge."""
    bits = int.from_bytes(hashed[:5], "little")
    wide = bits >> 39
    across, down = (7, bits >> 24 & 7) if wide else (bits >> 24 & 7, 7)
    width, height = (32, round(32 * down / across)) if wide else (round(32 * across / down), 32)
    nibbles = iter([part for byte in hashed[5:] for part in (byte & 15, byte >> 4)])

    def channel(mean: float, scale: float, nx: int, ny: int) -> npt.NDArray[np.float64]:
        out = np.full((height, width), mean)
        for cy in range(ny):
            for cx in range(0 if cy else 1, nx):
                if cx * ny < nx * (ny - cy):
                    wave_x = np.cos(np.pi / width * (np.arange(width) + 0.5) * cx)
                    wave_y = np.cos(np.pi / height * (np.arange(height) + 0.5) * cy)
                    out += 2 * (next(nibbles) / 7.5 - 1) * scale * wave_y[:, None] * wave_x
        return out

    light = channel((bits & 63) / 63, (bits >> 18 & 31) / 31, max(3, across), max(3, down))
    p = channel((bits >> 6 & 63) / 31.5 - 1, (bits >> 27 & 63) / 63 * 1.25, 3, 3)
    q = channel((bits >> 12 & 63) / 31.5 - 1, (bits >> 33 & 63) / 63 * 1.25, 3, 3)
    blue = light - 2 / 3 * p
    red = (3 * light - blue + q) / 2
    return np.clip(np.dstack([red, red - q, blue]), 0, 1) * 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 2), (333, 65)])
def test_any_shape_is_hashed(decoder: Decoder, encode: Callable[..., bytes], shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert 5 <= len(ThumbHashDetector().detect(decoder.decode(encode(rgb)), None).data) <= 25
