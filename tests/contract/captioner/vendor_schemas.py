"""The vendors' published schemas, where they lie beside the project."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "provider-schemas"
# The document of a vendor, and the path of the call in it.
CALLS = {
    "mistral": ("mistral", "/v1/chat/completions"),
    "openai": ("openai", "/chat/completions"),
    "openai-responses": ("openai", "/responses"),
}


def problems(call: str, part: str, message: object) -> list[str]:
    """What is wrong with a ``"request"``, a ``"200"`` or an error of a call; skips without the schemas."""
    if not FOLDER.is_dir():
        pytest.skip("the vendors' schemas are not here")
    return [error.message for error in _validator(call, part).iter_errors(message)]


@cache
def _validator(call: str, part: str) -> Any:
    vendor, path = CALLS[call]
    document = json.loads((FOLDER / f"{vendor}.json").read_text())
    if vendor == "mistral":
        # The published document demands a property that it does not define and that no answer has.
        completion = document["components"]["schemas"]["ChatCompletionResponse"]
        completion["allOf"][1]["required"].remove("data")
    if vendor == "openai":
        # A message with parts is both kinds of input item; the document means it to be either.
        item = document["components"]["schemas"]["InputItem"]
        item["anyOf"] = item.pop("oneOf")
    endpoint = document["endpoints"][path]
    schema = endpoint["request"] if part == "request" else endpoint["responses"][part]
    return Draft202012Validator({**schema, "components": document["components"]})
