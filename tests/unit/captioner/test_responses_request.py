"""What goes to OpenAI's responses interface."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.captioner.chat.capabilities import Form, Format
from services.captioner.chat.openai_provider import least_effort
from services.captioner.chat.responses_request import responses_request
from services.captioner.provider import Ask


def request(answer_format: Format = "json_schema") -> dict[str, Any]:
    form = Form(answer_format, "max_output_tokens")
    optional = {"reasoning": {"effort": "none"}}
    return responses_request("gpt-5.4-mini", form, optional, Ask(detail="low", max_output_tokens=99))


def test_parts_are_typed_and_the_detail_is_explicit() -> None:
    text, picture = request()["input"][0]["content"]

    assert text["type"] == "input_text"
    assert (picture["type"], picture["detail"]) == ("input_image", "low")
    assert picture["image_url"].startswith("data:image/jpeg;base64,")


def test_nothing_is_kept_there_and_nothing_is_pondered() -> None:
    sent = request()

    assert sent["store"] is False
    assert sent["reasoning"] == {"effort": "none"}
    assert sent["max_output_tokens"] == 99


def test_the_format_steps_down() -> None:
    strict = request()["text"]["format"]

    assert (strict["type"], strict["strict"]) == ("json_schema", True)
    assert strict["schema"]["required"] == ["caption", "tags", "objects"]
    assert request("json_object")["text"] == {"format": {"type": "json_object"}}
    assert "text" not in request("plain")
    assert "JSON" in json.dumps(request("plain"))


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-4o", ""),
        ("gpt-5-mini", "minimal"),
        ("gpt-5.4-mini", "none"),
        ("gpt-6", "none"),
        ("o4-mini", "low"),
    ],
)
def test_models_reason_as_little_as_they_can(model: str, effort: str) -> None:
    assert least_effort(model) == effort
