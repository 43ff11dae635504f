"""The guard with child processes: the same answers, within the operator's time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import psutil
import pytest
from PIL import Image

from services.ingest.guard import Limits, inspect, open_guard_children
from services.ingest.intake import Intake
from services.runtime.child_processes import ChildProcesses, JobCancelledError
from services.runtime.errors import InvalidArgumentError, Reason
from tests.contract.hostile import bombs
from tests.unit.ingest import pictures

LIMITS = Limits(50_000_000, 200_000_000, decode_timeout_s=30)


@pytest.fixture(scope="module")
def children() -> Iterator[ChildProcesses]:
    opened = open_guard_children(LIMITS, 1)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", pictures.GOOD)
def test_a_child_finds_the_same(name: str, children: ChildProcesses) -> None:
    assert inspect(pictures.good(name), LIMITS, children) == inspect(pictures.good(name), LIMITS)


def test_small_plain_files_need_no_child() -> None:
    fresh = open_guard_children(LIMITS, 1)
    before = len(psutil.Process().children())
    for name in ("jpeg", "png", "webp", "bmp"):
        inspect(pictures.good(name), LIMITS, fresh)
    assert len(psutil.Process().children()) == before
    not_plain = [pictures.good(name) for name in ("gif", "apng", "webp-animated", "jpeg-progressive", "tiff")]
    for data in [*not_plain, pictures.turned("JPEG", 6), pictures.png(2_000, 2_000, before=bytes(1 << 20))]:
        jobs = sum_of_jobs(fresh)
        with contextlib.suppress(InvalidArgumentError):
            inspect(data, LIMITS, fresh)
        assert sum_of_jobs(fresh) == jobs + 1
    fresh.close()


def sum_of_jobs(children: ChildProcesses) -> float:
    (metric,) = children.jobs.collect()
    return sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))


def test_refusals_come_out_of_a_child_as_they_are(children: ChildProcesses) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        inspect(pictures.gif((65_535, 65_535), [(1, 1)]), LIMITS, children)
    assert caught.value.reason == Reason.IMAGE_TOO_MANY_PIXELS


def test_time_is_limited(children: ChildProcesses) -> None:
    inspect(pictures.good("gif"), LIMITS, children)
    with pytest.raises(InvalidArgumentError) as caught:
        inspect(bombs.jpeg_of_scans(4_000, 2_000), Limits(10**9, 10**9, 0.3), children)
    assert caught.value.reason == Reason.IMAGE_DECODE_TIMEOUT
    assert caught.value.metadata == {"limit_seconds": "0.3"}


def test_memory_is_limited() -> None:
    limits = Limits(50_000_000, 200_000_000, 30, decode_memory_mb=50)
    small = open_guard_children(limits, 1)
    try:
        data = pictures.encode(Image.new("RGB", (5_000, 5_000)), "TIFF", compression="tiff_lzw")
        with pytest.raises(InvalidArgumentError) as caught:
            inspect(data, limits, small)
        assert caught.value.metadata == {"limit_memory_mb": "50"}
    finally:
        small.close()


async def test_an_upload_that_is_given_up_frees_its_child(children: ChildProcesses) -> None:
    nobody = cast("Any", None)
    with ThreadPoolExecutor(1) as decoders:
        intake = Intake(nobody, nobody, nobody, decoders, LIMITS, 0.3, 5.0, children)
        with pytest.raises(InvalidArgumentError) as caught:
            await intake._inspect(bombs.jpeg_of_scans(4_000, 2_000))
        assert caught.value.reason == Reason.IMAGE_DECODE_TIMEOUT
        found = await asyncio.wait_for(asyncio.wrap_future(decoders.submit(lambda: "free")), 5)
    assert found == "free"


def test_nobody_is_told_of_what_is_cancelled(children: ChildProcesses) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(JobCancelledError):
        inspect(pictures.good("gif"), LIMITS, children, cancelled)
