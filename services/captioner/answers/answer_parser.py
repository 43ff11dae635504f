"""Caption, tags and objects out of whatever a model answered, from proper JSON down to plain prose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import json_repair

from services.captioner.answers.answer_attributes import bounded_attributes
from services.captioner.answers.embedded_json import FENCE, embedded, loaded
from services.captioner.provider import NO_ATTRIBUTES, AnswerError, ParseMode, RefusedError

MAX_ANSWER_CHARS = 32_000
MAX_REPAIR_CHARS = 16_000
# "null" and "N/A" are no prose; a sentence in Chinese may be this short.
MIN_PROSE_LETTERS = 5
MAX_REPAIR_MARKS = 600
MAX_REPAIR_BRACES = 50
MAX_CAPTION_CHARS = 1_000
MAX_WORD_CHARS = 64
MAX_TAGS = 20
MAX_OBJECTS = 40

_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_LABEL = re.compile(
    r"^[ \t#>*_-]*+(caption|description|tags|keywords|objects)[*_ ]*:[*_]*[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_REFUSAL = re.compile(
    r"(?:(?:i['\u2019]?m |i am )?(?:very )?sorry|as an ai)\b"
    r".{0,120}?(?:can['\u2019]?t|cannot|can not|won['\u2019]?t|unable|not able)"
    r"|i (?:can['\u2019]?t|cannot|am unable to|['\u2019]m unable to) (?:help|assist|describe|analy)",
    re.IGNORECASE | re.DOTALL,
)
_PREAMBLE = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok|absolutely|here(?:'s| is| are))\b[^.:!\n]{0,120}[:!.]\s*)+",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^(?:in )?(?:this|the) (?:image|photo|photograph|picture),? "
    r"(?:shows|depicts|features|is of|contains|we see)\s+",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\s])")
# What models call the caption, the tags and the objects.
_KEYS = (
    ("caption", "description", "text", "summary"),
    ("tags", "keywords", "labels"),
    ("objects", "items", "things"),
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was found and how. ``attributes`` is what a JSON answer holds besides, within bounds."""

    caption: str
    tags: tuple[str, ...]
    objects: tuple[str, ...]
    mode: ParseMode
    attributes: Mapping[str, object] = field(default_factory=lambda: NO_ATTRIBUTES)


def parse_answer(answer: str, *, truncated: bool = False, prose_allowed: bool = True) -> Parsed:
    """Reads an answer; ``truncated`` says that the model ran into its token limit.

    Raises RefusedError when the model declined, AnswerError when nothing in it can be used.
    """
    text = _without_thoughts(answer[:MAX_ANSWER_CHARS]).strip()
    found = _from_json(text, truncated) or _from_sections(text)
    if found is None and prose_allowed:
        found = _from_prose(text)
    if found is None or not found.caption:
        raise AnswerError("The model's answer holds no description.")
    if _REFUSAL.match(found.caption):
        raise declined()
    return found


def declined() -> RefusedError:
    """The model does not want to."""
    return RefusedError("The model declined to describe this image.")


def empty_answer(truncated: bool) -> AnswerError:
    """The model said nothing."""
    reason = ": the token limit is too small." if truncated else "."
    return AnswerError(f"The model's answer is empty{reason}")


def clean_words(value: object, limit: int) -> tuple[str, ...]:
    """Lower-case words without repetition, from a list, a list of objects with a name, or "a, b, c"."""
    items = re.split(r"[,;\n]", value) if isinstance(value, str) else value if isinstance(value, list) else []
    words = (_word(item) for item in items)
    return tuple(dict.fromkeys(word for word in words if word))[:limit]


def clean_caption(value: object) -> str:
    """One line without control characters, of bounded length."""
    text = _printable(value) if isinstance(value, str) else ""
    return text if len(text) <= MAX_CAPTION_CHARS else text[: MAX_CAPTION_CHARS - 1].rstrip() + "\u2026"


def _without_thoughts(text: str) -> str:
    text = _THOUGHT.sub("", text)
    # Some servers swallow the opening mark.
    return _THOUGHT_END.split(text)[-1]


