"""The request of a chat call: what Mistral, OpenAI, vLLM, Ollama, llama.cpp and Gemini all take."""

from __future__ import annotations

from collections.abc import Mapping

from services.captioner.chat.capabilities import Form
from services.captioner.chat.request_body import PICTURE_URL
from services.captioner.prompt import ANSWER_SCHEMA, SCHEMA_NAME, SYSTEM, instruction
from services.captioner.provider import Ask


def chat_request(model: str, form: Form, optional: Mapping[str, object], ask: Ask) -> dict[str, object]:
    """The JSON of a request in ``form``, its picture left open."""
    # Without an explicit detail some models look at every pixel, and charge for it.
    picture = {"url": PICTURE_URL, "detail": ask.detail}
    request: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": instruction(ask)},
                    {"type": "image_url", "image_url": picture},
                ],
            },
        ],
        form.token_key: ask.max_output_tokens,
        **optional,
    }
    if form.answer_format == "json_schema":
        schema = {"name": SCHEMA_NAME, "schema": ANSWER_SCHEMA, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.answer_format == "json_object":
        request["response_format"] = {"type": "json_object"}
    return request
