"""Frames of a GIF, counted without decoding any."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.ingest.gif_frames import count_gif_frames
from tests.unit.ingest.pictures import encode, gif, good, picture


@pytest.mark.parametrize("count", [1, 2, 7])
def test_as_many_as_pillow_finds(count: int) -> None:
    first, *rest = [picture(size=(20 + n, 20)).resize((20, 20)).rotate(n * 40) for n in range(count)]
    data = encode(first, "GIF", save_all=True, append_images=rest, loop=0, comment=b"x" * 600, duration=50)
    with Image.open(io.BytesIO(data)) as image:
        assert count_gif_frames(data, 100) == image.n_frames == count  # type: ignore[attr-defined]


def test_counting_ends_when_it_is_enough() -> None:
    assert count_gif_frames(gif((1, 1), [(1, 1)] * 50), 10) == 10


def test_bytes_between_blocks_are_skipped_as_decoders_do() -> None:
    data = gif((1, 1), [(1, 1)] * 2)
    at = data.rindex(b"\x21\xf9")
    assert count_gif_frames(data[:at] + b"\0\0\x01" + data[at:], 10) == 2


def test_what_comes_after_the_end_does_not_count() -> None:
    data = gif((1, 1), [(1, 1)])
    assert count_gif_frames(data + data[13:], 10) == 1


@given(cut=st.integers(0, 400), edits=st.dictionaries(st.integers(0, 399), st.integers(0, 255), max_size=8))
def test_damage_ends_the_count_and_nothing_else(cut: int, edits: dict[int, int]) -> None:
    data = bytearray(good("gif-animated"))
    for at, value in edits.items():
        data[at % len(data)] = value
    assert 0 <= count_gif_frames(bytes(data[:cut]), 5) <= 5
