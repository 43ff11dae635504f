"""What an external image endpoint answers: a description, or an analysis with fields of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from services.captioner.answers.answer_attributes import bounded_attributes
from services.captioner.answers.answer_parser import (
    MAX_ANSWER_CHARS,
    MAX_OBJECTS,
    MAX_TAGS,
    clean_caption,
    clean_words,
    parse_answer,
)
from services.captioner.answers.embedded_json import embedded, loaded
from services.captioner.provider import AnswerError, ParseMode

_PREFIX = re.compile(r"^\W{0,8}final response\W{0,8}", re.IGNORECASE)
_LINE = re.compile(r"^[ \t>*\"'-]{0,8}([A-Za-z][\w ]{0,40}?)[*_\"' ]{0,8}:[ \t*_]{0,8}(.*)$", re.MULTILINE)
_FAULT = re.compile(r"invalid|error", re.IGNORECASE)
_TEXTS = ("caption", "image_description", "description", "text_content")
_OWN = ("caption", "tags", "objects")


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What can be said of the picture; ``attributes`` are the fields that are not ours, in lower case."""

    text: str
    tags: tuple[str, ...]
    objects: tuple[str, ...]
    attributes: Mapping[str, object]
    mode: ParseMode


def read_endpoint_answer(body: bytes) -> EndpointAnswer:
    """Reads the body of a 200; raises AnswerError or RefusedError."""
    try:
        loaded = from_json(body)
    except ValueError:
        loaded = body.decode(errors="replace")
        if loaded.lstrip().startswith("<"):
            raise AnswerError("The endpoint answers with a page in place of JSON.") from None
    if not isinstance(loaded, dict):
        return _from_text(loaded, prose_allowed=False)
    _check_detail(loaded)
    response = loaded.get("response", loaded)
    if isinstance(response, dict):
        return _from_fields(response, ParseMode.JSON)
    return _from_text(response, prose_allowed=True)


def _from_text(text: object, *, prose_allowed: bool) -> EndpointAnswer:
    if not isinstance(text, str):
        raise AnswerError("The endpoint's answer is neither an object nor text.")
    text = text[:MAX_ANSWER_CHARS].strip()
    whole = loaded(text)
    if isinstance(whole, dict):
        return _from_fields(whole, ParseMode.JSON)
    if found := [item for item in embedded(text) if isinstance(item, dict)]:
        telling = (item for item in found if _description_of(_lowered(item)))
        return _from_fields(next(telling, found[0]), ParseMode.REPAIRED)
    fields = _fields_of_lines(text)
    if _description_of(fields):
        return _from_fields(fields, ParseMode.SECTIONS)
    parsed = parse_answer(text, prose_allowed=prose_allowed)
    return EndpointAnswer(parsed.caption, parsed.tags, parsed.objects, parsed.attributes, parsed.mode)


def _from_fields(found: Mapping[str, object], mode: ParseMode) -> EndpointAnswer:
    fields = _lowered(found)
    _check_detail(fields)
    text = _description_of(fields)
    if not text:
        raise AnswerError("The endpoint's answer holds no description.")
    tags = clean_words(fields.get("tags"), MAX_TAGS)
    objects = clean_words(fields.get("objects"), MAX_OBJECTS)
    others = {name: value for name, value in fields.items() if name not in _OWN}
    return EndpointAnswer(text, tags, objects, bounded_attributes(others), mode)


def _description_of(fields: Mapping[str, object]) -> str:
    return next((text for name in _TEXTS if (text := _text_of(fields.get(name)))), "")


def _lowered(fields: Mapping[str, object]) -> dict[str, object]:
    return {name.strip().lower(): value for name, value in fields.items()}


def _check_detail(fields: Mapping[str, object]) -> None:
    detail = fields.get("detail")
    if isinstance(detail, str) and _FAULT.search(detail):
        raise AnswerError("The endpoint answers that it failed.")


def _text_of(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(item.strip() for item in value if isinstance(item, str) and item.strip())
    return clean_caption(value)


def _fields_of_lines(text: str) -> dict[str, object]:
    lines = _LINE.finditer(_PREFIX.sub("", text))
    return {"_".join(line[1].lower().split()): line[2].strip(" \t\r*_\"',") for line in lines}