def _from_json(text: str, truncated: bool) -> Parsed | None:
    whole = loaded(text)
    if isinstance(whole, dict) and (found := _from_mapping(whole, ParseMode.JSON)):
        return found
    for candidate in (whole, *embedded(text)):
        if found := _from_mapping(_unwrapped(candidate), ParseMode.REPAIRED):
            return found
    mapping = _unwrapped(_repaired(text))
    return _from_mapping(_without_last_item(mapping) if truncated else mapping, ParseMode.REPAIRED)


def _repaired(text: str) -> object:
    """Mended JSON. The mending takes time with the square of marks and gaps, so both are bounded."""
    start = text.find("{")
    broken = " ".join(text[start:].split())
    marks = sum(not char.isalnum() and char != " " for char in broken)
    braces = broken.count("{") + broken.count("[")
    if start < 0 or len(broken) > MAX_REPAIR_CHARS or marks > MAX_REPAIR_MARKS or braces > MAX_REPAIR_BRACES:
        return None
    try:
        repaired: object = json_repair.loads(broken)
    except (ValueError, RecursionError):
        return None
    return repaired


def _unwrapped(value: object) -> object:
    """The mapping inside ``[{...}]`` or ``{"result": {...}}``."""
    if isinstance(value, list) and value:
        return _unwrapped(value[0]) if not isinstance(value[0], list) else None
    if isinstance(value, dict) and len(value) == 1:
        inner = next(iter(value.values()))
        return inner if isinstance(inner, dict) else value
    return value


def _from_mapping(value: object, mode: ParseMode) -> Parsed | None:
    if not isinstance(value, dict):
        return None
    names = {str(key).strip().lower(): key for key in value}
    caption_key, tags_key, objects_key = (_first(names, words) for words in _KEYS)
    caption = clean_caption(value.get(caption_key))
    if not caption:
        return None
    rest = {str(key): value[key] for key in value if key not in (caption_key, tags_key, objects_key)}
    return Parsed(
        caption,
        clean_words(value.get(tags_key), MAX_TAGS),
        clean_words(value.get(objects_key), MAX_OBJECTS),
        mode,
        bounded_attributes(rest),
    )


def _first(names: Mapping[str, str], words: tuple[str, ...]) -> str | None:
    return next((names[word] for word in words if word in names), None)


def _without_last_item(value: object) -> object:
    """Drops the item that the token limit cut in two: the last one of the last list."""
    if not isinstance(value, dict):
        return value
    last = next(reversed(value), None)
    if isinstance(value.get(last), list):
        return {**value, last: value[last][:-1]}
    return value


def _from_sections(text: str) -> Parsed | None:
    parts = _LABEL.split(text)
    sections = {label.lower(): body for label, body in zip(parts[1::2], parts[2::2], strict=True)}
    body = sections.get("caption", sections.get("description", ""))
    caption = clean_caption(body.strip().strip("*_"))
    if not caption:
        return None
    tags = clean_words(sections.get("tags", sections.get("keywords", "")), MAX_TAGS)
    return Parsed(caption, tags, clean_words(sections.get("objects", ""), MAX_OBJECTS), ParseMode.SECTIONS)


def _from_prose(text: str) -> Parsed | None:
    if text.startswith(("{", "[", "<")):
        return None
    # Data in a fence is no prose, whatever stands around it.
    text = FENCE.sub(lambda fence: "" if fence[1].startswith(("{", "[")) else fence[1], text)
    text = _PREAMBLE.sub("", text.replace("```", " ").strip())
    text = re.sub(r"[*_#`]+", "", text)
    text = _printable(_OPENING.sub("", text))
    # What ends in a colon announces something that is not there.
    if sum(char.isalnum() for char in text) < MIN_PROSE_LETTERS or text.endswith(":"):
        return None
    sentences = _SENTENCE_END.split(text)
    caption = clean_caption(" ".join(sentences[:2]))
    return Parsed(caption[:1].upper() + caption[1:], (), (), ParseMode.PROSE)


def _word(item: object) -> str:
    if isinstance(item, dict):
        item = item.get("name", item.get("label", item.get("tag", "")))
    if not isinstance(item, str):
        return ""
    word = _printable(item).strip(" .,;:!?\"'`*-\u2022#[](){}").lower()
    return word if len(word) <= MAX_WORD_CHARS else ""


def _printable(text: str) -> str:
    # Line breaks count as white space; what is left of the control characters has no place in a caption.
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
