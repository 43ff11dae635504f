"""Plain words for colours, as people say them and search for them."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

from services.captioner.measurements import ColourShare

# Upper end of each hue in degrees, and what lies up to it.
_HUES = ((15, "red"), (40, "orange"), (68, "yellow"), (165, "green"), (195, "turquoise"), (255, "blue"),
         (290, "purple"), (335, "pink"), (361, "red"))  # fmt: skip
_MIN_SHARE = 0.12
_MAX_WORDS = 3


def colour_word(red: int, green: int, blue: int) -> str:
    """One word for an sRGB colour, each part 0 to 255."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    degrees = hue * 360
    if value < 0.16:
        return "black"
    if saturation < 0.14:
        return "white" if value > 0.86 else "grey"
    word = next(name for end, name in _HUES if degrees < end)
    if word in ("red", "orange", "yellow") and 10 <= degrees < 50:
        if saturation < 0.4 and value > 0.6:
            return "beige"
        if value < 0.72:
            return "brown"
    if word == "red" and saturation < 0.5 and value > 0.8:
        return "pink"
    return "purple" if word == "pink" and value < 0.6 else word


def main_colour_words(colours: Iterable[ColourShare]) -> tuple[str, ...]:
    """The words that cover most of the picture, largest first: at most three, equal words added up."""
    shares: dict[str, float] = {}
    for colour in colours:
        word = colour_word(colour.red, colour.green, colour.blue)
        shares[word] = shares.get(word, 0.0) + colour.share
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    telling = [word for word, share in ranked if share >= _MIN_SHARE] or [word for word, _ in ranked[:1]]
    return tuple(telling[:_MAX_WORDS])
