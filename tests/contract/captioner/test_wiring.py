"""Every setting and every option reaches the provider: what was set is seen on the wire."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.captioner.conftest import KEY, Captioner, captioner_with
from tests.servers.providers.fake_blip import fake_blip
from tests.servers.providers.fake_provider import FakeProvider, fake_provider
from tests.servers.providers.replies import chat_answer, mistral_answer, sends


def request(content: bytes, **options: Any) -> captioner_pb2.CaptionImageRequest:
    return captioner_pb2.CaptionImageRequest(
        image=common_pb2.ImageSource(content=content), options=captioner_pb2.CaptionOptions(**options)
    )


def mistral_at(fake: FakeProvider, **more: Any) -> dict[str, Any]:
    return {"captioner_mistral_url": f"{fake.url}/v1", "captioner_mistral_api_key": KEY, **more}


def encoded_red() -> bytes:
    """The fake BLIP knows colours."""
    target = BytesIO()
    Image.new("RGB", (64, 48), "red").save(target, "PNG")
    return target.getvalue()


async def lanes(captioner: Captioner, provider: int = 0) -> list[captioner_pb2.ProviderLane]:
    listed = await captioner.stub.ListProviders(captioner_pb2.ListProvidersRequest())
    return list(listed.providers[provider].lanes)


async def test_options_of_a_request(tmp_path: Path, fake: FakeProvider, photo: bytes) -> None:
    fake.script(sends(200, mistral_answer()))
    async with captioner_with(tmp_path, **mistral_at(fake)) as captioner:
        await captioner.stub.CaptionImage(
            request(
                photo,
                language="pt-BR",
                prompt="Name the tram line.",
                max_output_tokens=77,
                detail=captioner_pb2.CAPTION_DETAIL_LOW,
            )
        )

    [sent] = fake.received
    text, picture = sent.json["messages"][1]["content"]
    assert "Name the tram line." in text["text"]
    assert "pt-BR" in text["text"]
    assert sent.json["max_tokens"] == 77
    assert picture["image_url"]["detail"] == "low"


async def test_settings_of_the_operator(tmp_path: Path, fake: FakeProvider, photo: bytes) -> None:
    fake.script(sends(200, mistral_answer()))
    given = mistral_at(
        fake,
        captioner_detail="low",
        captioner_mistral_model="my-model",
        captioner_prices={"my-model": {"input": 1_000, "output": 0}},
        captioner_concurrency=3,
        captioner_rates={"mistral": {"requests": 7, "tokens": 90_000}},
    )
    async with captioner_with(tmp_path, **given) as captioner:
        caption = (await captioner.stub.CaptionImage(request(photo))).caption
        [lane] = await lanes(captioner)

    [sent] = fake.received
    assert sent.json["model"] == "my-model"
    assert sent.json["messages"][1]["content"][1]["image_url"]["detail"] == "low"
    assert caption.usage.cost.micros == 516 * 1_000
    assert (lane.concurrency, lane.requests_per_minute, lane.tokens_per_minute) == (3, 7, 90_000)
    assert lane.requests_used == 1


async def test_several_keys_and_addresses_are_taken_in_turn(
    tmp_path: Path, fake: FakeProvider, photo: bytes
) -> None:
    fake.script(sends(200, chat_answer()))
    async with fake_provider() as other:
        other.script(sends(200, chat_answer()))
        given = {
            "captioner_providers": "mistral,compatible",
            "captioner_mistral_url": f"{fake.url}/v1",
            "captioner_mistral_api_key": "first,second",
            "captioner_compatible_url": f"{fake.url}/a/v1,{other.url}/b/v1",
            "captioner_compatible_model": "seer",
        }
        async with captioner_with(tmp_path, **given) as captioner:
            for provider in ("mistral", "compatible"):
                for number in range(2):
                    content = photo + bytes([number])
                    await captioner.stub.CaptionImage(request(content, providers=[provider]))
            both = await lanes(captioner, 1)

    assert [each.headers["authorization"] for each in fake.received[:2]] == ["Bearer first", "Bearer second"]
    assert [each.path for each in (*fake.received[2:], *other.received)] == [
        "/a/v1/chat/completions",
        "/b/v1/chat/completions",
    ]
    assert len(both) == 2


async def test_openai_speaks_the_interface_that_was_chosen(
    tmp_path: Path, fake: FakeProvider, photo: bytes
) -> None:
    fake.script(sends(500))
    given = {
        "captioner_providers": "openai,local",
        "captioner_openai_url": f"{fake.url}/v1",
        "captioner_openai_api_key": KEY,
        "captioner_openai_api": "responses",
    }
    async with captioner_with(tmp_path, **given) as captioner:
        test = captioner_pb2.TestProviderRequest(
            provider="openai", image=common_pb2.ImageSource(content=photo)
        )
        await captioner.stub.TestProvider(test)

    assert fake.received[0].path == "/v1/responses"


@pytest.mark.parametrize("call", ["single", "batch", "async"])
async def test_a_blip_service_is_called_as_was_set(call: str, tmp_path: Path) -> None:
    photo = encoded_red()
    async with fake_blip() as blip:
        given = {"captioner_providers": "blip", "captioner_blip_url": blip.url, "captioner_blip_call": call}
        async with captioner_with(tmp_path, **given) as captioner:
            caption = (await captioner.stub.CaptionImage(request(photo))).caption

    assert caption.provider == "blip"
    paths = {"single": "/caption", "batch": "/batch-caption", "async": "/async-batch-caption"}
    assert blip.calls[0].path == paths[call]


async def test_a_blip_service_with_a_shared_folder_gets_paths(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    async with fake_blip() as blip:
        blip.folder = tmp_path / "shared"
        given = {
            "captioner_providers": "blip",
            "captioner_blip_url": blip.url,
            "captioner_blip_shared_folder": tmp_path / "shared",
            "captioner_blip_shared_path": blip.mount,
        }
        async with captioner_with(tmp_path, **given) as captioner:
            caption = (await captioner.stub.CaptionImage(request(encoded_red()))).caption

    assert caption.provider == "blip"
    assert blip.calls[0].media_type == "application/json"
    assert blip.calls[0].names[0].startswith(blip.mount)


async def test_a_proxy_gets_the_calls(tmp_path: Path, fake: FakeProvider, photo: bytes) -> None:
    fake.script(sends(200, mistral_answer()))
    given = {
        "captioner_mistral_url": "http://nowhere.invalid/v1",
        "captioner_mistral_api_key": KEY,
        "captioner_proxy": fake.url,
    }
    async with captioner_with(tmp_path, **given) as captioner:
        caption = (await captioner.stub.CaptionImage(request(photo))).caption

    assert caption.provider == "mistral"
    assert fake.received[0].path == "http://nowhere.invalid/v1/chat/completions"


async def test_a_server_of_ones_own_gets_less_to_do_when_it_is_busy(
    tmp_path: Path, fake: FakeProvider, photo: bytes
) -> None:
    fake.script(sends(503, "server busy, please try again.  maximum pending requests exceeded"))
    given = {
        "captioner_providers": "compatible,local",
        "captioner_compatible_url": f"{fake.url}/v1",
        "captioner_compatible_model": "seer",
        "captioner_local_concurrency": 8,
    }
    async with captioner_with(tmp_path, **given) as captioner:
        await captioner.stub.CaptionImage(request(photo), timeout=5)
        [lane] = await lanes(captioner)

    assert lane.concurrency < 8
    assert lane.state == captioner_pb2.PROVIDER_STATE_THROTTLED
