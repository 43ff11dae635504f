"""What the chat protocols of the fake vendors share: reading the messages, and the body of an answer."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from tests.servers.providers.vendor_call import Call, Refused, Reply
from tests.servers.providers.vendor_picture import Seen
from tests.servers.providers.vendor_plan import Order
from tests.servers.providers.vendor_words import cut_to, say, tokens_of

CREATED = 1_780_000_000


def read_json(call: Call, malformed: Callable[[], Reply]) -> dict[str, Any]:
    """The body as an object; raises Refused with ``malformed``."""
    try:
        loaded = json.loads(call.body)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        raise Refused(malformed())
    return loaded


def parts_of(body: Mapping[str, Any], key: str = "messages") -> list[dict[str, Any]]:
    """All parts of all messages; text that stands alone becomes a part."""
    parts: list[dict[str, Any]] = []
    for message in body[key]:
        content = message["content"]
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts


def text_of(parts: list[dict[str, Any]]) -> str:
    """What the request says in words."""
    return "\n".join(str(part["text"]) for part in parts if "text" in part)


def order_of(
    body: dict[str, Any],
    seen: Seen,
    prompt_tokens: int,
    max_tokens: int | None,
    answer_format: Mapping[str, Any] | None,
) -> Order:
    """The order, with the words that answer it."""
    text, is_cut = cut_to(say(seen, answer_format), max_tokens)
    output = tokens_of(text)
    return Order(body["model"], seen, text, is_cut, prompt_tokens, output, prompt_tokens + output, body)


def completion(order: Order, number: int, message: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat answer as every vendor sends it; ``message`` adds what is the vendor's own."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": order.text, **message},
        "finish_reason": "length" if order.is_cut else "stop",
    }
    usage = {
        "prompt_tokens": order.input_tokens,
        "completion_tokens": order.output_tokens,
        "total_tokens": order.input_tokens + order.output_tokens,
    }
    return {
        "id": f"cmpl-{number:08d}",
        "object": "chat.completion",
        "created": CREATED + number,
        "model": order.model,
        "choices": [choice],
        "usage": usage,
    }


def grid_of(seen: Seen, cell_px: int) -> tuple[int, int]:
    """Columns and rows of cells that cover a picture."""
    return math.ceil(seen.width / cell_px), math.ceil(seen.height / cell_px)
