"""A provider is killed in the middle of a batch: the chain answers, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.captioner.conftest import Captioner, captioner_with
from tests.contract.captioner.vendor_chain import describe, sent_as
from tests.servers.providers.numbered_pictures import numbered_jpeg
from tests.servers.providers.vendor_plan import KEY
from tests.servers.providers.vendor_process import VendorProcess
from tests.servers.providers.vendor_words import caption_of
from tests.servers.waiting import until

IMAGES = 60
KILLED_AFTER = 20
# The breaker probes after fifteen seconds.
RECOVERY_S = 40.0


@pytest.fixture
def mistral(tmp_path: Path) -> Iterator[VendorProcess]:
    yield from running(VendorProcess("mistral", tmp_path / "mistral.txt", latency_s=0.2))


@pytest.fixture
def openai(tmp_path: Path) -> Iterator[VendorProcess]:
    yield from running(VendorProcess("openai", tmp_path / "openai.txt", latency_s=0.2))


async def test_a_killed_provider_costs_no_image_and_nothing_twice(
    mistral: VendorProcess, openai: VendorProcess, tmp_path: Path
) -> None:
    pictures = {str(number): numbered_jpeg(number) for number in range(IMAGES)}
    async with captioner_with(
        tmp_path,
        captioner_keep_records=False,
        captioner_providers="mistral,openai,local",
        captioner_mistral_url=f"{mistral.url}/v1",
        captioner_mistral_api_key=KEY,
        captioner_openai_url=f"{openai.url}/v1",
        captioner_openai_api_key=KEY,
    ) as captioner:
        answers: dict[str, captioner_pb2.Caption] = {}
        async for answer in captioner.stub.CaptionImages(requests(pictures)):
            assert not answer.HasField("error"), answer.error.message
            answers[answer.key] = answer.caption
            if len(answers) == KILLED_AFTER:
                mistral.kill()
        state_after = await state_of(captioner, "mistral")

        await asyncio.to_thread(mistral.start)
        recovered = await recovery(captioner)
        state_in_the_end = await state_of(captioner, "mistral")

    for key, picture in pictures.items():
        assert answers[key].text == caption_of(sent_as(picture))
    providers = [caption.provider for caption in answers.values()]
    assert set(providers) == {"mistral", "openai"}
    assert providers.count("mistral") >= KILLED_AFTER
    assert providers.count("openai") >= IMAGES - KILLED_AFTER - 16
    assert state_after == captioner_pb2.PROVIDER_STATE_OPEN
    assert state_in_the_end == captioner_pb2.PROVIDER_STATE_READY

    billed = mistral.billed() + openai.billed()
    assert billed.keys() == {sent_as(picture) for picture in [*pictures.values(), *recovered]}
    # The vendor writes its bill, then sends its answer: the kill can fall between the two once.
    twice = {digest for digest, count in billed.items() if count > 1}
    assert len(twice) <= 1
    by_mistral = {sent_as(pictures[key]) for key, each in answers.items() if each.provider == "mistral"}
    assert twice.isdisjoint(by_mistral)


async def state_of(captioner: Captioner, provider: str) -> int:
    listed = await captioner.stub.ListProviders(captioner_pb2.ListProvidersRequest())
    return next(each.state for each in listed.providers if each.id == provider)


async def recovery(captioner: Captioner) -> list[bytes]:
    """Sends new images until the first of the chain answers again; returns them."""
    sent: list[bytes] = []

    async def mistral_answers() -> bool:
        sent.append(numbered_jpeg(IMAGES + len(sent)))
        return (await describe(captioner, sent[-1])).provider == "mistral"

    await until(mistral_answers, "the restarted provider answers", RECOVERY_S)
    return sent


async def requests(pictures: dict[str, bytes]) -> AsyncIterator[captioner_pb2.CaptionImagesRequest]:
    for key, picture in pictures.items():
        source = common_pb2.ImageSource(content=picture)
        yield captioner_pb2.CaptionImagesRequest(key=key, image=source)


def running(vendor: VendorProcess) -> Iterator[VendorProcess]:
    try:
        vendor.start()
        yield vendor
    finally:
        vendor.kill()
