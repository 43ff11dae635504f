"""The yardsticks of the quality report, against published data and cases counted by hand."""

from __future__ import annotations

import itertools

import pytest

from bench.quality.box_matching import Tally, add_up, match_boxes, overlap
from bench.quality.character_errors import character_error_rate, embedded_error_rate
from bench.quality.colour_difference import colour_difference, match_palettes, to_lab
from services.analyzer.picture import Box

# Sharma, Wu, Dalal: The CIEDE2000 color-difference formula, Color Res. Appl. 30 (2005), table 1.
SHARMA = (
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 3.1571, -77.2803), (50.0000, 0.0000, -82.7485), 2.8615),
    ((50.0000, 2.8361, -74.0200), (50.0000, 0.0000, -82.7485), 3.4412),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -1.1848, -84.8006), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, -0.9009, -85.5211), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, -1.0000, 2.0000), (50.0000, 0.0000, 0.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0010), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0012), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0010, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (50.0000, 0.0000, -2.5000), 4.3065),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((50.0000, 2.5000, 0.0000), (58.0000, 24.0000, 15.0000), 19.4535),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.1736, 0.5854), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.2972, 0.0000), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 1.8634, 0.5757), 1.0000),
    ((50.0000, 2.5000, 0.0000), (50.0000, 3.2592, 0.3350), 1.0000),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((61.2901, 3.7196, -5.3901), (61.4292, 2.2480, -4.9620), 1.8731),
    ((35.0831, -44.1164, 3.7933), (35.0232, -40.0716, 1.5901), 1.8645),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((36.4612, 47.8580, 18.3852), (36.2715, 50.5065, 21.2231), 1.4146),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((90.9257, -0.5406, -0.9208), (88.6381, -0.8985, -0.7239), 1.5381),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("first", "second", "expected"), SHARMA)
def test_colour_differences_are_the_published_ones(
    first: tuple[float, float, float], second: tuple[float, float, float], expected: float
) -> None:
    assert colour_difference(first, second) == pytest.approx(expected, abs=1e-4)
    assert colour_difference(second, first) == pytest.approx(expected, abs=1e-4)


def test_lab_of_known_colours() -> None:
    assert to_lab(255, 255, 255) == pytest.approx((100, 0, 0), abs=0.1)
    assert to_lab(255, 0, 0) == pytest.approx((53.24, 80.09, 67.20), abs=0.3)
    assert to_lab(0, 0, 255) == pytest.approx((32.30, 79.19, -107.86), abs=0.3)


def test_palettes_are_paired_by_weight_not_in_order() -> None:
    red, green, blue = to_lab(255, 0, 0), to_lab(0, 128, 0), to_lab(0, 0, 255)
    theirs = [(red, 0.5), (green, 0.3), (blue, 0.2)]
    for ours in itertools.permutations(theirs):
        assert match_palettes(theirs, ours) == [(0, 0.5), (0, 0.3), (0, 0.2)]
    # Two of theirs want the same colour of ours: the one that fills more of the picture gets it.
    near = to_lab(250, 10, 10)
    pairs = match_palettes([(near, 0.1), (red, 0.9)], [(red, 0.9), (blue, 0.1)])
    assert pairs[1] == pytest.approx((0, 0.9))
    assert pairs[0][0] > 30
    with pytest.raises(ValueError, match="1 colours"):
        match_palettes(theirs, [(red, 1.0)])


@pytest.mark.parametrize(
    ("read", "truth", "whole", "embedded"),
    [
        ("Fresh bread", "Fresh bread", 0, 0),
        ("  Fresh\n bread ", "Fresh bread", 0, 0),
        ("", "Fresh bread", 1, 1),
        ("Fresh broad", "Fresh bread", 1 / 11, 1 / 11),
        ("Frsh bread", "Fresh bread", 1 / 11, 1 / 11),
        ("Freesh bread", "Fresh bread", 1 / 11, 1 / 11),
        ("~ Fresh bread |x", "Fresh bread", 5 / 11, 0),
        ("bread", "Fresh bread", 6 / 11, 6 / 11),
        ("qqqq", "ab", 2, 1),
        ("", "", 0, 0),
        ("x", "", 1, 0),
    ],
)
def test_character_errors(read: str, truth: str, whole: float, embedded: float) -> None:
    assert character_error_rate(read, truth) == pytest.approx(whole)
    assert embedded_error_rate(read, truth) == pytest.approx(embedded)


def test_overlap_is_intersection_over_union() -> None:
    box = Box(10, 10, 20, 20)
    assert overlap(box, box) == 1
    assert overlap(box, Box(20, 10, 20, 20)) == pytest.approx(1 / 3)
    assert overlap(box, Box(30, 10, 20, 20)) == 0
    assert overlap(box, Box(100, 100, 5, 5)) == 0


def test_each_box_counts_once() -> None:
    truth = [Box(0, 0, 10, 10), Box(100, 0, 10, 10)]
    twice = [Box(0, 0, 10, 10), Box(1, 0, 10, 10), Box(100, 1, 10, 10)]
    assert match_boxes(twice, truth, 0.4) == Tally(found=2, missed=0, false=1)
    assert match_boxes([Box(6, 0, 10, 10)], truth, 0.4) == Tally(found=0, missed=2, false=1)
    assert match_boxes([], [], 0.4) == Tally()


def test_the_better_pair_goes_first() -> None:
    truth = [Box(0, 0, 10, 10), Box(4, 0, 10, 10)]
    # The exact one would do for the other face as well, which would leave its own to nobody.
    assert match_boxes([Box(4, 0, 10, 10), Box(-3, 0, 10, 10)], truth, 0.4).found == 2


def test_one_box_is_not_two_faces() -> None:
    truth = [Box(0, 0, 10, 10), Box(4, 0, 10, 10)]
    assert match_boxes([Box(2, 0, 10, 10)], truth, 0.4) == Tally(found=1, missed=1)


def test_rates_of_a_tally() -> None:
    tally = add_up([Tally(found=6, missed=2), Tally(found=0, false=4)])
    assert [tally.precision, tally.recall, tally.f1] == pytest.approx([0.6, 0.75, 2 / 3])
    assert (Tally().precision, Tally().recall, Tally().f1) == (1, 1, 1)
    assert Tally(missed=1).f1 == 0
