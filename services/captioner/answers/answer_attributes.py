"""What a model answered besides the caption: kept as it is, within bounds that any store can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping

MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_DEPTH = 4
_MAX_NUMBER = 1e300


def bounded_attributes(fields: Mapping[str, object]) -> Mapping[str, object]:
    """Those of ``fields`` that are JSON within bounds, in order, at most 16 KiB as JSON altogether.

    A field is left out as a whole when it nests deeper than four levels, the outermost mapping counted, or
    holds a number that is not finite or text that is no Unicode.
    """
    kept: dict[str, object] = {}
    left_bytes = MAX_ATTRIBUTES_BYTES - len("{}")
    for name, value in fields.items():
        size_bytes = _size_bytes(name, value)
        if size_bytes <= left_bytes:
            kept[name] = value
            left_bytes -= size_bytes
    return kept


def _size_bytes(name: str, value: object) -> int:
    """Bytes of the field and what separates it from the next; more than fits when it is no good."""
    if not _is_sound(value, MAX_DEPTH - 1):
        return MAX_ATTRIBUTES_BYTES
    try:
        return len(json.dumps({name: value}, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return MAX_ATTRIBUTES_BYTES


def _is_sound(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_is_sound(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_sound(item, levels - 1) for item in value)
    if isinstance(value, (int, float)):
        return abs(value) < _MAX_NUMBER
    return value is None or isinstance(value, str)
