"""Describes a picture from what was measured on it: always there, costs nothing, claims nothing unseen."""

from __future__ import annotations

from typing import ClassVar

from services.captioner.local.colour_words import main_colour_words
from services.captioner.measurements import Focus, Measurements, Scene
from services.captioner.picture import Picture
from services.captioner.provider import Ask, Description, ParseMode

LOCAL_ID = "local"
DARK_BELOW = 60
BRIGHT_ABOVE = 190
MAX_QUOTE_CHARS = 80
_SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class LocalDescriber:
    """The last link of a chain. Writes English; the same measurements always give the same words."""

    id: ClassVar[str] = LOCAL_ID
    model: ClassVar[str] = "measurements-1"

    async def describe(self, picture: Picture, ask: Ask) -> Description:  # noqa: ARG002  measurements know one way
        """Composes words; raises only what ``Picture.measurements`` raises."""
        return compose(await picture.measurements())


def compose(measured: Measurements) -> Description:
    """Caption, tags and objects for measurements."""
    return Description(
        text=_sentences(measured),
        tags=_tags(measured),
        objects=_objects(measured),
        language="en",
        model=LocalDescriber.model,
        parse_mode=ParseMode.NOT_ASKED,
    )


def _sentences(measured: Measurements) -> str:
    subject = " ".join((*_adjectives(measured), "picture"))
    article = "An" if subject[0] in "aeiou" else "A"
    parts = [f"{article} {subject}"]
    if measured.face_count:
        parts.append(f"with {_counted(measured.face_count, 'face')}")
    sentence = " ".join(parts)
    if colours := main_colour_words(measured.colours):
        sentence += f", mostly {_joined(colours)}"
    if quote := _quote(measured.text or ""):
        return f"{sentence}. It reads \u201c{quote}\u201d."
    return f"{sentence}."


def _adjectives(measured: Measurements) -> list[str]:
    words = [_light(measured.brightness), "" if measured.focus is Focus.SOFT else measured.focus.value]
    words.append(_place(measured.scene))
    words.append(_orientation(measured.width, measured.height))
    return [word for word in words if word]


def _light(brightness: int | None) -> str:
    if brightness is None or DARK_BELOW <= brightness <= BRIGHT_ABOVE:
        return ""
    return "dark" if brightness < DARK_BELOW else "bright"


def _place(scene: Scene) -> str:
    # The measurement behind "indoor" means "neither of the others", which is no claim to put into words.
    return scene.value if scene in (Scene.OUTDOOR, Scene.NATURE) else ""


def _orientation(width: int, height: int) -> str:
    if not width or not height:
        return ""
    if abs(width - height) * 20 <= max(width, height):
        return "square"
    return "landscape" if width > height else "portrait"


def _tags(measured: Measurements) -> tuple[str, ...]:
    faces = measured.face_count or 0
    words = [
        "people" if faces > 1 else "",
        "person" if faces == 1 else "",
        "face" if faces else "",
        "text" if measured.text else "",
        "barcode" if measured.barcode_count else "",
        _place(measured.scene),
        *main_colour_words(measured.colours),
        _light(measured.brightness),
        "blurred" if measured.focus is Focus.BLURRED else "",
        _orientation(measured.width, measured.height),
    ]
    return tuple(dict.fromkeys(word for word in words if word))


def _objects(measured: Measurements) -> tuple[str, ...]:
    words: list[str] = []
    if measured.face_count:
        words += ["person", "face"]
    if measured.text:
        words.append("text")
    if measured.barcode_count:
        words.append("barcode")
    return tuple(words)


def _quote(text: str) -> str:
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    line = line.replace("\u201c", '"').replace("\u201d", '"')
    if len(line) <= MAX_QUOTE_CHARS:
        return line
    cut = line[:MAX_QUOTE_CHARS]
    return (cut.rpartition(" ")[0] or cut).rstrip(" .,;:") + "\u2026"


def _counted(count: int, noun: str) -> str:
    number = _SMALL_NUMBERS[count] if count < len(_SMALL_NUMBERS) else str(count)
    return f"{number} {noun}" + ("" if count == 1 else "s")


def _joined(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
