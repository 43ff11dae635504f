"""The request of OpenAI's responses interface."""

from __future__ import annotations

from collections.abc import Mapping

from services.captioner.chat.capabilities import Form
from services.captioner.chat.request_body import PICTURE_URL
from services.captioner.prompt import ANSWER_SCHEMA, SCHEMA_NAME, SYSTEM, instruction
from services.captioner.provider import Ask


def responses_request(model: str, form: Form, optional: Mapping[str, object], ask: Ask) -> dict[str, object]:
    """The JSON of a request in ``form``, its picture left open. Nothing of it is to be kept there."""
    content = [
        {"type": "input_text", "text": instruction(ask)},
        # Without an explicit detail some models look at every pixel, and charge for it.
        {"type": "input_image", "image_url": PICTURE_URL, "detail": ask.detail},
    ]
    request: dict[str, object] = {
        "model": model,
        "instructions": SYSTEM,
        "input": [{"role": "user", "content": content}],
        form.token_key: ask.max_output_tokens,
        "store": False,
        **optional,
    }
    if form.answer_format == "json_schema":
        schema = {"type": "json_schema", "name": SCHEMA_NAME, "schema": ANSWER_SCHEMA, "strict": True}
        request["text"] = {"format": schema}
    elif form.answer_format == "json_object":
        request["text"] = {"format": {"type": "json_object"}}
    return request
