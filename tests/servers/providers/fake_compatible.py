"""Two servers that speak OpenAI's chat protocol in their own way: Gemini's, and Ollama."""

from __future__ import annotations

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

GEMINI_MODEL = "gemini-2.5-flash"
OLLAMA_MODEL = "qwen3-vl"
GEMINI_IMAGE_TOKENS = 258
_TYPES = "type.googleapis.com/google.rpc"


class FakeGemini:
    """Gemini's beta of the chat protocol: errors are an array, the wait stands in the body."""

    counts_refused = False

    def read(self, call: Call, plan: Plan) -> Order:
        """One picture and the words around it."""
        if call.key not in plan.keys:
            raise Refused(_status(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."))
        if not call.path.endswith("/chat/completions"):
            raise Refused(Reply(404, b""))
        body = read_json(call, lambda: _status(400, "INVALID_ARGUMENT", "Invalid JSON payload received."))
        if body.get("model") != GEMINI_MODEL:
            raise Refused(_status(404, "NOT_FOUND", f"models/{body.get('model')} is not found"))
        parts = parts_of(body)
        seen = _picture(parts, _status(400, "INVALID_ARGUMENT", "Unable to process input image."))
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        prompt_tokens = tokens_of(text_of(parts)) + GEMINI_IMAGE_TOKENS
        return order_of(body, seen, prompt_tokens, limit, body.get("response_format"))

    def answer(self, order: Order, number: int) -> dict[str, Any]:
        """A chat completion without what Gemini leaves out."""
        return completion(order, number, {})

    def throttled(self, what: str, standing: Standing) -> Reply:
        """The quota that was reached, and when it is worth while to ask again."""
        name = {"requests": "GenerateRequestsPerMinute", "tokens": "GenerateContentInputTokensPerMinute"}[
            what
        ]
        return out_of_rate(name, standing.free_in_s)

    def busy(self) -> Reply:
        """Too much to do."""
        return _status(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")

    def limits(self, standing: Standing) -> dict[str, str]:  # noqa: ARG002  part of the port
        """It tells nothing in headers."""
        return {}


class FakeOllama:
    """Ollama: no keys, unknown settings ignored, one model that works on few pictures at once."""

    counts_refused = False

    def read(self, call: Call, plan: Plan) -> Order:  # noqa: ARG002  it has no keys to look at
        """One picture and the words around it; only ``max_tokens`` bounds the answer."""
        if not call.path.endswith("/v1/chat/completions"):
            raise Refused(Reply(404, b"404 page not found"))
        body = read_json(call, lambda: _plain(400, "invalid request body"))
        if body.get("model") != OLLAMA_MODEL:
            raise Refused(_plain(404, f"model '{body.get('model')}' not found", "not_found_error"))
        parts = parts_of(body)
        seen = _picture(parts, _plain(400, "invalid image input"))
        columns, rows = grid_of(seen, 32)
        prompt_tokens = tokens_of(text_of(parts)) + columns * rows
        return order_of(body, seen, prompt_tokens, body.get("max_tokens"), body.get("response_format"))

    def answer(self, order: Order, number: int) -> dict[str, Any]:
        """A chat completion with a fingerprint that says nothing."""
        return {**completion(order, number, {}), "system_fingerprint": "fp_ollama"}

    def throttled(self, what: str, standing: Standing) -> Reply:  # noqa: ARG002  part of the port
        """It has no rate limit; a plan with one shows as being busy."""
        return self.busy()

    def busy(self) -> Reply:
        """The queue is full."""
        return _plain(503, "server busy, please try again.  maximum pending requests exceeded")

    def limits(self, standing: Standing) -> dict[str, str]:  # noqa: ARG002  part of the port
        """It tells nothing in headers."""
        return {}


def out_of_rate(quota: str, retry_after_s: float) -> Reply:
    """Gemini's 429; ``quota`` is the id without its tier."""
    violations = [{"quotaId": f"{quota}PerProjectPerModel-FreeTier", "quotaValue": "10"}]
    details: list[dict[str, Any]] = [
        {"@type": f"{_TYPES}.QuotaFailure", "violations": violations},
        {"@type": f"{_TYPES}.RetryInfo", "retryDelay": f"{retry_after_s:.0f}s"},
    ]
    return _status(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)


def _picture(parts: list[dict[str, Any]], invalid: Reply) -> Seen:
    urls = [part["image_url"] for part in parts if part.get("type") == "image_url"]
    try:
        return see(urls[0] if isinstance(urls[0], str) else urls[0]["url"])
    except (NotAPictureError, IndexError):
        raise Refused(invalid) from None


def _status(status: int, name: str, text: str, details: list[dict[str, Any]] | None = None) -> Reply:
    error: dict[str, Any] = {"code": status, "message": text, "status": name}
    if details:
        error["details"] = details
    return json_reply(status, [{"error": error}])


def _plain(status: int, text: str, kind: str = "api_error") -> Reply:
    return json_reply(status, {"error": {"message": text, "type": kind, "param": None, "code": None}})
