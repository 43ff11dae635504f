"""Luminance, scene and colours against the contract's formulas, written out plainly."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.colour_names import name_colour
from services.analyzer.detectors.colours import ColourDetector, find_palette
from services.analyzer.detectors.hashes import HashDetector
from services.analyzer.detectors.luminance import (
    BlurLevel,
    LuminanceDetector,
    measure_colorfulness,
    measure_laplacian_variance,
    rate_blur,
)
from services.analyzer.detectors.scene import SceneDetector, SceneType, judge_scene
from services.analyzer.picture import Picture

Rgb = npt.NDArray[np.uint8]
small_rgb = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda size: arrays(np.uint8, (*size, 3), elements=st.integers(0, 255))
)


def plain_grey(rgb: Rgb) -> npt.NDArray[np.float64]:
    grey: npt.NDArray[np.float64] = rgb.astype(float) @ np.array([0.299, 0.587, 0.114])
    return grey


def plain_laplacian_variance(grey: npt.NDArray[np.uint8]) -> float:
    height, width = grey.shape
    # numpy reflects a single row onto nothing; the rule's mirror of one pixel is that pixel.
    around = np.pad(grey.astype(float), ((1, 1), (0, 0)), mode="reflect" if height > 1 else "edge")
    around = np.pad(around, ((0, 0), (1, 1)), mode="reflect" if width > 1 else "edge")
    centre = around[1:-1, 1:-1]
    return float(
        (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * centre).var()
    )


@settings(max_examples=60, deadline=None)
@given(rgb=small_rgb)
def test_luminance_follows_the_formulas(rgb: Rgb) -> None:
    exact = plain_grey(rgb)
    result = LuminanceDetector().detect(make_picture(rgb), None)
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    variance = plain_laplacian_variance(grey)
    sharpness, contrast = min(variance / 10, 100), min(float(grey.std()), 100)

    assert np.abs(grey - exact).max() <= 1
    assert abs(result.brightness - int(exact.mean())) <= 1
    assert result.brightness == int(grey.sum()) // grey.size
    assert result.laplacian_variance == pytest.approx(variance, rel=1e-6, abs=1e-6)
    assert result.sharpness == pytest.approx(sharpness, abs=0.006)
    assert result.contrast == pytest.approx(contrast, abs=0.006)
    assert result.quality == pytest.approx(min(0.6 * sharpness + 0.4 * contrast, 100), abs=0.006)
    assert result.shadow_share == (grey <= 5).mean()
    assert result.highlight_share == (grey >= 250).mean()
    assert result.clipped_share == result.shadow_share + result.highlight_share <= 1
    assert result.colorfulness == pytest.approx(plain_colorfulness(rgb), abs=0.006)


def plain_colorfulness(rgb: Rgb) -> float:
    red, green, blue = np.moveaxis(rgb.astype(float), 2, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    spread = (rg.std() ** 2 + yb.std() ** 2) ** 0.5
    return float(spread + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2) ** 0.5)


def make_picture(rgb: Rgb) -> Picture:
    return Decoder(DecodeLimits(max_pixels=1_000_000)).decode(
        cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes()
    )


@pytest.mark.parametrize("value", [1, 7, 254, 255])
@pytest.mark.parametrize("width", [7, 49, 63, 99])
def test_an_even_picture_has_its_own_brightness(value: int, width: int) -> None:
    assert (
        LuminanceDetector().detect(make_picture(np.full((7, width, 3), value, np.uint8)), None).brightness
        == value
    )


@pytest.mark.parametrize("height", [1, 127, 128, 129, 257])
def test_exposure_counts_every_row(height: int) -> None:
    rgb = np.full((height, 9, 3), 128, np.uint8)
    rgb[-1], rgb[:, 0] = 0, 255
    result = LuminanceDetector().detect(make_picture(rgb), None)
    assert result.shadow_share == 8 / (9 * height)
    assert result.highlight_share == 1 / 9
    assert LuminanceDetector().detect(make_picture(np.full((2, 2, 3), 6, np.uint8)), None).clipped_share == 0
    assert (
        LuminanceDetector().detect(make_picture(np.full((2, 2, 3), 249, np.uint8)), None).clipped_share == 0
    )


@pytest.mark.parametrize("name", ["astronaut.png", "china.jpg", "coffee.png", "ihc.png", "retina.jpg"])
def test_colourfulness_of_a_sample_is_that_of_all_pixels(
    decoder: Decoder, photo: Callable[[str], bytes], name: str
) -> None:
    whole = decoder.decode(photo(name))
    exact = measure_colorfulness(whole.rgb)
    assert exact == pytest.approx(plain_colorfulness(np.asarray(whole.rgb, np.uint8)), abs=0.01)
    assert LuminanceDetector().detect(whole, None).colorfulness == pytest.approx(exact, abs=1)


@pytest.mark.parametrize("height", [1, 127, 128, 129, 257])
def test_bands_leave_no_seam(height: int) -> None:
    grey = np.random.default_rng(height).integers(0, 256, (height, 33), np.uint8)
    assert measure_laplacian_variance(grey) == pytest.approx(plain_laplacian_variance(grey), rel=1e-9)


@pytest.mark.parametrize(
    ("variance", "level"),
    [(0, BlurLevel.HIGH), (99.99, BlurLevel.HIGH), (100, BlurLevel.MEDIUM), (500, BlurLevel.LOW)],
)
def test_blur_levels_start_at_their_thresholds(variance: float, level: BlurLevel) -> None:
    assert rate_blur(variance) is level


def plain_scene(rgb: Rgb) -> tuple[str, float]:
    hsv = np.array([colorsys.rgb_to_hsv(*(int(c) / 255 for c in pixel)) for pixel in rgb.reshape(-1, 3)]) * [
        180,
        255,
        255,
    ]
    hue, saturation, value = np.round(hsv).T
    hue %= 180
    vivid = (saturation >= 50) & (value >= 50)
    blue = (vivid & (hue >= 90) & (hue <= 130)).mean()
    green = (vivid & (hue >= 35) & (hue <= 85)).mean()
    if blue > 0.3 and value.mean() > 100:
        return "outdoor", min(0.6 + 0.4 * blue, 1)
    if green > 0.3:
        return "nature", min(0.6 + 0.4 * green, 1)
    if value.mean() < 80:
        return "indoor", 0.7
    return "indoor", 0.6 if saturation.mean() < 50 else 0.5


PAINTS = [
    (0, 0, 255),
    (0, 120, 255),
    (68, 0, 255),
    (0, 238, 255),
    (0, 255, 170),
    (190, 255, 0),
    (230, 255, 0),
    (0, 200, 0),
    (60, 160, 60),
    (20, 20, 20),
    (128, 128, 128),
    (250, 120, 10),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PAINTS), min_size=1, max_size=40))
def test_scene_follows_the_rules(paints: list[tuple[int, int, int]]) -> None:
    rgb = np.array([paints], np.uint8)
    scene = judge_scene(rgb)
    kind, confidence = plain_scene(rgb)
    assert scene.type == kind
    assert scene.confidence == pytest.approx(confidence, abs=0.0051)


def test_blue_wins_over_green_only_in_bright_pictures() -> None:
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:5], halves[5:] = (0, 0, 255), (0, 255, 0)
    assert judge_scene(halves).type is SceneType.OUTDOOR
    assert judge_scene(halves // 3).type is SceneType.NATURE
    assert (judge_scene(halves).blue_share, judge_scene(halves).green_share) == (0.5, 0.5)


def test_scene_of_a_large_picture_equals_that_of_all_its_pixels(
    picture: Callable[[Rgb], Picture],
) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    rgb = cv2.resize(rgb, (1500, 1100), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    sampled, whole = SceneDetector().detect(picture(rgb), None), judge_scene(rgb)
    assert sampled.blue_share == pytest.approx(whole.blue_share, abs=0.01)
    assert sampled.mean_value == pytest.approx(whole.mean_value, abs=1)


def test_palette_gives_colours_by_share(picture: Callable[[Rgb], Picture]) -> None:
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[:50], rgb[50:80], rgb[80:92], rgb[92:97], rgb[97:] = (
        (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0),
    )  # fmt: skip
    palette = ColourDetector().detect(picture(rgb), None).colours
    assert [colour.hex for colour in palette] == ["#ff0000", "#008000", "#0000ff", "#ffffff", "#000000"]
    assert [colour.name for colour in palette] == ["red", "green", "blue", "white", "black"]
    assert [colour.share for colour in palette] == pytest.approx([0.5, 0.3, 0.12, 0.05, 0.03], abs=0.01)


@pytest.mark.parametrize(
    ("size", "count"), [((1, 1), 1), ((1, 3), 3), ((2, 2), 4), ((1, 5), 5), ((1, 900), 5)]
)
def test_palette_has_five_colours_or_one_a_pixel(size: tuple[int, int], count: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    palette = ColourDetector().detect(make_picture(rgb), None).colours
    assert len(palette) == count
    assert sum(colour.share for colour in palette) == pytest.approx(1)


def test_one_colour_is_given_five_times() -> None:
    palette = find_palette(np.full((20, 20, 3), (200, 100, 50), np.uint8)).colours
    assert len(palette) == 5
    for colour in palette:
        assert (colour.red, colour.green, colour.blue) == pytest.approx((200, 100, 50), abs=2)


def test_palette_is_the_same_every_time(decoder: Decoder, photo: Callable[[str], bytes]) -> None:
    coffee = decoder.decode(photo("coffee.png"))
    assert ColourDetector().detect(coffee, None) == ColourDetector().detect(coffee, None)


def test_colour_names_follow_the_eye() -> None:
    colours = [(250, 5, 10), (5, 5, 125), (130, 126, 131), (70, 130, 180), (0, 255, 255)]
    assert [name_colour(*colour) for colour in colours] == ["red", "navy", "gray", "steelblue", "aqua"]


def test_hashes_tell_near_duplicates_from_other_photos(
    decoder: Decoder, photo: Callable[[str], bytes], encode: Callable[..., bytes]
) -> None:
    coffee = decoder.decode(photo("coffee.png"))
    copy = cv2.resize(coffee.rgb, (300, 200), interpolation=cv2.INTER_AREA).astype(np.uint8)
    near = HashDetector().detect(decoder.decode(encode(copy, "JPEG", quality=70)), None)
    far = HashDetector().detect(decoder.decode(photo("chelsea.png")), None)
    here = HashDetector().detect(coffee, None)
    for hashes in (here, near, far):
        assert hashes.phash.bit_count() == 32  # the median splits the 64 frequencies in half
    for kind in ("phash", "dhash"):
        assert (getattr(here, kind) ^ getattr(near, kind)).bit_count() <= 4
        assert (getattr(here, kind) ^ getattr(far, kind)).bit_count() >= 16
        assert 0 <= getattr(here, kind) < 2**64
