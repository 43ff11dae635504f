"""How many pictures are held and decoded at the same time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO

import pytest
from PIL import Image

from services.captioner.picture import Picture
from services.captioner.studio import READ_TIMEOUT_S, Studio, open_studio
from services.runtime.errors import Reason, UnavailableError
from tests.servers.waiting import until
from tests.unit.captioner.warp import run_warped


def png(width: int = 64, height: int = 48) -> bytes:
    target = BytesIO()
    Image.new("RGB", (width, height), "red").save(target, "PNG")
    return target.getvalue()


class Shelf:
    """Counts the reads of a blob."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.loads = 0
        self.reading = 0
        self.most_reading = 0

    async def load(self) -> bytes:
        self.loads += 1
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        for _ in range(5):
            await asyncio.sleep(0)
        self.reading -= 1
        return self.content


class Slow:
    """Keeps a thread of the studio until it may go on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.reads = 0

    def read(self) -> bytes:
        self.reads += 1
        assert self.goes_on.wait(30)
        return b"x"


async def hangs() -> bytes:
    await asyncio.Event().wait()
    raise AssertionError("nothing wakes it")


async def cancelled(task: asyncio.Task[str]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_few_originals_for_each_worker_are_read_at_once() -> None:
    shelf = Shelf(png())
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        await asyncio.gather(*(Picture(shelf.load, studio).upload(768) for _ in range(24)))

    assert shelf.loads == 24
    assert shelf.most_reading == 8


async def test_what_is_read_waits_in_bounded_number() -> None:
    shelf, slow = Shelf(png()), Slow()
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        busy = [asyncio.create_task(studio.digest(slow)) for _ in range(2)]
        await until(lambda: slow.reads == 2, "both threads are busy")
        others = [asyncio.create_task(studio.digest(shelf.load)) for _ in range(24)]
        for _ in range(100):
            await asyncio.sleep(0)
        read_meanwhile = shelf.loads
        slow.goes_on.set()
        await asyncio.gather(*busy, *others)

    assert read_meanwhile == 8


async def test_cancelled_calls_leave_no_work_behind() -> None:
    slow, never = Slow(), Slow()
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        busy = [asyncio.create_task(studio.digest(slow)) for _ in range(2)]
        await until(lambda: slow.reads == 2, "both threads are busy")
        for task in busy:
            await cancelled(task)
        for _ in range(20):
            task = asyncio.create_task(studio.digest(never))
            await asyncio.sleep(0)
            await cancelled(task)
        never.goes_on.set()
        slow.goes_on.set()
        assert len(await studio.digest(BytesIO(b"x"))) == 64

    assert never.reads == 0


async def test_bytes_at_hand_do_not_wait_for_blobs_that_hang() -> None:
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        hung = [asyncio.create_task(studio.digest(hangs)) for _ in range(20)]
        async with asyncio.timeout(20):
            assert len(await studio.digest(BytesIO(b"x"))) == 64
        for task in hung:
            await cancelled(task)


def test_a_blob_that_hangs_is_given_up() -> None:
    async def scenario() -> float:
        started = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError) as refused:
            await Studio(ThreadPoolExecutor(1), 1, 1_000_000).digest(hangs)
        assert refused.value.reason == Reason.BLOBS_UNAVAILABLE
        assert "send its bytes" in refused.value.message
        return asyncio.get_running_loop().time() - started

    assert run_warped(scenario()) == pytest.approx(READ_TIMEOUT_S)


@pytest.mark.parametrize("edges", [(768, 1024, 768, 1024), (1024, 768, 1024, 768)])
async def test_the_original_is_scaled_once_whoever_asks_first(edges: tuple[int, ...]) -> None:
    shelf = Shelf(png(2_000, 1_000))
    with open_studio(workers=2, max_pixels=10_000_000) as studio:
        picture = Picture(shelf.load, studio, largest_px=1024)
        uploads = [await picture.upload(edge_px) for edge_px in edges]

    assert shelf.loads == 1
    assert [(each.width, each.height) for each in uploads] == [(edge_px, edge_px // 2) for edge_px in edges]
    assert uploads[0] is uploads[2]


async def test_nothing_is_enlarged_or_packed_twice() -> None:
    shelf = Shelf(png(400, 300))
    with open_studio(workers=2, max_pixels=1_000_000) as studio:
        picture = Picture(shelf.load, studio)
        uploads = [await picture.upload(edge_px) for edge_px in (768, 1024, 384)]

    assert uploads[0] is uploads[1]
    assert [(each.width, each.height) for each in uploads[1:]] == [(400, 300), (384, 288)]
    assert shelf.loads == 1


async def test_an_upload_is_enough_for_a_glance() -> None:
    shelf = Shelf(png(2_000, 1_000))
    with open_studio(workers=2, max_pixels=10_000_000) as studio:
        picture = Picture(shelf.load, studio)
        await picture.upload(1024)
        seen = await picture.measurements()

    assert (seen.width, seen.height, seen.brightness) == (1024, 512, 76)
    assert shelf.loads == 1
