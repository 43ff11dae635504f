"""The real process: what it has acknowledged outlives it, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import stat
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.errors import Reason
from services.runtime.statuses import from_rpc_error
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.catalog_process import CatalogProcess, running_catalog, start_process
from tests.contract.catalog.messages import caption_of, create, done, insights_of

ROUNDS = 4
IMAGES_A_ROUND = 400
WAIT_S = 30.0


async def create_all(run: CatalogProcess, contents: list[str]) -> dict[str, str]:
    answers = await asyncio.gather(
        *(run.catalog.CreateImage(create(content, f"r-{content}"), timeout=WAIT_S) for content in contents)
    )
    return {answer.image.name: content for answer, content in zip(answers, contents, strict=True)}


async def write_until_killed(run: CatalogProcess, images: dict[str, str], kill_after: int) -> set[str]:
    """Streams a result for each image, some twice; kills the process after so many answers."""
    acknowledged: set[str] = set()
    items = [
        done(f"{name} {repetition}", name, insights_of(content), caption_of(content))
        for index, (name, content) in enumerate(images.items())
        for repetition in range(1 + index % 2)
    ]
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for answer in run.catalog.WriteAnalyses(iter(items), timeout=WAIT_S):
            assert not answer.HasField("error"), answer
            name = answer.key.partition(" ")[0]
            if name not in acknowledged and len(acknowledged) + 1 == kill_after:
                run.process.kill()
            acknowledged.add(name)
    await run.process.wait()
    return acknowledged


def recount(data_dir: Path) -> dict[str, object]:
    """What the rows themselves say, beside the counters."""
    connection = sqlite3.connect(data_dir / "catalog" / "catalog.sqlite3")

    def rows(statement: str) -> list[Any]:
        return connection.execute(statement).fetchall()

    counted: dict[str, object] = {
        "images": rows("SELECT count(*) FROM images")[0][0],
        "states": dict(rows("SELECT state, count(*) FROM images GROUP BY state")),
        "blobs": rows("SELECT count(*), sum(size_bytes) FROM blobs")[0],
        "analyses": rows("SELECT count(*) FROM analyses")[0][0],
        "integrity": connection.execute("PRAGMA integrity_check").fetchone()[0],
    }
    connection.close()
    return counted


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    seed = 7
    chance = random.Random(seed)  # noqa: S311  a test must be repeatable
    everything: dict[str, str] = {}
    acknowledged: set[str] = set()
    for round_ in range(ROUNDS):
        async with running_catalog(tmp_path) as run:
            contents = [f"{round_}-{index}" for index in range(IMAGES_A_ROUND)]
            fresh = await create_all(run, contents)
            everything |= fresh
            kill_after = chance.randrange(1, IMAGES_A_ROUND)
            acknowledged |= await write_until_killed(run, fresh, kill_after)
    assert ROUNDS <= len(acknowledged) < len(everything), "the kills came in the middle"
    async with running_catalog(tmp_path) as run:
        listed = [image async for image in all_images(run)]
        assert {image.name for image in listed} == set(everything)
        assert sorted(image.number for image in listed) == list(range(1, len(everything) + 1))
        by_name = {image.name: image for image in listed}
        for name in acknowledged:
            image = by_name[name]
            assert image.state == catalog_pb2.Image.PROCESSED
            assert image.insights == insights_of().insights
            assert image.caption == caption_of().caption
        for image in listed:
            whole = (image.HasField("insights"), image.HasField("caption"))
            processed = image.state == catalog_pb2.Image.PROCESSED
            assert whole == (processed, processed), "an item is stored as a whole or not at all"
        stats = await run.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=WAIT_S)
        states = Counter(catalog_pb2.Image.State.Name(image.state) for image in listed)
        # Creating again is recognised after a crash, too.
        again = await run.catalog.CreateImage(create("0-0", "r-0-0"), timeout=WAIT_S)
        assert (again.created, everything[again.image.name]) == (False, "0-0")
        assert await run.stop() == 0
    counted = recount(tmp_path)
    assert {count.value: count.count for count in stats.states} == dict(states)
    assert counted == {
        "images": stats.image_count,
        "states": {catalog_pb2.Image.State.Value(count.value): count.count for count in stats.states},
        "blobs": (stats.blob_count, stats.blob_bytes),
        "analyses": stats.analysis_count,
        "integrity": "ok",
    }


async def all_images(run: CatalogProcess) -> AsyncIterator[catalog_pb2.Image]:
    request = catalog_pb2.ListImagesRequest(page_size=1_000, view=catalog_pb2.IMAGE_VIEW_FULL)
    while True:
        page = await run.catalog.ListImages(request, timeout=WAIT_S)
        for image in page.images:
            yield image
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def test_it_becomes_healthy_and_stops_cleanly_with_a_stream_open(tmp_path: Path) -> None:
    async with running_catalog(tmp_path / "data") as run:
        health = health_pb2_grpc.HealthStub(run.channel)
        watch = health.Watch(
            health_pb2.HealthCheckRequest(service="sightmill.v1.CatalogService"), timeout=WAIT_S
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()
        (name,) = await create_all(run, ["sea"])
        call = run.catalog.WriteAnalyses(timeout=WAIT_S)
        await call.write(done("a", name, insights_of()))
        assert await call.read() == catalog_pb2.WriteAnalysesResponse(key="a")
        stopping = asyncio.create_task(run.stop())
        with pytest.raises(grpc.aio.AioRpcError) as ending:
            await call.read()
        assert from_rpc_error(ending.value).reason == Reason.DRAINING
        assert await stopping == 0
    folder = tmp_path / "data" / "catalog"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [entry.name for entry in folder.iterdir()] == ["catalog.sqlite3"]


async def test_a_full_store_is_told_and_the_process_lives_on(tmp_path: Path) -> None:
    async with running_catalog(tmp_path, catalog_max_bytes="300000") as run:
        (name,) = await create_all(run, ["sea"])
        large = insights_of("sea")
        large.insights.thumbhash = bytes(500_000)
        call = run.catalog.WriteAnalyses(iter([done("a", name, large)]), timeout=WAIT_S)
        (answer,) = [answer async for answer in call]
        assert "full" in answer.error.message
        await run.catalog.CreateImage(create("sky"), timeout=WAIT_S)
        stats = await run.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=WAIT_S)
        assert (stats.image_count, stats.analysis_count) == (2, 0)


async def test_a_database_that_cannot_be_used_is_said_in_one_line(tmp_path: Path) -> None:
    database = tmp_path / "mine.sqlite3"
    database.write_bytes(b"Dear diary, " * 1_000)
    process = await start_process(tmp_path, catalog_database=str(database))
    async with asyncio.timeout(WAIT_S):
        output, errors = await process.communicate()
    assert process.returncode == 1
    assert output == b""
    assert errors.decode().startswith("catalog: DATA_DAMAGED: ")
    assert len(errors.splitlines()) == 1
