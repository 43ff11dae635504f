"""Kills a catalog while it writes, again and again, and looks what is left. Used by a test and a benchmark.

Everything is seen over the wire: what was acknowledged must be there whole, and every counter must say what a
count of all images says.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from services.catalog.mongo.database import MongoOptions
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.catalog_process import CatalogProcess, running_catalog
from tests.contract.catalog.messages import caption_of, create, done, insights_of
from tests.servers.mongo_server import MongoServer

WAIT_S = 60.0
# After so many rounds a new catalog, so that counting all of it stays quick.
ROUNDS_A_CATALOG = 10
IN_FLIGHT = 32
Image = catalog_pb2.Image


@dataclass(slots=True)
class KillReport:
    """What came of all rounds; ``problems`` is empty when all is well."""

    rounds: int = 0
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Acknowledged:
    """What the catalog said it has: images by name, and those of them whose results it took."""

    created: dict[str, str] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


async def sqlite_kill_rounds(folder: Path, rounds: int, seed: int = 0) -> KillReport:
    """Kills the process."""
    report = KillReport()
    chance = random.Random(seed)  # noqa: S311  no secret
    for start in range(0, rounds, ROUNDS_A_CATALOG):
        said = _Acknowledged()
        for number in range(start, min(start + ROUNDS_A_CATALOG, rounds)):
            data = folder / f"catalog-{start}"

            async def kill(run: CatalogProcess) -> None:
                await run.kill()

            await _round(report, said, f"{seed}-{number}", chance, data, kill, {})
    return report


async def mongo_kill_rounds(folder: Path, rounds: int, seed: int = 0) -> KillReport:
    """Kills the process and the MongoDB server, in the same moment."""
    report = KillReport()
    chance = random.Random(seed)  # noqa: S311  no secret
    (folder / "server").mkdir(parents=True)
    server = MongoServer(folder / "server")
    await server.start()
    try:
        for start in range(0, rounds, ROUNDS_A_CATALOG):
            said = _Acknowledged()
            options = MongoOptions(server.url, f"killed_{start}")
            settings = {"catalog_mongodb_url": options.url, "catalog_mongodb_database": options.database}
            for number in range(start, min(start + ROUNDS_A_CATALOG, rounds)):

                async def kill(run: CatalogProcess) -> None:
                    server.kill()
                    await run.kill()
                    await server.start()

                await _round(report, said, f"{seed}-{number}", chance, folder / "data", kill, settings)
    finally:
        server.kill()
    return report


async def _round(
    report: KillReport,
    said: _Acknowledged,
    name: str,
    chance: random.Random,
    data: Path,
    kill: Callable[[CatalogProcess], Awaitable[None]],
    settings: dict[str, str],
) -> None:
    async with running_catalog(data, **settings) as run:
        before = len(said.created) + len(said.finished) + len(said.deleted)
        after = chance.randrange(20, 300)
        enough = asyncio.Event()
        writing = asyncio.create_task(_write(run, said, name, before + after, enough))
        async with asyncio.timeout(WAIT_S):
            await enough.wait()
        await kill(run)
        await writing
    async with running_catalog(data, **settings) as run:
        problems = [problem async for problem in _problems(run, said)]
    report.rounds += 1
    report.acknowledged += len(said.created) + len(said.finished) + len(said.deleted) - before
    report.problems += [f"round {name}: {problem}" for problem in problems]


async def _write(
    run: CatalogProcess, said: _Acknowledged, name: str, enough_at: int, enough: asyncio.Event
) -> None:
    """Creates, finishes and deletes images until nobody answers any more."""

    async def lane(number: int) -> None:
        index = 0
        while True:
            content = f"{name} {number} {index}"
            index += 1
            image = (await run.catalog.CreateImage(create(content), timeout=WAIT_S)).image
            said.created[image.name] = content
            item = done("k", image.name, insights_of(content), caption_of(content))
            async for answer in run.catalog.WriteAnalyses(iter([item]), timeout=WAIT_S):
                if not answer.HasField("error"):
                    said.finished[image.name] = content
            if index % 5 == 0:
                request = catalog_pb2.DeleteImageRequest(name=image.name, force=True)
                # From here on it may be gone, acknowledged or not.
                del said.created[image.name]
                said.finished.pop(image.name, None)
                await run.catalog.DeleteImage(request, timeout=WAIT_S)
                said.deleted.add(image.name)
            if len(said.created) + len(said.finished) + len(said.deleted) >= enough_at:
                enough.set()

    lanes = [asyncio.create_task(lane(number)) for number in range(IN_FLIGHT)]
    for task in lanes:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await task


async def _problems(run: CatalogProcess, said: _Acknowledged) -> AsyncIterator[str]:
    images = {image.name: image async for image in _all_images(run)}
    for name in said.created:
        if name not in images:
            yield f"{name} was acknowledged and is gone"
    for name in said.finished:
        if name in images and not (images[name].state == Image.PROCESSED and images[name].caption.tags):
            yield f"the results of {name} were acknowledged and are gone"
    for name in said.deleted:
        if name in images:
            yield f"{name} is back after its deletion"
    for image in images.values():
        if (image.state == Image.PROCESSED) != (image.HasField("insights") and image.HasField("caption")):
            yield f"{image.name} is half finished"
    async for problem in _wrong_counters(run, list(images.values())):
        yield problem


async def _wrong_counters(run: CatalogProcess, images: list[Image]) -> AsyncIterator[str]:
    stats = await run.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=WAIT_S)
    states = Counter(Image.State.Name(image.state) for image in images)
    if stats.image_count != len(images):
        yield f"image_count is {stats.image_count}, not {len(images)}"
    if {count.value: count.count for count in stats.states} != states:
        yield f"states are {stats.states}, not {states}"
    if stats.blob_count != len({image.sha256 for image in images}):
        yield f"blob_count is {stats.blob_count}"
    tags = Counter(tag for image in images for tag in set(image.caption.tags))
    answer = await run.catalog.ListFacets(
        catalog_pb2.ListFacetsRequest(field="tag", page_size=1_000), timeout=WAIT_S
    )
    if {count.value: count.count for count in answer.counts} != tags:
        yield f"tags are {answer.counts}, not {tags}"


async def _all_images(run: CatalogProcess) -> AsyncIterator[Image]:
    request = catalog_pb2.ListImagesRequest(page_size=1_000, view=catalog_pb2.IMAGE_VIEW_FULL)
    while True:
        answer = await run.catalog.ListImages(request, timeout=WAIT_S)
        for image in answer.images:
            yield image
        request.page_token = answer.next_page_token
        if not request.page_token:
            return
