"""The local describer's words for given measurements, letter by letter."""

from __future__ import annotations

import pytest

from services.captioner.local.colour_words import colour_word
from services.captioner.local.local_describer import compose
from services.captioner.measurements import ColourShare, Focus, Measurements, Scene
from services.captioner.provider import ParseMode

SKY = ColourShare(70, 130, 180, 0.55)
STONE = ColourShare(128, 128, 130, 0.35)
BLOOD = ColourShare(170, 20, 20, 0.1)

GOLDEN = [
    (
        Measurements(
            width=4032, height=3024, colours=(SKY, STONE, BLOOD), brightness=120, focus=Focus.SHARP,
            scene=Scene.OUTDOOR, face_count=2, text="", barcode_count=0,
        ),
        "A sharp outdoor landscape picture with two faces, mostly blue and grey.",
        ("people", "face", "outdoor", "blue", "grey", "landscape"),
        ("person", "face"),
    ),
    (
        Measurements(
            width=600, height=800, colours=(ColourShare(250, 250, 250, 0.97),), brightness=240,
            focus=Focus.BLURRED, scene=Scene.INDOOR, face_count=0, text="EXIT\n  this way", barcode_count=1,
        ),
        "A bright blurred portrait picture, mostly white. It reads \u201cEXIT this way\u201d.",
        ("text", "barcode", "white", "bright", "blurred", "portrait"),
        ("text", "barcode"),
    ),
    (
        Measurements(width=500, height=500, scene=Scene.OUTDOOR, face_count=1),
        "An outdoor square picture with one face.",
        ("person", "face", "outdoor", "square"),
        ("person", "face"),
    ),
    (
        Measurements(width=640, height=480, colours=(ColourShare(20, 20, 22, 1.0),), brightness=21),
        "A dark landscape picture, mostly black.",
        ("black", "dark", "landscape"),
        (),
    ),
    (Measurements(face_count=14), "A picture with 14 faces.", ("people", "face"), ("person", "face")),
    (Measurements(), "A picture.", (), ()),
]  # fmt: skip


@pytest.mark.parametrize(("measured", "text", "tags", "objects"), GOLDEN)
def test_the_words(
    measured: Measurements, text: str, tags: tuple[str, ...], objects: tuple[str, ...]
) -> None:
    description = compose(measured)

    assert description.text == text
    assert description.tags == tags
    assert description.objects == objects
    assert (description.language, description.model) == ("en", "measurements-1")
    assert description.parse_mode is ParseMode.NOT_ASKED


def test_long_text_is_cut_at_a_word_and_keeps_no_control_characters() -> None:
    text = compose(Measurements(text="\x1b[31mseven " * 100)).text

    assert "\x1b" not in text
    assert text.endswith("\u2026\u201d.")
    assert len(text) < 110


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ((255, 0, 0), "red"), ((0, 0, 128), "blue"), ((34, 139, 34), "green"), ((255, 192, 203), "pink"),
        ((139, 69, 19), "brown"), ((245, 222, 179), "beige"), ((128, 0, 128), "purple"),
        ((255, 255, 0), "yellow"), ((10, 10, 10), "black"), ((200, 200, 200), "grey"),
        ((255, 140, 0), "orange"), ((0, 200, 200), "turquoise"), ((255, 250, 250), "white"),
    ],
)  # fmt: skip
def test_colours_have_the_names_that_people_use(colour: tuple[int, int, int], word: str) -> None:
    assert colour_word(*colour) == word
