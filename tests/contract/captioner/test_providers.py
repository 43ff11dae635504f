"""Every provider over real HTTP: what it sends, what it makes of answers, and that keys stay home."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image

from services.captioner.blip_provider import BlipProvider
from services.captioner.compatible_provider import compatible_provider
from services.captioner.http_client import MAX_ANSWER_BYTES, HttpClient, open_http_client
from services.captioner.local_describer import LocalDescriber
from services.captioner.mistral_provider import mistral_provider
from services.captioner.openai_provider import openai_provider
from services.captioner.picture import Picture
from services.captioner.provider import (
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    ExhaustedError,
    ParseMode,
    Provider,
    ProviderError,
    RefusedError,
    SlowAnswerError,
    ThrottledError,
    TransientError,
)
from services.captioner.studio import Studio
from tests.contract.captioner.conftest import KEY
from tests.contract.captioner.vendor_schemas import problems
from tests.servers.providers.fake_provider import FakeProvider, Reply
from tests.servers.providers.replies import (
    ANSWER,
    CAPTION,
    EXTRA_FORBIDDEN,
    MODEL_NOT_FOUND,
    NO_JSON_SCHEMA,
    RATE_LIMITED,
    chat_answer,
    holds,
    mistral_answer,
    never_ends,
    resets_in_the_body,
    sends,
    sends_gzip,
)
from tests.servers.waiting import until

Build = Callable[[HttpClient, str], Provider]

CHAT: dict[str, Build] = {
    "mistral": lambda http, url: mistral_provider(http, f"{url}/v1", KEY, "mistral-small-latest"),
    "openai": lambda http, url: openai_provider(http, f"{url}/v1", KEY, "gpt-5.4-mini"),
    "compatible": lambda http, url: compatible_provider(http, f"{url}/v1", KEY, "qwen"),
}
REMOTE: dict[str, Build] = {**CHAT, "blip": BlipProvider}
EVERY: dict[str, Build] = {**REMOTE, "local": lambda _http, _url: LocalDescriber()}


@pytest.fixture
def picture(studio: Studio, photo: bytes) -> Picture:
    async def load() -> bytes:
        return photo

    return Picture(load, studio)


def good_answer(name: str) -> Reply:
    if name == "blip":
        return sends(200, {"caption": CAPTION, "tags": ["bus", "bridge"]})
    return sends(200, mistral_answer() if name == "mistral" else chat_answer())


@pytest.mark.parametrize("name", EVERY)
async def test_every_provider_describes(
    name: str, fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(good_answer(name))
    provider = EVERY[name](http, fake.url)

    description = await provider.describe(picture, Ask())

    assert provider.id == name
    assert provider.model
    assert description.text.endswith(".")
    assert description.tags
    assert description.language == "en"


@pytest.mark.parametrize("name", CHAT)
async def test_a_chat_answer_is_read_in_full(
    name: str, fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(good_answer(name))

    description = await CHAT[name](http, fake.url).describe(picture, Ask(language="de"))

    assert description.text == CAPTION
    assert (description.tags, description.objects) == (("bus", "bridge"), ("bus", "river"))
    assert (description.model, description.language) == ("model-from-the-wire", "de")
    assert (description.input_tokens, description.output_tokens) == (516, 41)
    assert description.parse_mode is ParseMode.JSON


@pytest.mark.parametrize(("detail", "size"), [("high", (1024, 768)), ("low", (768, 576))])
@pytest.mark.parametrize("name", CHAT)
async def test_a_chat_request_is_portable(
    name: str, detail: str, size: tuple[int, int], fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(good_answer(name))

    await CHAT[name](http, fake.url).describe(picture, Ask(detail=detail))  # type: ignore[arg-type]  # two words

    [request] = fake.received
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json["max_tokens"] == 400
    image_url = request.json["messages"][1]["content"][1]["image_url"]
    assert image_url["detail"] == detail
    assert _decoded(image_url["url"]).size == size


@pytest.mark.parametrize("vendor", ["mistral", "openai"])
async def test_requests_and_fake_answers_fit_the_vendors_schemas(
    vendor: str, fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    answers = {"mistral": mistral_answer(), "openai": chat_answer()}
    assert problems(vendor, "200", answers[vendor]) == []
    refused = sends(400, NO_JSON_SCHEMA)
    fake.script(refused, refused, good_answer(vendor))

    await CHAT[vendor](http, fake.url).describe(
        picture, Ask(prompt="Name the colours.", max_output_tokens=16)
    )

    assert len(fake.received) == 3
    for request in fake.received:
        assert problems(vendor, "request", request.json) == []


async def test_the_vendors_schemas_would_notice_a_fault(
    fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(good_answer("mistral"))
    await CHAT["mistral"](http, fake.url).describe(picture, Ask())
    [request] = fake.received

    assert problems("mistral", "request", {**request.json, "max_completion_tokens": 400})
    bare = request.json
    bare["messages"][1]["content"][1]["image_url"] = "data:image/jpeg;base64,AAAA"
    assert problems("openai", "request", bare)
    unfinished = chat_answer()
    del unfinished["choices"][0]["finish_reason"]
    assert problems("openai", "200", unfinished)


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (sends(429, RATE_LIMITED), ThrottledError),
        (sends(429, {"error": {"code": "insufficient_quota"}}), ExhaustedError),
        (sends(401, {"message": f"Incorrect API key provided: {KEY}"}), ConfigError),
        (sends(404, MODEL_NOT_FOUND), ConfigError),
        (sends(422, EXTRA_FORBIDDEN), ConfigError),
        (sends(400, {"error": {"message": "Invalid image"}}), BadPictureError),
        (sends(302, b"", Location="http://127.0.0.1:1/elsewhere"), ConfigError),
        (sends(502, "<html>Bad gateway</html>", Content_Type="text/html"), TransientError),
        (sends(200, "<html>All is well</html>", Content_Type="text/html"), AnswerError),
        (sends(200, b""), AnswerError),
        (sends(200, {"choices": []}), AnswerError),
        (sends(200, b"\xff\xfe\x00"), AnswerError),
        (sends(200, b"[" * 100_000), AnswerError),
        (sends(200, b" " * (MAX_ANSWER_BYTES + 1)), AnswerError),
        (never_ends(), AnswerError),
        (resets_in_the_body(), TransientError),
    ],
)
async def test_bad_answers_have_their_class_and_give_no_key_away(
    name: str, reply: Reply, kind: type[ProviderError], fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(reply)

    with pytest.raises(ProviderError) as failed:
        await REMOTE[name](http, fake.url).describe(picture, Ask())

    assert type(failed.value) is kind
    assert KEY not in failed.value.message
    assert "127.0.0.1" not in failed.value.message
    assert len(fake.received) == 1


@pytest.mark.parametrize("name", CHAT)
@pytest.mark.parametrize(
    ("answer", "mode"),
    [
        (chat_answer(f"Sure:\n```json\n{ANSWER}\n```"), ParseMode.REPAIRED),
        (chat_answer(ANSWER[:-12], finish_reason="length"), ParseMode.REPAIRED),
        (
            chat_answer([{"type": "thinking", "thinking": []}, {"type": "text", "text": ANSWER}]),
            ParseMode.JSON,
        ),
        (chat_answer("", reasoning=f"A bus, I think. {ANSWER}"), ParseMode.REPAIRED),
        (chat_answer(f"**Caption:** {CAPTION}\n**Tags:** bus"), ParseMode.SECTIONS),
        (chat_answer(f"This image shows {CAPTION}"), ParseMode.PROSE),
    ],
)
async def test_odd_answers_are_understood(
    name: str, answer: object, mode: ParseMode, fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(sends(200, answer))

    description = await CHAT[name](http, fake.url).describe(picture, Ask())

    assert description.text == CAPTION
    assert description.parse_mode is mode


@pytest.mark.parametrize(
    "answer",
    [
        chat_answer(None, refusal="I cannot describe this."),
        chat_answer("", "content_filter"),
        chat_answer("I'm sorry, I can't help with that."),
    ],
)
async def test_refusals_are_told_apart(
    answer: dict[str, object], fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    fake.script(sends(200, answer))

    with pytest.raises(RefusedError):
        await CHAT["openai"](http, fake.url).describe(picture, Ask())


@pytest.mark.parametrize("name", CHAT)
async def test_the_ladder_steps_down_and_is_remembered(
    name: str, fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    refused = sends(400, NO_JSON_SCHEMA)
    fake.script(refused, good_answer(name))
    provider = CHAT[name](http, fake.url)

    await provider.describe(picture, Ask())
    await provider.describe(picture, Ask())

    formats = [request.json["response_format"]["type"] for request in fake.received]
    assert formats == ["json_schema", "json_object", "json_object"]


async def test_a_refused_temperature_is_left_out_from_then_on(
    fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    unsupported = {
        "error": {"message": "Unsupported value", "param": "temperature", "code": "unsupported_value"}
    }
    fake.script(sends(400, unsupported), good_answer("compatible"))

    await CHAT["compatible"](http, fake.url).describe(picture, Ask())

    assert ["temperature" in request.json for request in fake.received] == [True, False]


async def test_a_server_that_refuses_every_form_is_asked_a_few_times_only(
    fake: FakeProvider, http: HttpClient, picture: Picture
) -> None:
    text = "unsupported: response_format, temperature, max_tokens, max_completion_tokens"
    fake.script(sends(400, {"error": {"message": text}}))

    with pytest.raises(ConfigError):
        await CHAT["compatible"](http, fake.url).describe(picture, Ask())

    assert len(fake.received) == 5


async def test_blip_gets_one_file_and_no_path(fake: FakeProvider, http: HttpClient, picture: Picture) -> None:
    fake.script(sends(200, {"caption": "a bus"}))

    description = await BlipProvider(http, fake.url).describe(picture, Ask())

    [request] = fake.received
    assert request.path == "/caption"
    assert b'name="image"; filename="image.jpg"\r\nContent-Type: image/jpeg' in request.body
    assert _jpeg_inside(request.body).size == (768, 576)
    assert (description.text, description.tags, description.parse_mode) == ("a bus", (), ParseMode.PROSE)


async def test_compressed_answers_are_read(fake: FakeProvider, http: HttpClient, picture: Picture) -> None:
    fake.script(sends_gzip(chat_answer()))

    assert (await CHAT["openai"](http, fake.url).describe(picture, Ask())).text == CAPTION
    assert fake.received[0].headers["accept-encoding"] == "identity"


async def test_pools_hold_as_many_calls_as_were_asked_for(fake: FakeProvider) -> None:
    release = asyncio.Event()
    fake.script(holds(release, sends(200)))
    async with open_http_client(calls=20) as client:
        calls = [client.post_json(fake.url, b"{}", {}, read_timeout_s=20) for _ in range(20)]
        answers = asyncio.gather(*calls)
        await until(lambda: fake.in_flight == 20, "all calls are in flight")
        release.set()
        assert {answer.status for answer in await answers} == {200}


async def test_a_server_that_is_not_there_is_transient(http: HttpClient, picture: Picture) -> None:
    with pytest.raises(TransientError):
        await CHAT["openai"](http, "http://127.0.0.1:1").describe(picture, Ask())


async def test_an_answer_that_takes_too_long_is_slow(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(holds(asyncio.Event(), sends(200)))

    with pytest.raises(SlowAnswerError):
        await http.post_json(f"{fake.url}/v1", b"{}", {}, read_timeout_s=0.1)


async def test_a_key_that_cannot_be_sent_is_not_quoted(fake: FakeProvider, http: HttpClient) -> None:
    fake.script(sends(200))

    with pytest.raises(ConfigError) as failed:
        await http.post_json(fake.url, b"{}", {"Authorization": f"Bearer {KEY}\n"}, read_timeout_s=5)

    assert KEY not in str(failed.value)
    assert failed.value.__suppress_context__


async def test_cancelling_hangs_up(fake: FakeProvider, http: HttpClient, picture: Picture) -> None:
    left = asyncio.Event()
    fake.script(holds(asyncio.Event(), sends(200), left))
    call = asyncio.create_task(CHAT["mistral"](http, fake.url).describe(picture, Ask()))
    await until(lambda: fake.in_flight == 1, "the call arrives")

    call.cancel()

    async with asyncio.timeout(10):
        await left.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


def _decoded(url: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))


def _jpeg_inside(body: bytes) -> Image.Image:
    return Image.open(BytesIO(body[body.index(b"\xff\xd8\xff") :]))
