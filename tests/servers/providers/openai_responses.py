"""OpenAI's responses interface, told in terms of its chat interface."""

from __future__ import annotations

from typing import Any

from tests.servers.providers.chat_vendor import CREATED
from tests.servers.providers.vendor_call import Refused, json_reply
from tests.servers.providers.vendor_plan import Order

_WORDS = (
    "background context_management conversation include input instructions max_output_tokens max_tool_calls "
    "metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store stream "
    "stream_options temperature text tool_choice tools top_logprobs top_p truncation user"
)
KEYS = frozenset(_WORDS.split())


def as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The same request to the chat interface, which keeps ``input``; raises Refused."""
    if unknown := sorted(body.keys() - KEYS):
        raise Refused(_refusal(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter"))
    for key in ("model", "input"):
        if not body.get(key):
            text = f"Missing required parameter: '{key}'."
            raise Refused(_refusal(text, key, "missing_required_parameter"))
    messages = [{**message, "content": _parts(message["content"])} for message in body["input"]]
    if body.get("instructions"):
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    chat = {**body, "messages": messages, "response_format": (body.get("text") or {}).get("format")}
    if "max_output_tokens" in body:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    return chat


def response(order: Order, number: int) -> dict[str, Any]:
    """The body of a 200."""
    text = {"type": "output_text", "text": order.text, "annotations": [], "logprobs": []}
    message = {
        "id": f"msg_{number:08d}",
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if order.is_cut else "completed",
        "content": [text],
    }
    body = order.body
    return {
        "id": f"resp_{number:08d}",
        "object": "response",
        "created_at": CREATED + number,
        "status": "incomplete" if order.is_cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if order.is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": order.model,
        "output": [message],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "none", "summary": None},
        "service_tier": "default",
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": order.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": order.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": order.input_tokens + order.output_tokens,
        },
        "metadata": {},
    }


def _parts(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_part(part) for part in content]


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return {"type": "text", "text": part["text"]}


def _refusal(text: str, param: str, code: str) -> Any:
    error = {"message": text, "type": "invalid_request_error", "param": param, "code": code}
    return json_reply(400, {"error": error})
