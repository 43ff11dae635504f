"""Where the bytes of an image come from, how many are held, and who is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.analyzer.detector import Cancellation
from services.analyzer.workshop import Workshop
from services.runtime.blobs.keys import blob_key
from services.runtime.blobs.obstore_blobs import open_blobs
from services.runtime.blobs.port import Blobs
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import common_pb2

MAX_BYTES = 1_000
STREAM = "a stream"


class DistantBlobs:
    """A store that has no files on this machine, such as a bucket."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.get = blobs.get

    def local_path(self, key: str) -> None:
        """Nowhere."""


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[Blobs]:
    store = open_blobs(tmp_path.as_uri())
    yield store
    await store.close()


@pytest.fixture(params=["folder", "bucket"])
async def workshop(blobs: Blobs, request: pytest.FixtureRequest) -> AsyncIterator[Workshop]:
    """One thread, no waiting room for single calls."""
    reached = blobs if request.param == "folder" else DistantBlobs(blobs)
    room = Workshop(reached, threads=1, max_waiting=0, max_bytes=MAX_BYTES)  # type: ignore[arg-type]
    yield room
    room.close()


def inline(size_bytes: int) -> common_pb2.ImageSource:
    return common_pb2.ImageSource(content=bytes(size_bytes))


def size(data: bytes, _: Cancellation) -> int:
    return len(data)


async def test_bytes_come_with_the_call_or_from_the_store(workshop: Workshop, blobs: Blobs) -> None:
    key = blob_key("a" * 64)
    await blobs.put(key, bytes(7))

    assert await workshop.run(inline(5), size, 10) == 5
    assert await workshop.run(common_pb2.ImageSource(blob_key=key), size, 10) == 7


@pytest.mark.parametrize("kind", ["content", "blob"])
async def test_no_image_is_larger_than_allowed(workshop: Workshop, blobs: Blobs, kind: str) -> None:
    key = blob_key("b" * 64)
    for size_bytes, allowed in ((MAX_BYTES, True), (MAX_BYTES + 1, False)):
        await blobs.put(key, bytes(size_bytes), overwrite=True)
        source = inline(size_bytes) if kind == "content" else common_pb2.ImageSource(blob_key=key)
        if allowed:
            assert await workshop.run(source, size, 10) == size_bytes
            continue
        with pytest.raises(ServiceError) as refused:
            await workshop.run(source, size, 10)
        assert refused.value.reason == Reason.IMAGE_TOO_LARGE
        assert refused.value.metadata == {"limit_bytes": str(MAX_BYTES)}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (blob_key("c" * 64), Reason.BLOB_NOT_FOUND),
        ("sha256/../x", Reason.INVALID_NAME),
        ("other/x", Reason.INVALID_FIELD),
    ],
)
async def test_a_key_without_an_image_says_why(
    workshop: Workshop, key: str, reason: Reason.ValueType
) -> None:
    with pytest.raises(ServiceError) as refused:
        await workshop.run(common_pb2.ImageSource(blob_key=key), size, 10)

    assert refused.value.reason == reason


async def test_streams_may_read_ahead_while_little_is_held(workshop: Workshop) -> None:
    begun, release = threading.Event(), threading.Event()

    def hold(data: bytes, _: Cancellation) -> int:
        begun.set()
        assert release.wait(10)
        return len(data)

    first = asyncio.create_task(workshop.run(inline(MAX_BYTES - 1), hold, 10, STREAM))
    assert await asyncio.to_thread(begun.wait, 10)
    assert workshop.is_roomy()
    second = asyncio.create_task(workshop.run(inline(1), hold, 10, STREAM))
    await asyncio.to_thread(begun.wait, 10)
    assert not workshop.is_roomy()
    with pytest.raises(ServiceError):
        await workshop.run(inline(MAX_BYTES), hold, 0.01, STREAM)
    release.set()

    assert (await first, await second) == (MAX_BYTES - 1, 1)
    assert workshop.is_roomy()


async def test_what_is_given_up_knows_it(workshop: Workshop) -> None:
    noticed = threading.Event()

    def wait(_: bytes, cancelled: Cancellation) -> None:
        assert cancelled is not None
        assert cancelled.wait(10)
        noticed.set()

    with pytest.raises(ServiceError) as late:
        await workshop.run(inline(1), wait, 0.01)

    assert late.value.reason == Reason.DEADLINE
    assert await asyncio.to_thread(noticed.wait, 10)


async def test_a_single_call_too_many_is_refused_and_leaves_no_mark(workshop: Workshop) -> None:
    release = threading.Event()
    first = asyncio.create_task(workshop.run(inline(1), lambda *_: release.wait(10), 10))
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refused:
        await workshop.run(inline(1), size, 10)
    in_stream = asyncio.create_task(workshop.run(inline(2), size, 10, STREAM))
    await asyncio.sleep(0)
    release.set()

    assert refused.value.reason == Reason.OVERLOADED
    assert await first
    assert await in_stream == 2
    assert await workshop.run(inline(3), size, 10) == 3
