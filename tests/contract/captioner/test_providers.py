"""The port, over every provider that speaks HTTP: one request a call, and keys that stay home."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from services.captioner.blip.blip_provider import BlipProvider
from services.captioner.chat.chat_provider import ChatProvider
from services.captioner.chat.compatible_provider import compatible_provider
from services.captioner.chat.mistral_provider import mistral_provider
from services.captioner.chat.openai_provider import openai_provider
from services.captioner.chat.openai_responses_provider import openai_responses_provider
from services.captioner.endpoint.endpoint_provider import EndpointProvider
from services.captioner.http_client import HttpClient
from services.captioner.provider import (
    Access,
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    Detail,
    ExhaustedError,
    FormRefusedError,
    ParseMode,
    Provider,
    ProviderError,
    ThrottledError,
    Tokens,
    TransientError,
)
from tests.contract.captioner.asking import KEY, gradient, way_to
from tests.servers.providers.fake_provider import FakeProvider, Received, Reply
from tests.servers.providers.replies import (
    CAPTION,
    MODEL_NOT_FOUND,
    NO_JSON_SCHEMA,
    RATE_LIMITED,
    chat_answer,
    holds,
    mistral_answer,
    never_ends,
    resets_in_the_body,
    responses_answer,
    sends,
)
from tests.servers.waiting import until

CHAT: dict[str, Callable[[HttpClient], ChatProvider]] = {
    "mistral": lambda http: mistral_provider(http, "mistral-small-latest"),
    "openai": lambda http: openai_provider(http, "gpt-5.4-mini"),
    "openai as another": lambda http: openai_provider(http, "qwen", is_openai=False),
    "openai responses": lambda http: openai_responses_provider(http, "gpt-5.4-mini"),
    "compatible": lambda http: compatible_provider(http, "qwen"),
}
EVERY: dict[str, Callable[[HttpClient], Provider]] = {
    **CHAT,
    "blip": BlipProvider,
    "endpoint": EndpointProvider,
}
TOKEN_KEYS = {
    "mistral": "max_tokens",
    "openai": "max_completion_tokens",
    "openai as another": "max_tokens",
    "openai responses": "max_output_tokens",
    "compatible": "max_tokens",
}


def good_answer(name: str) -> Reply:
    if name in ("blip", "endpoint"):
        return sends(200, {"caption": CAPTION, "tags": ["bus", "bridge"]})
    if name == "openai responses":
        return sends(200, responses_answer())
    return sends(200, mistral_answer() if name == "mistral" else chat_answer())


@pytest.mark.parametrize("name", EVERY)
async def test_every_provider_describes(name: str, fake: FakeProvider, http: HttpClient) -> None:
    fake.script(good_answer(name))
    provider = EVERY[name](http)

    answer = await provider.describe(gradient(), Ask(), way_to(fake))

    assert provider.id == name.split(maxsplit=1)[0]
    assert provider.model
    assert answer.description.text == CAPTION
    assert answer.description.tags == ("bus", "bridge")
    assert answer.description.language == "en"
    assert len(fake.received) == 1


@pytest.mark.parametrize("name", EVERY)
async def test_what_a_call_takes_is_within_what_was_expected(
    name: str, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(good_answer(name))
    provider = EVERY[name](http)

    expected = provider.expected_tokens(gradient(), Ask(max_output_tokens=99))
    took = (await provider.describe(gradient(), Ask(), way_to(fake))).description.tokens

    assert took.input <= expected.input
    assert expected.output in (99, 0)
    assert provider.edge_px(Ask(detail="low")) <= provider.edge_px(Ask(detail="high")) <= 1024


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (sends(429, RATE_LIMITED), ThrottledError),
        (sends(429, {"error": {"code": "insufficient_quota"}}), ExhaustedError),
        (sends(401, {"message": f"Incorrect API key provided: {KEY}"}), ConfigError),
        (sends(404, MODEL_NOT_FOUND), ConfigError),
        (sends(400, {"error": {"message": "Invalid image"}}), BadPictureError),
        (sends(502, "<html>Bad gateway</html>", Content_Type="text/html"), TransientError),
        (sends(200, "<html>All is well</html>", Content_Type="text/html"), AnswerError),
        (sends(200, b""), AnswerError),
        (sends(200, b"\xff\xfe\x00"), AnswerError),
        (sends(200, b"[" * 100_000), AnswerError),
        (never_ends(), AnswerError),
        (resets_in_the_body(), TransientError),
    ],
)
async def test_bad_answers_have_their_class_and_give_no_key_away(
    name: str, reply: Reply, kind: type[ProviderError], fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(reply)

    with pytest.raises(ProviderError) as failed:
        await EVERY[name](http).describe(gradient(), Ask(), way_to(fake))

    assert type(failed.value) is kind
    assert KEY not in failed.value.message
    assert "127.0.0.1" not in failed.value.message
    assert len(fake.received) == 1


@pytest.mark.parametrize("name", EVERY)
async def test_cancelling_hangs_up(name: str, fake: FakeProvider, http: HttpClient) -> None:
    left = asyncio.Event()
    fake.script(holds(asyncio.Event(), sends(200), left))
    call = asyncio.create_task(EVERY[name](http).describe(gradient(), Ask(), way_to(fake)))
    await until(lambda: fake.in_flight == 1, "the call arrives")

    call.cancel()

    async with asyncio.timeout(10):
        await left.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("name", CHAT)
async def test_an_answer_is_read_in_full(name: str, fake: FakeProvider, http: HttpClient) -> None:
    fake.script(good_answer(name))

    answer = await CHAT[name](http).describe(gradient(), Ask(language="de"), way_to(fake))

    description = answer.description
    assert description.objects == ("bus", "river")
    assert (description.model, description.language) == ("model-from-the-wire", "de")
    assert description.tokens == Tokens(516, 41)
    assert description.parse_mode is ParseMode.JSON
    assert description.attributes == {}


@pytest.mark.parametrize("detail", ["high", "low"])
@pytest.mark.parametrize("name", CHAT)
async def test_a_request_names_limit_and_detail(
    name: str, detail: Detail, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(good_answer(name))

    await CHAT[name](http).describe(gradient(), Ask(detail=detail, max_output_tokens=77), way_to(fake))

    [request] = fake.received
    path = "responses" if name == "openai responses" else "chat/completions"
    assert (request.method, request.path) == ("POST", f"/v1/{path}")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json[TOKEN_KEYS[name]] == 77
    url, said_detail = _picture(request)
    assert said_detail == detail
    assert base64.b64decode(url.removeprefix("data:image/jpeg;base64,")) == gradient().jpeg
    assert Image.open(BytesIO(gradient().jpeg)).size == (1024, 768)


async def test_without_a_key_none_is_sent(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(good_answer("compatible"))

    await CHAT["compatible"](http).describe(gradient(), Ask(), Access(f"{fake.url}/v1"))

    assert "authorization" not in fake.received[0].headers


@pytest.mark.parametrize("name", CHAT)
async def test_the_ladder_steps_down_a_call_and_is_remembered(
    name: str, fake: FakeProvider, http: HttpClient
) -> None:
    fake.script(sends(400, NO_JSON_SCHEMA, X_RateLimit_Remaining_Req_Minute="7"), good_answer(name))
    provider = CHAT[name](http)

    with pytest.raises(FormRefusedError) as refused:
        await provider.describe(gradient(), Ask(), way_to(fake))
    for _ in range(2):
        await provider.describe(gradient(), Ask(), way_to(fake))

    formats = [_format(request) for request in fake.received]
    assert formats == ["json_schema", "json_object", "json_object"]
    assert refused.value.limits.requests_left == 7
    assert not refused.value.may_be_billed


async def test_calls_in_flight_at_once_step_down_together(fake: FakeProvider, http: HttpClient) -> None:
    release = asyncio.Event()
    refused = holds(release, sends(400, NO_JSON_SCHEMA))
    fake.script(refused, refused, refused, good_answer("openai"))
    provider = CHAT["openai"](http)
    calls = asyncio.gather(
        *(provider.describe(gradient(), Ask(), way_to(fake)) for _ in range(3)), return_exceptions=True
    )
    await until(lambda: fake.in_flight == 3, "all calls are in flight")

    release.set()

    assert {type(outcome) for outcome in await calls} == {FormRefusedError}
    await provider.describe(gradient(), Ask(), way_to(fake))
    assert _format(fake.received[-1]) == "json_object"


async def test_a_refused_temperature_is_left_out_from_then_on(fake: FakeProvider, http: HttpClient) -> None:
    unsupported = {"error": {"message": "Unsupported value", "param": "temperature", "code": "x"}}
    fake.script(sends(400, unsupported), good_answer("compatible"))
    provider = CHAT["compatible"](http)

    with pytest.raises(FormRefusedError):
        await provider.describe(gradient(), Ask(), way_to(fake))
    await provider.describe(gradient(), Ask(), way_to(fake))

    assert ["temperature" in request.json for request in fake.received] == [True, False]


@pytest.mark.parametrize(("name", "forms"), [("compatible", 5), ("mistral", 4), ("openai responses", 4)])
async def test_a_server_that_refuses_every_form_runs_out_of_them(
    name: str, forms: int, fake: FakeProvider, http: HttpClient
) -> None:
    text = "unsupported: response_format, temperature, reasoning, max_tokens, max_completion_tokens"
    fake.script(sends(400, {"error": {"message": text}}))
    provider = CHAT[name](http)

    for _ in range(forms - 1):
        with pytest.raises(FormRefusedError):
            await provider.describe(gradient(), Ask(), way_to(fake))
    with pytest.raises(ConfigError):
        await provider.describe(gradient(), Ask(), way_to(fake))


async def test_a_prompt_of_ones_own_may_bring_more_than_was_asked_for(
    fake: FakeProvider, http: HttpClient
) -> None:
    said = '{"caption": "A bus.", "tags": [], "objects": [], "mood": "calm", "people": 0}'
    fake.script(sends(200, chat_answer(said)))

    answer = await CHAT["compatible"](http).describe(gradient(), Ask(prompt="And the mood."), way_to(fake))

    assert answer.description.attributes == {"mood": "calm", "people": 0}
    assert "And the mood." in fake.received[0].body.decode()


async def test_a_server_that_does_not_count_is_counted_for(fake: FakeProvider, http: HttpClient) -> None:
    uncounted = chat_answer()
    del uncounted["usage"]
    fake.script(sends(200, uncounted))
    provider = CHAT["openai"](http)

    answer = await provider.describe(gradient(), Ask(), way_to(fake))

    assert answer.description.tokens == provider.expected_tokens(gradient(), Ask())


def _picture(request: Received) -> tuple[str, str]:
    if "input" in request.json:
        part = request.json["input"][0]["content"][1]
        return part["image_url"], part["detail"]
    link = request.json["messages"][1]["content"][1]["image_url"]
    return link["url"], link["detail"]


def _format(request: Received) -> str:
    body = request.json
    found: str = (body["text"]["format"] if "text" in body else body["response_format"])["type"]
    return found
