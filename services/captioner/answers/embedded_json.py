"""JSON inside whatever a model wrote around it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator

FENCE = re.compile(r"```[a-zA-Z]*+\s*+(.*?)```", re.DOTALL)
_MAX_STARTS = 20


def loaded(text: str) -> object:
    """The JSON value of the whole text; None where it is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def embedded(text: str) -> Iterator[object]:
    """Fenced JSON (None for what is none), then the objects that begin at one of the first braces."""
    for fence in FENCE.finditer(text):
        yield loaded(fence[1])
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        with contextlib.suppress(ValueError, RecursionError):
            yield decoder.raw_decode(text, start)[0]
        start = text.find("{", start + 1)
