"""OpenAI: its chat and its responses interface, limits in headers, and several kinds of 429.

The vendor's published schema (openapi.yaml, MIT) takes every answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.servers.providers.chat_vendor import (
    completion,
    grid_of,
    order_of,
    parts_of,
    read_json,
    text_of,
)
from tests.servers.providers.openai_responses import as_chat, response
from tests.servers.providers.vendor_call import Call, Refused, Reply, json_reply
from tests.servers.providers.vendor_picture import NotAPictureError, Seen, see
from tests.servers.providers.vendor_plan import Order, Plan, Standing
from tests.servers.providers.vendor_words import tokens_of

MODELS = frozenset({"gpt-5.4-mini", "gpt-5.4", "gpt-4.1-mini"})
_WORDS = (
    "messages model service_tier modalities verbosity reasoning_effort max_completion_tokens "
    "frequency_penalty presence_penalty web_search_options top_logprobs response_format audio store "
    "moderation stream stop logit_bias logprobs max_tokens n prediction seed stream_options tools "
    "tool_choice parallel_tool_calls function_call functions metadata temperature top_p user "
    "safety_identifier prompt_cache_key prompt_cache_retention prompt_cache_options"
)
CHAT_KEYS = frozenset(_WORDS.split())
MAX_PATCHES = 1_536
# Tokens for a patch as they were measured for the small model.
TOKENS_PER_PATCH = 1.2
REASONING = "gpt-5"


class FakeOpenAI:
    """Speaks as api.openai.com does; a request that is refused counts against the limit, too."""

    counts_refused = True

    def read(self, call: Call, plan: Plan) -> Order:
        """One picture and the words around it."""
        _check_key(call, plan)
        body = read_json(call, lambda: _error(400, "We could not parse the JSON body of your request."))
        if call.path.endswith("/responses"):
            body = as_chat(body)
        elif call.path.endswith("/chat/completions"):
            _check_chat(body)
        else:
            raise Refused(_error(404, f"Invalid URL (POST {call.path})"))
        return _order(body)

    def answer(self, order: Order, number: int) -> dict[str, Any]:
        """A chat completion or a response, as was asked."""
        if "input" in order.body:
            return response(order, number)
        answer = completion(order, number, {"refusal": None, "annotations": []})
        answer["choices"][0]["logprobs"] = None
        return {**answer, "service_tier": "default"}

    def throttled(self, what: str, standing: Standing) -> Reply:
        """The 429 that passes."""
        headers = self.limits(standing) if standing.plan.tells_limits else {}
        if standing.plan.tells_retry_after:
            headers["Retry-After"] = str(-int(-standing.free_in_s // 1))
            headers["retry-after-ms"] = str(round(standing.free_in_s * 1_000))
        return rate_limited(what, headers)

    def busy(self) -> Reply:
        """Too much to do."""
        return _error(503, "The engine is currently overloaded, please try again later.", kind="server_error")

    def limits(self, standing: Standing) -> dict[str, str]:
        """The headers of every answer; the time until all is free as Go writes durations."""
        told = {"x-request-id": "req_0198", "openai-processing-ms": "412"}
        pairs = (
            ("requests", standing.plan.requests, standing.requests_left),
            ("tokens", standing.plan.tokens, standing.tokens_left),
        )
        for what, limit, left in pairs:
            if limit is not None:
                told[f"x-ratelimit-limit-{what}"] = str(limit)
                told[f"x-ratelimit-remaining-{what}"] = str(left)
                told[f"x-ratelimit-reset-{what}"] = go_duration(standing.free_in_s)
        return told


def go_duration(seconds: float) -> str:
    """As in ``6m0s``, ``1.5s`` and ``120ms``."""
    if seconds < 1:
        return f"{round(seconds * 1_000)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def rate_limited(what: str = "requests", headers: dict[str, str] | None = None) -> Reply:
    """The 429 that passes within a minute."""
    text = f"Rate limit reached for gpt-5.4-mini in organization org-0 on {what} per min."
    return _error(429, text, kind=what, code="rate_limit_exceeded", headers=headers)


def out_of_quota() -> Reply:
    """The 429 that passes when somebody pays."""
    text = "You exceeded your current quota, please check your plan and billing details."
    return _error(429, text, kind="insufficient_quota", code="insufficient_quota")


def _order(body: dict[str, Any]) -> Order:
    model = body["model"]
    if model not in MODELS:
        text = f"The model `{model}` does not exist or you do not have access to it."
        raise Refused(_error(404, text, code="model_not_found"))
    parts = parts_of(body)
    seen = _picture(parts)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    prompt_tokens = tokens_of(text_of(parts)) + image_tokens(seen)
    order = order_of(body, seen, prompt_tokens, limit, body.get("response_format"))
    # What may come is charged before it comes.
    return dataclasses.replace(order, charge=prompt_tokens + max(limit or 0, order.output_tokens))


def image_tokens(seen: Seen) -> int:
    """Patches of 32 pixels, at most 1,536 of them."""
    columns, rows = grid_of(seen, 32)
    return round(min(columns * rows, MAX_PATCHES) * TOKENS_PER_PATCH)


def _check_key(call: Call, plan: Plan) -> None:
    if not call.key:
        raise Refused(_error(401, "You didn't provide an API key."))
    if call.key not in plan.keys:
        text = f"Incorrect API key provided: {call.key[:3]}***."
        raise Refused(_error(401, text, code="invalid_api_key"))


def _check_chat(body: dict[str, Any]) -> None:
    if unknown := sorted(body.keys() - CHAT_KEYS):
        text = f"Unrecognized request argument supplied: {unknown[0]}"
        raise Refused(_error(400, text))
    for key in ("model", "messages"):
        if not body.get(key):
            text = f"Missing required parameter: '{key}'."
            raise Refused(_error(400, text, param=key, code="missing_required_parameter"))
    if not body["model"].startswith(REASONING):
        return
    if "max_tokens" in body:
        text = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        raise Refused(_error(400, text, param="max_tokens", code="unsupported_parameter"))
    if body.get("temperature", 1) != 1:
        text = "Unsupported value: 'temperature'. Only the default (1) value is supported."
        raise Refused(_error(400, text, param="temperature", code="unsupported_value"))


def _picture(parts: list[dict[str, Any]]) -> Seen:
    for number, part in enumerate(parts):
        if part.get("type") != "image_url":
            continue
        if not isinstance(part["image_url"], dict):
            where = f"messages[1].content[{number}].image_url"
            text = f"Invalid type for '{where}': expected an object, but got a string instead."
            raise Refused(_error(400, text, param=where, code="invalid_type"))
        try:
            return see(part["image_url"]["url"])
        except NotAPictureError:
            text = "You uploaded an unsupported image. Please make sure your image is valid."
            raise Refused(_error(400, text, code="invalid_image_format")) from None
    raise Refused(_error(400, "There is no image in this request."))


def _error(
    status: int,
    text: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    return json_reply(
        status, {"error": {"message": text, "type": kind, "param": param, "code": code}}, headers
    )
