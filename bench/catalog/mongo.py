"""The same over a MongoDB server, to compare versions; the test server proves nothing about MongoDB."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.catalog.data import made_images, word
from bench.figures import Figure, Figures
from services.catalog.conditions import Term
from services.catalog.model import ImageQuery, Outcome, PageOrder
from services.catalog.mongo.database import MongoOptions
from services.catalog.states import ImageState
from services.catalog.stores import Stores, open_mongo_stores
from tests.servers.mongo_server import MongoServer

IMAGES = 2_000
_BATCH = 100


def run() -> Figures:
    """Figures without goals, over SecantusDB."""
    return asyncio.run(_run())


async def _run() -> Figures:
    with tempfile.TemporaryDirectory(prefix="bench-mongo-") as folder:
        server = MongoServer(Path(folder))
        await server.start()
        try:
            async with open_mongo_stores(MongoOptions(server.url, "bench", timeout_s=60)) as stores:
                return await _measure(stores)
        finally:
            server.kill()


async def _measure(stores: Stores) -> Figures:
    write_s = await _fill(stores)
    chance = random.Random(7)  # noqa: S311  no secret
    points: list[float] = []
    pages: list[float] = []
    filtered: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        await stores.catalog.get_image(chance.randrange(IMAGES) + 1, with_results=True)
        points.append(time.perf_counter() - started)
        for times, query in (
            (pages, ImageQuery()),
            (filtered, ImageQuery(Term("tag", word(chance.randrange(30))))),
        ):
            started = time.perf_counter()
            await stores.catalog.list_images(query, PageOrder(50), with_results=False)
            times.append(time.perf_counter() - started)
    server = f"over SecantusDB, {IMAGES:,} images"
    return {
        "mongo_analyses_per_s": Figure(
            2 * IMAGES / write_s, "analyses/s", "higher", f"batches of {_BATCH} images, {server}"
        ),
        "mongo_point_p50_ms": Figure(_p50_ms(points), "ms", "lower", server),
        "mongo_page_p50_ms": Figure(_p50_ms(pages), "ms", "lower", server),
        "mongo_filtered_page_p50_ms": Figure(_p50_ms(filtered), "ms", "lower", server),
    }


async def _fill(stores: Stores) -> float:
    """Seconds of writing outcomes."""
    seconds = 0.0
    for first in range(0, IMAGES, _BATCH):
        batch = list(made_images(first, _BATCH))
        created = [await stores.catalog.create_image(made.new, "") for made in batch]
        outcomes = [
            Outcome(image.uuid, made.analyses, ImageState.PROCESSED)
            for (image, _), made in zip(created, batch, strict=True)
        ]
        started = time.perf_counter()
        refusals = await stores.catalog.write_outcomes(outcomes)
        seconds += time.perf_counter() - started
        assert not any(refusals), refusals
    return seconds


def _p50_ms(times: list[float]) -> float:
    return 1_000 * float(np.median(times))
