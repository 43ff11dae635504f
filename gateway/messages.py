"""Messages as JSON, to the letter as the edge's transcoder prints them."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


def tree(message: Message) -> dict[str, Any]:
    """Names as in the contract, 64-bit numbers as text, fields at their defaults included."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def compact(message: Message) -> bytes:
    """One line of JSON."""
    return json.dumps(tree(message), ensure_ascii=False, separators=(",", ":")).encode()
