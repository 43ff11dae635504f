"""Cells of colours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from services.catalog.colors import Rgb, cell_of, cells_near, cells_of


def colors_of(levels: Sequence[int]) -> list[Rgb]:
    return [(red, green, blue) for red, green, blue in product(levels, repeat=3)]


def test_many_colors_lie_in_the_cells_that_each_of_them_lies_in() -> None:
    colors = colors_of((0, 1, 37, 128, 200, 254, 255))
    assert cells_of(colors) == [cell_of(color) for color in colors]
    assert cells_of([]) == []


def test_the_cell_of_a_color_is_among_those_near_it() -> None:
    for color in colors_of((0, 127, 255)):
        assert cell_of(color) in cells_near(color)
