"""What the vendors' schemas say about the messages that matter here, in the project's own words.

Taken from the OpenAPI documents of mistralai/platform-docs-public and openai/openai-openapi (2.3.0), so that
the rules are checked where those documents are not at hand, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# Mistral's request is closed: any other key is answered with 422.
MISTRAL_KEYS = {
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata",
    "response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction",
    "parallel_tool_calls", "prompt_mode", "reasoning_effort", "guardrails", "prompt_cache_key", "safe_prompt",
}  # fmt: skip
CHAT_KEYS = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "reasoning_effort"}
RESPONSES_KEYS = {
    "model",
    "instructions",
    "input",
    "max_output_tokens",
    "store",
    "reasoning",
    "temperature",
    "text",
}
ANSWER_KEYS = {
    "mistral": {"id", "object", "created", "model", "choices", "usage"},
    "openai": {"id", "object", "created", "model", "choices"},
    "openai-responses": {
        "id", "object", "created_at", "error", "incomplete_details", "instructions", "model", "tools",
        "output", "parallel_tool_calls", "metadata", "tool_choice", "temperature", "top_p",
    },
}  # fmt: skip
CHOICE_KEYS = {
    "mistral": {"index", "finish_reason", "message"},
    "openai": {"index", "finish_reason", "message", "logprobs"},
}
USAGE_KEYS = {
    "mistral": {"prompt_tokens", "completion_tokens", "total_tokens"},
    "openai": {"prompt_tokens", "completion_tokens", "total_tokens"},
    "openai-responses": {
        "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens",
    },
}  # fmt: skip
DETAILS = {"low", "high", "auto", "original"}
DATA_URI = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")
SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def broken_facts(call: str, part: str, message: Mapping[str, Any]) -> list[str]:
    """Which rules a ``"request"`` or a ``"200"`` of a call breaks."""
    check = _CHECKS[part, "responses" if call == "openai-responses" else "chat"]
    return [rule for rule, holds in check(call, message).items() if not holds]


def _chat_request(call: str, request: Mapping[str, Any]) -> dict[str, bool]:
    picture = request["messages"][-1]["content"][-1]
    link, answer_format = picture["image_url"], request.get("response_format")
    allowed = MISTRAL_KEYS if call == "mistral" else CHAT_KEYS | {"response_format"}
    nested = (answer_format or {}).get("json_schema", {})
    return {
        "only keys that are known": request.keys() <= allowed,
        "one token limit": len(request.keys() & {"max_tokens", "max_completion_tokens"}) == 1,
        "image_url is an object": isinstance(link, dict),
        "a data URI": isinstance(link, dict) and bool(DATA_URI.fullmatch(link["url"])),
        "an explicit detail": isinstance(link, dict) and link.get("detail") in DETAILS,
        **_format_facts(answer_format, nested),
    }


def _responses_request(_call: str, request: Mapping[str, Any]) -> dict[str, bool]:
    text, picture = request["input"][0]["content"]
    answer_format = request.get("text", {}).get("format")
    return {
        "only keys that are known": request.keys() <= RESPONSES_KEYS,
        "typed parts": (text["type"], picture["type"]) == ("input_text", "input_image"),
        "image_url is text": isinstance(picture["image_url"], str),
        "a data URI": bool(DATA_URI.fullmatch(str(picture["image_url"]))),
        "an explicit detail": picture.get("detail") in DETAILS,
        "nothing is stored": request.get("store") is False,
        "at least 16 tokens": request["max_output_tokens"] >= 16,
        **_format_facts(answer_format, answer_format or {}),
    }


def _format_facts(answer_format: Mapping[str, Any] | None, schema: Mapping[str, Any]) -> dict[str, bool]:
    if not answer_format or answer_format["type"] != "json_schema":
        return {"a known format": not answer_format or answer_format == {"type": "json_object"}}
    properties = schema.get("schema", {})
    return {
        "the schema has a name": bool(SCHEMA_NAME.fullmatch(schema.get("name", ""))),
        "strict": schema.get("strict") is True,
        "closed": properties.get("additionalProperties") is False,
        "all required": set(properties.get("required", ())) == properties.get("properties", {}).keys(),
    }


def _chat_answer(call: str, answer: Mapping[str, Any]) -> dict[str, bool]:
    choices = answer.get("choices", [])
    return {
        "all keys": answer.keys() >= ANSWER_KEYS[call],
        "an object": answer.get("object") == "chat.completion",
        "all keys of a choice": bool(choices) and all(each.keys() >= CHOICE_KEYS[call] for each in choices),
        "all keys of a message": all(
            call == "mistral" or each.get("message", {}).keys() >= {"role", "content", "refusal"}
            for each in choices
        ),
        "all keys of the usage": answer.get("usage", {}).keys() >= USAGE_KEYS[call],
    }


def _responses_answer(call: str, answer: Mapping[str, Any]) -> dict[str, bool]:
    usage = answer.get("usage")
    messages = [item for item in answer.get("output", ()) if item["type"] == "message"]
    parts = [part for item in messages for part in item["content"]]
    return {
        "all keys": answer.keys() >= ANSWER_KEYS[call],
        "an object": answer.get("object") == "response",
        "all keys of the usage": usage is None or usage.keys() >= USAGE_KEYS[call],
        "all details of the usage": usage is None
        or (
            usage.get("input_tokens_details", {}).keys() >= {"cached_tokens", "cache_write_tokens"}
            and usage.get("output_tokens_details", {}).keys() >= {"reasoning_tokens"}
        ),
        "all keys of a message": all(
            item.keys() >= {"id", "type", "role", "content", "status"} for item in messages
        ),
        "all keys of a part": all(
            part.keys() >= {"type", "text", "annotations", "logprobs"} or "refusal" in part for part in parts
        ),
    }


_CHECKS: dict[tuple[str, str], Callable[[str, Mapping[str, Any]], dict[str, bool]]] = {
    ("request", "chat"): _chat_request,
    ("request", "responses"): _responses_request,
    ("200", "chat"): _chat_answer,
    ("200", "responses"): _responses_answer,
}
