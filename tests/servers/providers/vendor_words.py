"""What a fake model says of a picture: words in the form that was asked for, which name the picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.servers.providers.vendor_picture import Seen

CHARS_PER_TOKEN = 4


def caption_of(digest: str) -> str:
    """The sentence by which an answer is matched to a picture."""
    return f"A picture that is known as {digest}."


def say(seen: Seen, answer_format: Mapping[str, Any] | None) -> str:
    """The model's text: JSON by the schema, any JSON, or JSON in a fence where no format was asked for."""
    kind = (answer_format or {}).get("type")
    if answer_format and kind == "json_schema":
        schema = answer_format.get("json_schema", answer_format)["schema"]
        return json.dumps(_filled(schema, schema, "", seen))
    free = {"caption": caption_of(seen.digest), "tags": ["picture", "plain"], "objects": ["canvas"]}
    return json.dumps(free) if kind == "json_object" else f"```json\n{json.dumps(free)}\n```"


def tokens_of(text: str) -> int:
    """Tokens of a text, by the rule of thumb."""
    return -(-len(text) // CHARS_PER_TOKEN)


def cut_to(text: str, max_tokens: int | None) -> tuple[str, bool]:
    """The text as far as ``max_tokens`` reach, and whether that is less than all."""
    if max_tokens is None or tokens_of(text) <= max_tokens:
        return text, False
    return text[: max_tokens * CHARS_PER_TOKEN], True


def _filled(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, seen: Seen) -> object:
    """The smallest value that fits a schema; sentences name the picture."""
    if "$ref" in schema:
        return _filled(root["$defs"][str(schema["$ref"]).rsplit("/", 1)[-1]], root, name, seen)
    if choices := schema.get("anyOf"):
        return _filled(choices[0], root, name, seen)
    kind = schema.get("type")
    if kind == "object":
        return {key: _filled(each, root, key, seen) for key, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_filled(schema["items"], root, name, seen)]
    if kind == "string":
        return caption_of(seen.digest) if name == "caption" else "canvas" if name == "objects" else "picture"
    return {"integer": 0, "number": 0.5, "boolean": False}.get(str(kind))
