"""The external image endpoint over real HTTP: what it is sent, and every answer of its protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from starlette.responses import JSONResponse, RedirectResponse, Response

from services.captioner.endpoint.endpoint_provider import EndpointProvider
from services.captioner.http_client import MAX_ANSWER_BYTES, HttpClient
from services.captioner.picture import Upload
from services.captioner.prompt import instruction
from services.captioner.provider import (
    Access,
    Answer,
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ParseMode,
    ProviderError,
    RefusedError,
    ThrottledError,
    Tokens,
    TransientError,
)
from tests.servers.providers.fake_endpoint import ANALYSIS, FakeEndpoint, fake_endpoint
from tests.servers.waiting import until

KEY = "sk-verysecret-0123456789"
DESCRIPTION = "A corner shop with a green awning."
PLAIN = json.dumps(ANALYSIS)
ASK = Ask()
LINES = f"""store_image: true
**Store Name:** "Corner Shop",
- text_content: Corner Shop, Open 24 h
image_description: {DESCRIPTION}"""


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with fake_endpoint() as running:
        yield running


@pytest.fixture
def provider(http: HttpClient) -> EndpointProvider:
    return EndpointProvider(http)


def upload() -> Upload:
    target = BytesIO()
    Image.new("RGB", (512, 384), "red").save(target, "JPEG")
    return Upload(target.getvalue(), 512, 384)


async def describe(
    provider: EndpointProvider,
    endpoint: FakeEndpoint,
    ask: Ask = ASK,
    key: str = "",
) -> Answer:
    return await provider.describe(upload(), ask, Access(endpoint.url, key))


async def test_the_request_is_that_of_the_protocol(
    provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    await describe(provider, endpoint, Ask(language="de"))

    [asked] = endpoint.asked
    assert asked.headers["user-agent"] == "ImageAnalyzerEnterprise/1.0"
    assert "authorization" not in asked.headers
    assert (asked.file_name, asked.media_type) == ("resized.jpg", "image/jpeg")
    assert asked.text == instruction(Ask(language="de"))
    assert (asked.image.format, asked.image.size) == ("JPEG", (512, 384))


async def test_a_prompt_goes_out_as_it_is_and_a_key_as_bearer(
    provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    await describe(provider, endpoint, Ask(prompt="Is this a store front?\nfieldä"), KEY)

    [asked] = endpoint.asked
    assert asked.text == "Is this a store front?\nfieldä"
    assert asked.headers["authorization"] == f"Bearer {KEY}"


async def test_nothing_is_counted_and_small_pictures_are_enough(provider: EndpointProvider) -> None:
    assert (provider.id, provider.model) == ("endpoint", "endpoint")
    assert provider.edge_px(Ask(detail="high")) == 512
    assert provider.expected_tokens(upload(), Ask()) == Tokens()


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (ANALYSIS, ParseMode.JSON),
        ({"response": ANALYSIS}, ParseMode.JSON),
        ({"response": ANALYSIS, "detail": "took 2 s"}, ParseMode.JSON),
        ({"response": PLAIN}, ParseMode.JSON),
        ({"response": f"```json\n{PLAIN}\n```"}, ParseMode.REPAIRED),
        ({"response": f"Here you are:\n```\n{PLAIN}\n```\nAnything else?"}, ParseMode.REPAIRED),
        ({"response": f"I see {{a shop}}. Final response: {PLAIN} Done."}, ParseMode.REPAIRED),
        ({"response": f'Settings: {{"n": 1}}. {PLAIN}'}, ParseMode.REPAIRED),
    ],
)
async def test_an_analysis_is_found_in_every_wrapping(
    body: object, mode: ParseMode, provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    endpoint.answer = JSONResponse(body)

    description = (await describe(provider, endpoint, Ask(language="de"))).description

    assert (description.text, description.tags, description.objects) == (DESCRIPTION, (), ())
    assert description.attributes == ANALYSIS
    assert (description.model, description.language) == ("endpoint", "de")
    assert (description.parse_mode, description.tokens) == (mode, Tokens())


@pytest.mark.parametrize("prefix", ["", "Final response:\n", "**Final response:** "])
async def test_lines_of_keys_and_values_are_an_analysis(
    prefix: str, provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    endpoint.answer = JSONResponse({"response": prefix + LINES})

    description = (await describe(provider, endpoint)).description

    assert (description.text, description.parse_mode) == (DESCRIPTION, ParseMode.SECTIONS)
    assert description.attributes == {
        "store_image": "true",
        "store_name": "Corner Shop",
        "text_content": "Corner Shop, Open 24 h",
        "image_description": DESCRIPTION,
    }


async def test_our_own_fields_come_first(provider: EndpointProvider, endpoint: FakeEndpoint) -> None:
    ours = {"Caption": "A shop.", "tags": ["Shop", "awning", "shop"], "objects": "door, window"}
    endpoint.answer = JSONResponse({"response": json.dumps({**ANALYSIS, **ours})})

    description = (await describe(provider, endpoint)).description

    assert description.text == "A shop."
    assert (description.tags, description.objects) == (("shop", "awning"), ("door", "window"))
    assert description.attributes == ANALYSIS


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"text_content": ["Corner Shop", 7, " ", "Open"], "store_image": False}, "Corner Shop, Open"),
        ({"text_content": "Corner Shop", "image_description": "  "}, "Corner Shop"),
        ({"image_description": None, "text_content": "Open"}, "Open"),
    ],
)
async def test_without_a_description_the_text_in_the_picture_stands_for_it(
    fields: dict[str, Any], text: str, provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    endpoint.answer = JSONResponse(fields)

    description = (await describe(provider, endpoint)).description

    assert description.text == text
    assert description.attributes == fields


async def test_prose_is_a_caption(provider: EndpointProvider, endpoint: FakeEndpoint) -> None:
    endpoint.answer = JSONResponse({"response": "This image shows a red bus."})

    description = (await describe(provider, endpoint)).description

    assert (description.text, description.parse_mode) == ("A red bus.", ParseMode.PROSE)
    assert description.attributes == {}


async def test_attributes_are_bounded(provider: EndpointProvider, endpoint: FakeEndpoint) -> None:
    endpoint.answer = JSONResponse({**ANALYSIS, "essay": "x" * 100_000})

    description = (await describe(provider, endpoint)).description

    assert description.attributes == ANALYSIS


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (JSONResponse({"detail": "Invalid image"}), AnswerError),
        (JSONResponse({"detail": "Internal ERROR", **ANALYSIS}), AnswerError),
        (JSONResponse({"response": {"detail": "error", **ANALYSIS}}), AnswerError),
        (JSONResponse({"response": None}), AnswerError),
        (JSONResponse({"response": [ANALYSIS, ANALYSIS]}), AnswerError),
        (JSONResponse({"response": ""}), AnswerError),
        (JSONResponse({"response": '```json\n{"detail": "error"}\n```'}), AnswerError),
        (JSONResponse({"store_image": False, "text_content": []}), AnswerError),
        (JSONResponse({}), AnswerError),
        (JSONResponse([]), AnswerError),
        (JSONResponse(5), AnswerError),
        (Response(b""), AnswerError),
        (Response(b"Warming up, please wait a little."), AnswerError),
        (Response(b"<html>image_description: all is well</html>"), AnswerError),
        (Response(b"\xff\xfe\x00"), AnswerError),
        (Response(b"[" * 100_000), AnswerError),
        (Response(b'{"a":' * 100_000), AnswerError),
        (Response(b" " * (MAX_ANSWER_BYTES + 1)), AnswerError),
        (JSONResponse({"response": "I'm sorry, I can't help with that."}), RefusedError),
        (JSONResponse({"detail": "bad image"}, 400), BadPictureError),
        (JSONResponse({"detail": "too large"}, 413), BadPictureError),
        (JSONResponse({"detail": KEY}, 401), ConfigError),
        (JSONResponse({"detail": "Not Found"}, 404), ConfigError),
        (RedirectResponse("http://127.0.0.1:1/elsewhere"), ConfigError),
        (JSONResponse({"detail": "pay"}, 402), ExhaustedError),
        (JSONResponse({"detail": "busy"}, 429, {"Retry-After": "3"}), ThrottledError),
        (JSONResponse({"detail": "boom"}, 500), TransientError),
        (JSONResponse({"detail": "away"}, 503), TransientError),
        (JSONResponse({"detail": "slow"}, 504), TransientError),
    ],
)
async def test_failures_have_their_class_and_give_nothing_away(
    answer: Response, kind: type[ProviderError], provider: EndpointProvider, endpoint: FakeEndpoint
) -> None:
    endpoint.answer = answer

    with pytest.raises(ProviderError) as failed:
        await describe(provider, endpoint, key=KEY)

    assert type(failed.value) is kind
    assert failed.value.may_be_billed is (answer.status_code == 200)
    assert failed.value.retry_after_s == (3.0 if kind is ThrottledError else None)
    assert not any(secret in failed.value.message for secret in (KEY, "127.0.0.1", "boom"))
    assert len(endpoint.asked) == 1


async def test_an_endpoint_that_is_not_there_is_transient(provider: EndpointProvider) -> None:
    with pytest.raises(TransientError):
        await provider.describe(upload(), Ask(), Access("http://127.0.0.1:1/generate"))


async def test_cancelling_hangs_up(provider: EndpointProvider, endpoint: FakeEndpoint) -> None:
    endpoint.gate = asyncio.Event()
    call = asyncio.create_task(describe(provider, endpoint))
    await until(lambda: len(endpoint.asked) == 1, "the call arrives")

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: endpoint.hangups == 1, "the endpoint notices")
    assert endpoint.described == 0
