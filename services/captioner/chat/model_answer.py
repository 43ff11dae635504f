"""What both of OpenAI's protocols have in common once an answer is there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from services.captioner.answers.answer_parser import Parsed
from services.captioner.provider import AnswerError, ProviderError, Tokens

# More than any model reads at once; a larger figure is a mistake, and must not empty a budget.
MAX_TOKENS = 10_000_000
MAX_MODEL_CHARS = 128


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What was said, by which model (empty when it does not say), and the tokens (None likewise)."""

    parsed: Parsed
    model: str
    tokens: Tokens | None


def loaded_mapping(body: bytes) -> Mapping[str, object]:
    """The JSON object of a 200; raises AnswerError."""
    try:
        loaded: object = json.loads(body)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise AnswerError("The provider's answer is not the JSON that was expected.", may_be_billed=True)
    return loaded


def mapping(value: object) -> Mapping[str, object]:
    """``value`` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """``value`` where it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """``value`` where it is text, else nothing."""
    return value if isinstance(value, str) else ""


def model_name(value: object) -> str:
    """The name of a model in letters that can be stored and shown."""
    return "".join(char for char in text(value)[:MAX_MODEL_CHARS] if char.isprintable())


def counted_tokens(usage: object, input_key: str, output_key: str) -> Tokens | None:
    """What an answer says that it took; None where that is missing or absurd."""
    counts = [mapping(usage).get(key) for key in (input_key, output_key)]
    found = [count for count in counts if type(count) is int and 0 <= count <= MAX_TOKENS]
    return Tokens(*found) if len(found) == len(counts) else None


@contextmanager
def billed(tokens: Tokens | None) -> Iterator[None]:
    """Whatever is wrong with an answer inside, it has its price."""
    try:
        yield
    except ProviderError as error:
        error.tokens = tokens
        error.may_be_billed = tokens is None
        raise
