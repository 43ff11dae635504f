"""The whole way of a photo, upload to catalog, against the same analysis in one process on all cores."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import Figure
from bench.photos import small_photos
from services.analyzer.process import configure_threads
from sightmill.client import Client
from sightmill.v1 import catalog_pb2
from tests.servers.suite import Suite, running_suite

PHOTOS = 200
WARM_UP = 20
DEADLINE_S = 300.0


def run() -> dict[str, Figure]:
    """Both ways with the same photos, one after the other."""
    photos = small_photos(PHOTOS + 2 * WARM_UP)
    in_process = _in_process_rate(photos[:PHOTOS], photos[PHOTOS : PHOTOS + WARM_UP])
    with tempfile.TemporaryDirectory() as folder, running_suite(Path(folder)) as suite:
        asyncio.run(_rate(suite, photos[PHOTOS + WARM_UP :]))
        before = suite.rss_mb()
        pipeline = asyncio.run(_rate(suite, photos[:PHOTOS]))
        after = suite.rss_mb()
    return {
        "ratio": Figure(
            pipeline / in_process,
            "",
            "higher",
            "pipeline_rate / in_process_rate, same photos, same run",
            goal=0.7,
        ),
        "pipeline_rate": Figure(
            pipeline,
            "photos/s",
            "higher",
            f"{PHOTOS} photos over one UploadImages stream until all are PROCESSED",
        ),
        "in_process_rate": Figure(
            in_process,
            "photos/s",
            "higher",
            "Analyzer.analyze in one process, a thread a core, nothing stored",
        ),
        "largest_rss_mb": Figure(
            max(after.values()), "MB", "lower", "largest process of the suite after the run"
        ),
        "largest_growth_mb": Figure(
            max(after[name] - before[name] for name in after),
            "MB",
            "lower",
            f"largest growth of one process over {PHOTOS} photos, after a warm-up of {WARM_UP}",
        ),
    }


def _in_process_rate(photos: list[bytes], warm_up: list[bytes]) -> float:
    configure_threads()
    from services.analyzer.analysis import Analyzer  # noqa: PLC0415  after the limits are set
    from services.analyzer.plan import AnalyzerConfig, Plan  # noqa: PLC0415

    analyzer, plan = Analyzer(AnalyzerConfig()), Plan(thumbnail=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(lambda photo: analyzer.analyze(photo, plan), warm_up))
        started = time.perf_counter()
        list(threads.map(lambda photo: analyzer.analyze(photo, plan), photos))
        return len(photos) / (time.perf_counter() - started)


async def _rate(suite: Suite, photos: list[bytes]) -> float:
    """Photos a second from the first byte until the catalog says that all are processed."""
    async with Client(suite.address) as client:
        done_before = await _processed(client)
        started = time.perf_counter()
        refused = [result async for result in client.upload(photos) if result.error]
        if refused:
            raise RuntimeError(f"{len(refused)} photos were refused: {refused[0].error}")
        while await _processed(client) < done_before + len(photos):
            if time.perf_counter() - started > DEADLINE_S:
                raise RuntimeError(f"not all photos were processed within {DEADLINE_S:g} s")
            await asyncio.sleep(0.1)  # seldom: asking costs the suite time, too
        return len(photos) / (time.perf_counter() - started)


async def _processed(client: Client) -> int:
    stats = await client.stats()
    name = catalog_pb2.Image.State.Name(catalog_pb2.Image.PROCESSED)
    return next((count.count for count in stats.states if count.value == name), 0)
