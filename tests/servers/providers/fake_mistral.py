"""Mistral: a closed request, two shapes of errors, limits in headers or not at all, and no Retry-After.

Shapes and codes are those that were captured from the real service; the schema of its platform
documentation (openapi.yaml, Apache-2.0) takes every answer.
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
from tests.servers.providers.vendor_call import Call, Refused, Reply, json_reply
from tests.servers.providers.vendor_picture import NotAPictureError, Seen, see
from tests.servers.providers.vendor_plan import Order, Plan, Standing
from tests.servers.providers.vendor_words import tokens_of

_WORDS = (
    "model messages temperature top_p max_tokens stream stop random_seed metadata response_format tools "
    "tool_choice presence_penalty frequency_penalty n prediction parallel_tool_calls prompt_mode "
    "reasoning_effort guardrails prompt_cache_key safe_prompt"
)
REQUEST_KEYS = frozenset(_WORDS.split())
SEEING = frozenset({"mistral-small-latest", "mistral-medium-latest", "ministral-3b-latest"})
BLIND = frozenset({"codestral-latest"})
MAX_IMAGE_BYTES = 10 * 1024 * 1024
MAX_IMAGES = 8
MAX_EDGE_PX = 1540


class FakeMistral:
    """Speaks as api.mistral.ai does."""

    counts_refused = False

    def read(self, call: Call, plan: Plan) -> Order:
        """One picture and the words around it."""
        _check_key(call, plan)
        if not call.path.endswith("/v1/chat/completions"):
            raise Refused(json_reply(404, {"message": "no Route matched with those values"}))
        body = read_json(call, lambda: _invalid("json_invalid", ["body"], "JSON decode error"))
        _check_keys(body)
        model = body["model"]
        if model not in SEEING | BLIND:
            raise Refused(_error(400, f"Invalid model: {model}", "invalid_model", "1500"))
        parts = parts_of(body)
        seen = _picture(parts, model)
        text = text_of(parts)
        answer_format = body.get("response_format")
        order = order_of(
            body, seen, tokens_of(text) + image_tokens(seen), body.get("max_tokens"), answer_format
        )
        if (answer_format or {}).get("type") == "json_object" and "json" not in text.lower():
            # The documented limitation: without the word the model writes blanks until it is stopped.
            return dataclasses.replace(order, text="\n" * 64, is_cut=True)
        return order

    def answer(self, order: Order, number: int) -> dict[str, Any]:
        """A chat completion; Mistral's message has no refusal and its choice no logprobs."""
        return completion(order, number, {"tool_calls": None})

    def throttled(self, what: str, standing: Standing) -> Reply:  # noqa: ARG002  it does not say what
        """Bare, unless the plan tells."""
        headers = self.limits(standing) if standing.plan.tells_limits else {}
        if standing.plan.tells_retry_after:
            headers["Retry-After"] = f"{standing.free_in_s:.3f}"
        return rate_limited(headers)

    def busy(self) -> Reply:
        """The capacity error."""
        return over_capacity()

    def limits(self, standing: Standing) -> dict[str, str]:
        """The headers of an inference call."""
        told = {"x-ratelimit-tokens-query-cost": str(standing.cost), "mistral-correlation-id": "0198"}
        if standing.plan.requests is not None:
            told["x-ratelimit-limit-req-minute"] = str(standing.plan.requests)
            told["x-ratelimit-remaining-req-minute"] = str(standing.requests_left)
        if standing.plan.tokens is not None:
            told["x-ratelimit-limit-tokens-minute"] = str(standing.plan.tokens)
            told["x-ratelimit-remaining-tokens-minute"] = str(standing.tokens_left)
        return told


def image_tokens(seen: Seen) -> int:
    """Cells of 28 pixels and an end for each row, after it is fitted into 1540 pixels."""
    shrink = max(1.0, seen.width / MAX_EDGE_PX, seen.height / MAX_EDGE_PX)
    fitted = dataclasses.replace(seen, width=round(seen.width / shrink), height=round(seen.height / shrink))
    columns, rows = grid_of(fitted, 28)
    return columns * rows + rows


def rate_limited(headers: dict[str, str] | None = None) -> Reply:
    """The 429 as it was captured."""
    return _error(429, "Rate limit exceeded", "rate_limited", "1300", headers)


def over_capacity() -> Reply:
    """The 429 that has nothing to do with this account's rate."""
    text = "Service tier capacity exceeded for this model."
    return _error(429, text, "service_tier_capacity_exceeded", "3505")


def _check_key(call: Call, plan: Plan) -> None:
    if not call.key:
        raise Refused(json_reply(401, {"detail": "Unauthorized"}))
    if call.key not in plan.keys:
        raise Refused(json_reply(401, {"message": "Unauthorized", "request_id": "0198f0c2"}))


def _check_keys(body: dict[str, Any]) -> None:
    for key in body.keys() - REQUEST_KEYS:
        fault = {
            "type": "extra_forbidden",
            "loc": ["body", key],
            "msg": "Extra inputs are not permitted",
            "input": body[key],
        }
        raise Refused(_error(422, {"detail": [fault]}, "invalid_request_error", None))
    for key in ("model", "messages"):
        if not body.get(key):
            raise Refused(_invalid("missing", ["body", key], "Field required"))


def _picture(parts: list[dict[str, Any]], model: str) -> Seen:
    urls = [part["image_url"] for part in parts if part.get("type") == "image_url"]
    if not urls or len(urls) > MAX_IMAGES:
        text = f"A request holds 1 to {MAX_IMAGES} images here"
        raise Refused(_error(400, text, "invalid_request_message_order", "3230"))
    if model in BLIND:
        raise Refused(
            _error(400, "Image input is not enabled for this model", "invalid_request_prompt", "3051")
        )
    try:
        seen = [see(url if isinstance(url, str) else url["url"]) for url in urls]
    except NotAPictureError:
        text = "Image could not be loaded as a valid image"
        raise Refused(_error(400, text, "invalid_request_file", "3310")) from None
    if any(each.size_bytes > MAX_IMAGE_BYTES for each in seen):
        raise Refused(_error(400, "Image exceeds the size limit of 10 MB", "invalid_request_file", "3310"))
    return seen[0]


def _error(
    status: int, message: object, kind: str, code: str | None, headers: dict[str, str] | None = None
) -> Reply:
    body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    return json_reply(status, {**body, "raw_status_code": status}, headers)


def _invalid(kind: str, where: list[str], text: str) -> Reply:
    return json_reply(422, {"detail": [{"type": kind, "loc": where, "msg": text}]})
