"""How an upload form reads in the API document."""

from __future__ import annotations

from typing import Any


def file_form(field: str) -> dict[str, Any]:
    """A multipart body with one required file."""
    schema = {
        "type": "object",
        "required": [field],
        "properties": {field: {"type": "string", "format": "binary"}},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
