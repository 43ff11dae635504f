"""Bytes that calls carry: counted, bounded, and gone while a provider thinks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from services.captioner.chain import Chain
from services.captioner.content_bytes import ContentBytes
from services.captioner.records.known_answers import KnownAnswers
from services.captioner.records.port import NoRecords
from services.captioner.servicer import CaptionerServicer
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import Studio, open_studio
from services.runtime.blobs.keys import blob_key
from services.runtime.errors import Reason, ResourceExhaustedError
from services.runtime.statuses import from_status
from sightmill.v1 import captioner_pb2, common_pb2
from tests.servers.waiting import until
from tests.unit.captioner.scripted_provider import HANGS, ScriptedProvider, described, link_of
from tests.unit.captioner.warp import run_warped


def source(size_bytes: int) -> common_pb2.ImageSource:
    return common_pb2.ImageSource(content=b"x" * size_bytes)


def photo() -> bytes:
    target = BytesIO()
    Image.new("RGB", (64, 48), "red").save(target, "JPEG")
    return target.getvalue()


class HungBlobs:
    """A store that never answers."""

    async def get(self, key: str, max_bytes: int) -> bytes:  # noqa: ARG002  nothing comes anyway
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")


def servicer_of(provider: ScriptedProvider, studio: Studio, folder: Path) -> CaptionerServicer:
    reports: Any = None
    blobs: Any = HungBlobs()
    given: dict[str, Any] = {"data_dir": folder}
    chain = Chain(("mistral", "local"), {"mistral": link_of(provider)}, {}, KnownAnswers(NoRecords()))
    return CaptionerServicer(chain, reports, studio, blobs, CaptionerSettings(**given), asyncio.Event())


def test_items_count_until_they_are_let_go_or_end() -> None:
    contents = ContentBytes(100)

    with contents.of_item(source(60)) as first, contents.of_item(source(60)) as second:
        assert not contents.is_roomy()
        assert (first.read(), second.size_bytes) == (b"x" * 60, 60)
        first.let_go()
        assert contents.is_roomy()
    with contents.of_call(source(100)):
        pass


def test_a_single_call_counts_to_its_end_and_is_refused_where_it_does_not_fit() -> None:
    contents = ContentBytes(100)

    with contents.of_call(source(60)) as first:
        first.let_go()
        with pytest.raises(ResourceExhaustedError) as refused, contents.of_call(source(41)):
            pass
        # A blob's name takes nothing.
        with contents.of_call(source(40)), contents.of_call(common_pb2.ImageSource(blob_key="key")):
            assert not contents.is_roomy()

    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.OVERLOADED, 2.0)


async def test_nobody_holds_the_message_of_an_item_while_the_provider_thinks(tmp_path: Path) -> None:
    request = captioner_pb2.CaptionImagesRequest(key="a", image=common_pb2.ImageSource(content=photo()))
    image = request.image
    references = sys.getrefcount(request), sys.getrefcount(image)
    waiting = [request]

    async def requests() -> AsyncIterator[captioner_pb2.CaptionImagesRequest]:
        yield waiting.pop()
        await asyncio.Event().wait()

    provider = ScriptedProvider("mistral", HANGS)
    with open_studio(workers=1, max_pixels=1_000_000) as studio:
        context: Any = None
        stream = servicer_of(provider, studio, tmp_path).CaptionImages(requests(), context)
        reading = asyncio.ensure_future(anext(stream))
        await until(lambda: len(provider.called_at) == 1, "the item reaches the provider")
        held = sys.getrefcount(request), sys.getrefcount(image)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    assert held == references


@pytest.mark.parametrize(
    ("provider", "expected"), [("mistral", "PROVIDER_UNAVAILABLE"), ("local", "DEADLINE")]
)
def test_a_test_of_a_provider_ends_in_time_where_the_blob_does_not_come(
    provider: str, expected: str, tmp_path: Path
) -> None:
    async def scenario() -> tuple[str, float]:
        started = asyncio.get_running_loop().time()
        with open_studio(workers=1, max_pixels=1_000_000) as studio:
            servicer = servicer_of(ScriptedProvider("mistral", described()), studio, tmp_path)
            image = common_pb2.ImageSource(blob_key=blob_key("0" * 64))
            request = captioner_pb2.TestProviderRequest(provider=provider, image=image)
            context: Any = SimpleNamespace(time_remaining=lambda: 10.0)
            answer = await servicer.TestProvider(request, context)
        return from_status(answer.error).reason_name, asyncio.get_running_loop().time() - started

    reason, elapsed_s = run_warped(scenario())

    assert reason == expected
    assert elapsed_s < 10
