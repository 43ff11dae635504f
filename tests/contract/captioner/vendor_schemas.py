"""The vendors' published schemas, where they lie beside the project."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "provider-schemas"
CHAT = {"mistral": "/v1/chat/completions", "openai": "/chat/completions"}


def problems(vendor: str, part: str, message: object) -> list[str]:
    """What is wrong with a ``"request"`` or ``"200"`` of the chat call; skips without the schemas."""
    path = FOLDER / f"{vendor}.json"
    if not path.is_file():
        pytest.skip("the vendors' schemas are not here")
    return [error.message for error in _validator(vendor, part).iter_errors(message)]


@cache
def _validator(vendor: str, part: str) -> Any:
    document = json.loads((FOLDER / f"{vendor}.json").read_text())
    if vendor == "mistral":
        # The published document demands a property that it does not define and that no answer has.
        completion = document["components"]["schemas"]["ChatCompletionResponse"]
        completion["allOf"][1]["required"].remove("data")
    endpoint = document["endpoints"][CHAT[vendor]]
    schema = endpoint["request"] if part == "request" else endpoint["responses"][part]
    return Draft202012Validator({**schema, "components": document["components"]})
